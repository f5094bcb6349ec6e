"""Estimates against scikit-learn, and intervals against what they promise."""

from __future__ import annotations

from math import isclose
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from trimtab.errors import PermanentError
from trimtab.measures.metrics.declared import (
    better_when,
    decision_threshold,
    estimate,
    estimates,
    measurable,
    statistic_of,
    value_of,
)
from trimtab.records.metric import Task
from trimtab.records.requirement import Value
from trimtab.training.spec import METRICS

BINARY = "binary_classification"
SEVERAL = "multiclass_classification"
VALUE = Value(true_positive=8.0, false_positive=-3.0, per_prediction=-0.0002)


def binary_rows(seed: int, n: int, *, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores that tell something of the labels, with ties when there are few `levels`; both classes present."""
    r = np.random.default_rng(seed)
    score = r.random(n)
    if levels is not None:
        score = np.floor(score * levels) / levels
    y = (r.random(n) < 0.2 + 0.6 * score).astype(np.int8)
    y[:2] = (0, 1)
    return y, score


def worth_by_hand(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    total = 0.0
    for truth, p in zip(y, score, strict=True):
        total += -0.0002 + (0.0 if p < threshold else 8.0 if truth else -3.0)
    return 1000 * total / len(y)


REFERENCES = {
    "quality.roc_auc": lambda y, s, t: sk.roc_auc_score(y, s),
    "quality.average_precision": lambda y, s, t: sk.average_precision_score(y, s),
    "quality.precision": lambda y, s, t: sk.precision_score(y, s >= t),
    "quality.recall": lambda y, s, t: sk.recall_score(y, s >= t),
    "quality.f1": lambda y, s, t: sk.f1_score(y, s >= t),
    "quality.accuracy": lambda y, s, t: sk.accuracy_score(y, s >= t),
    "quality.log_loss": lambda y, s, t: sk.log_loss(y, s),
    "quality.brier": lambda y, s, t: sk.brier_score_loss(y, s),
    "value.per_1000": worth_by_hand,
}


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(3, 300),
    levels=st.sampled_from([None, 2, 5, 20]),
    threshold=st.floats(0.1, 0.6),
)
def test_binary_figures_are_those_of_scikit_learn(seed: int, n: int, levels: int | None, threshold: float) -> None:
    y, score = binary_rows(seed, n, levels=levels)
    for metric, reference in REFERENCES.items():
        got = estimate(metric, y=y, score=score, threshold=threshold, value=VALUE, task=BINARY)
        if got.figure is None:
            assert metric == "quality.precision"
            assert not (score >= threshold).any()
            continue
        assert isclose(got.figure, reference(y, score, threshold), rel_tol=1e-9, abs_tol=1e-9), metric
        assert got.low is not None
        assert got.high is not None
        assert got.low <= got.figure <= got.high
        assert got.rows == n


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 200), classes=st.integers(2, 5))
def test_figures_of_several_classes_are_those_of_scikit_learn(seed: int, n: int, classes: int) -> None:
    r = np.random.default_rng(seed)
    score = r.dirichlet(np.ones(classes), n)
    y = r.integers(0, classes, n)
    said = score.argmax(axis=1)
    got = estimates(measurable(SEVERAL)[:3], y=y, score=score, threshold=0.5, task=SEVERAL)
    assert got["quality.accuracy"].figure == pytest.approx(sk.accuracy_score(y, said))
    assert got["quality.f1"].figure == pytest.approx(sk.f1_score(y, said, average="macro"))
    assert got["quality.log_loss"].figure == pytest.approx(sk.log_loss(y, score, labels=range(classes)))
    worth = estimate(
        "value.per_1000", y=y, score=score, threshold=0.5, task=SEVERAL, value=Value(correct=2.0, wrong=-1.0)
    )
    assert worth.figure == pytest.approx(1000 * np.where(said == y, 2.0, -1.0).mean())


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 200))
def test_regression_figures_are_those_of_scikit_learn(seed: int, n: int) -> None:
    r = np.random.default_rng(seed)
    y = r.normal(50, 10, n)
    score = y + r.normal(1, 5, n)
    got = estimates(
        measurable("regression"), y=y, score=score, threshold=0.5, task="regression", value=Value(absolute_error=-2.0)
    )
    assert got["quality.mae"].figure == pytest.approx(sk.mean_absolute_error(y, score))
    assert got["quality.rmse"].figure == pytest.approx(sk.root_mean_squared_error(y, score))
    assert got["quality.r2"].figure == pytest.approx(sk.r2_score(y, score))
    assert got["value.per_1000"].figure == pytest.approx(-2000 * sk.mean_absolute_error(y, score))


def test_calibration_error_by_hand_and_whatever_the_order_of_rows() -> None:
    y, score = binary_rows(3, 1000)
    bins = np.array_split(np.argsort(score, kind="stable"), 10)
    by_hand = sum(abs(score[b].mean() - y[b].mean()) * len(b) for b in bins) / 1000
    kwargs: dict[str, Any] = {"threshold": 0.5, "task": BINARY}
    assert estimate("quality.calibration_error", y=y, score=score, **kwargs).figure == pytest.approx(by_hand)
    tied = np.round(score, 1)
    mixed = np.random.default_rng(0).permutation(1000)
    first = estimate("quality.calibration_error", y=y, score=tied, **kwargs)
    second = estimate("quality.calibration_error", y=y[mixed], score=tied[mixed], **kwargs)
    assert first.figure == pytest.approx(second.figure)


@pytest.mark.parametrize("metric", measurable(BINARY))
def test_influence_is_the_derivative_by_the_rows_weight(metric: str) -> None:
    y, score = binary_rows(1, 60, levels=12)
    statistic = statistic_of(metric, y=y, score=score, threshold=0.45, value=VALUE, task=BINARY)

    def figure(weights: np.ndarray) -> float:
        if statistic.weighted is not None:
            return float(statistic.weighted(weights[None, :])[0])
        assert statistic.columns is not None
        assert statistic.combine is not None
        return float(statistic.combine(weights @ statistic.columns))

    scale = np.ones(60)
    if metric == "quality.roc_auc":  # DeLong's n - 1 in place of n
        positive = y.sum()
        scale = np.where(y > 0, np.sqrt(positive / (positive - 1)), np.sqrt((60 - positive) / (59 - positive)))
    for row in range(0, 60, 7):
        step = np.zeros(60)
        step[row] = 1e-6
        slope = (figure(1 + step) - figure(1 - step)) / 2e-6
        assert statistic.influence[row] == pytest.approx(slope * scale[row], abs=1e-6, rel=1e-4)


def test_delong_variance_by_the_definition() -> None:
    y, score = binary_rows(5, 120, levels=30)
    positive, negative = score[y == 1], score[y == 0]
    kernel = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = kernel.mean(1).var(ddof=1) / len(positive) + kernel.mean(0).var(ddof=1) / len(negative)
    statistic = statistic_of("quality.roc_auc", y=y, score=score, threshold=0.5, value=None, task=BINARY)
    assert float(statistic.influence @ statistic.influence) == pytest.approx(variance)


@pytest.mark.parametrize("metric", measurable(BINARY))
def test_bootstrap_agrees_with_the_analytic_interval(metric: str) -> None:
    y, score = binary_rows(11, 3000)
    score = 0.2 + 0.4 * score  # badly calibrated, so that the calibration error is no mere noise
    blocks = np.arange(3000) // 50
    kwargs: dict[str, Any] = {"y": y, "score": score, "threshold": 0.4, "value": VALUE, "task": BINARY}
    for by in (None, blocks):
        analytic = estimate(metric, **kwargs, blocks=by)
        drawn = estimate(metric, **kwargs, blocks=by, bootstrap=400, seed=7)
        assert drawn == estimate(metric, **kwargs, blocks=by, bootstrap=400, seed=7)
        assert (
            analytic.low is not None and analytic.high is not None and drawn.low is not None and drawn.high is not None
        )
        assert drawn.figure == analytic.figure
        assert (drawn.high - drawn.low) == pytest.approx(analytic.high - analytic.low, rel=0.35)


def test_blocks_widen_the_interval_when_days_differ_and_hold_their_promise() -> None:
    r = np.random.default_rng(2)
    inside = {"rows": 0, "days": 0}
    for _ in range(300):
        days = np.repeat(np.arange(10), 80)
        p = np.clip(0.5 + r.normal(0, 0.1, 10), 0.05, 0.95)[days]
        y = (r.random(800) < p).astype(int)
        kwargs: dict[str, Any] = {"y": y, "score": np.ones(800), "threshold": 0.5, "task": BINARY}
        for name, by in (("rows", None), ("days", days)):
            got = estimate("quality.accuracy", blocks=by, **kwargs)
            assert got.low is not None and got.high is not None
            inside[name] += got.low <= 0.5 <= got.high
    assert inside["rows"] < 230  # rows taken as independent promise too much
    assert 275 <= inside["days"] <= 298


@pytest.mark.parametrize(
    ("metric", "y", "score", "reason"),
    [
        ("quality.roc_auc", [1, 1, 1], [0.1, 0.2, 0.3], "all 3 rows are of one class"),
        ("quality.recall", [0, 0], [0.1, 0.9], "no row is positive"),
        ("quality.average_precision", [0, 0], [0.1, 0.9], "no row is positive"),
        ("quality.precision", [0, 1], [0.1, 0.2], "nothing was answered positive"),
        ("quality.f1", [0, 0], [0.1, 0.2], "none was answered positive"),
        ("quality.accuracy", [], [], "no labelled rows"),
        ("quality.log_loss", [0, 1], [0.1, float("nan")], "1 of 2 scores are not finite"),
        ("quality.brier", [0, float("nan")], [0.1, 0.3], "1 of 2 labels are not finite"),
        ("value.per_1000", [0, 1], [0.1, 0.3], "no [value] is declared"),
    ],
)
def test_what_does_not_exist_is_none_with_the_reason(
    metric: str, y: list[Any], score: list[float], reason: str
) -> None:
    got = estimate(metric, y=np.array(y), score=np.array(score), threshold=0.5, task=BINARY)
    assert got.figure is None
    assert got.low is None
    assert reason in got.reason


def test_r2_of_a_constant_label_does_not_exist() -> None:
    got = estimate("quality.r2", y=np.ones(5), score=np.arange(5.0), threshold=0, task="regression")
    assert got.figure is None
    assert "no variance" in got.reason


def test_a_single_row_and_a_single_block_promise_nothing_much() -> None:
    one = estimate("quality.accuracy", y=np.array([1]), score=np.array([0.9]), threshold=0.5, task=BINARY)
    assert (one.low, one.high) == (0.0, 1.0)
    y, score = binary_rows(0, 50)
    block = estimate("quality.accuracy", y=y, score=score, threshold=0.5, task=BINARY, blocks=np.zeros(50, dtype=int))
    assert "one block only" in block.reason
    parted = estimate("quality.roc_auc", y=np.array([0, 0, 1, 1]), score=np.arange(4.0), threshold=0.5, task=BINARY)
    assert parted.figure == 1.0
    assert parted.low is not None and parted.low < 0.5


def test_a_metric_the_task_has_not_and_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PermanentError, match=r"quality\.mae cannot be measured for binary"):
        estimate("quality.mae", y=np.ones(2), score=np.ones(2), threshold=0.5, task=BINARY)
    with pytest.raises(PermanentError, match="2 labels but 3 scores"):
        estimate("quality.brier", y=np.ones(2), score=np.ones(3), threshold=0.5, task=BINARY)
    with pytest.raises(PermanentError, match="do not fit"):
        estimate("quality.accuracy", y=np.ones(2), score=np.ones((2, 3)), threshold=0.5, task=BINARY)


def test_every_declared_metric_is_measured_and_knows_its_better_side() -> None:
    declared = {metric for metric in METRICS if metric.name.startswith(("quality.", "value."))}
    tasks = get_args(Task)
    for metric in declared:
        for task in metric.tasks or tasks:
            assert metric.name in measurable(task)
        assert better_when(metric.name) == metric.better
    assert {name for task in tasks for name in measurable(task)} == {metric.name for metric in declared}


@settings(max_examples=60)
@given(tp=st.floats(-5, 10), fp=st.floats(-10, 5), tn=st.floats(-2, 5), fn=st.floats(-10, 2), seed=st.integers(0, 1000))
def test_the_decision_threshold_earns_the_most(tp: float, fp: float, tn: float, fn: float, seed: int) -> None:
    value = Value(true_positive=tp, false_positive=fp, true_negative=tn, false_negative=fn)
    p = np.linspace(0, 1, 101)
    yes, no = p * tp + (1 - p) * fp, p * fn + (1 - p) * tn
    earned = np.where(p >= decision_threshold(value), yes, no)
    if tp - fn >= 0 or tn - fp >= 0:  # otherwise only low probabilities would pay for a "yes"
        assert earned == pytest.approx(np.maximum(yes, no), abs=1e-9)
    else:
        assert earned[50] == pytest.approx(max(yes[50], no[50]), abs=1e-9)


def test_the_threshold_of_the_flights_and_of_degenerate_values() -> None:
    assert decision_threshold(VALUE) == pytest.approx(3 / 11)
    assert decision_threshold(Value()) == 0.5
    assert decision_threshold(Value(correct=1.0, wrong=-1.0)) == pytest.approx(0.5)
    assert decision_threshold(Value(true_positive=1.0)) == 0.0
    assert decision_threshold(Value(false_positive=-1.0)) == 1.0
    assert decision_threshold(Value(true_positive=-1.0, false_positive=-1.0)) > 1.0


def test_worth_of_each_answer() -> None:
    value = Value(true_positive=8, false_positive=-3, true_negative=1, false_negative=-2, per_prediction=-0.5)
    got = value_of(np.array([0, 0, 1, 1]), np.array([0.1, 0.9, 0.1, 0.9]), 0.5, value, BINARY)
    assert got.tolist() == [0.5, -3.5, -2.5, 7.5]
    with pytest.raises(PermanentError, match="transcription"):
        value_of(np.ones(1), np.ones(1), 0.5, value, "transcription")  # type: ignore[arg-type]
