"""The paired comparison: how often it errs when nothing differs, and that it finds what does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab.measures.comparison.paired import Paired, paired_difference
from trimtab.records.requirement import Value

VALUE = Value(true_positive=8.0, false_positive=-3.0)
THRESHOLD = 3 / 11


def world(
    r: np.random.Generator, days: int, rows: int, *, gain: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Days that share a shock, unequal in rows; two models, each off by its own whim each day. `gain` makes the
    second see more of the truth."""
    day = np.repeat(np.arange(days), r.integers(rows // 2, rows * 3 // 2, days))
    n = day.size
    signal = r.normal(size=n)
    y = (r.random(n) < 1 / (1 + np.exp(-(signal + 0.6 * r.normal(size=days)[day] - 1)))).astype(int)

    def model(seen: float) -> np.ndarray:
        whim = 0.5 * r.normal(size=days)[day] + 0.3 * r.normal(size=n)
        return 1 / (1 + np.exp(-(seen * signal + whim - 1)))

    return y, model(1.0 - gain), model(1.0), day


def compared(metric: str, rows: tuple[np.ndarray, ...], **more: Any) -> Paired:
    y, champion, challenger, day = rows
    kwargs: dict[str, Any] = {"value": VALUE, "task": "binary_classification", "blocks": day, "resamples": 1000}
    return paired_difference(
        metric,
        y=y,
        champion=champion,
        challenger=challenger,
        threshold_champion=THRESHOLD,
        threshold_challenger=THRESHOLD,
        **(kwargs | more),
    )


@pytest.mark.parametrize("days", [7, 14, 30])
def test_equal_models_are_seldom_told_apart(days: int) -> None:
    r = np.random.default_rng(5)
    trials = 400
    decided = dict.fromkeys(
        ("value.per_1000", "quality.log_loss", "quality.accuracy", "quality.roc_auc", "quality.average_precision"), 0
    )
    for _ in range(trials):
        rows = world(r, days, 60)
        for metric in decided:
            decided[metric] += compared(metric, rows).verdict != "no_difference"
    # 6% and the simulation's own noise: one standard error of 400 trials is 1.1%
    assert all(count <= 0.06 * trials + 4 for count in decided.values()), decided


def test_rows_taken_as_independent_would_decide_too_often() -> None:
    r = np.random.default_rng(5)
    wrong = sum(
        compared("quality.log_loss", world(r, 7, 100), blocks=None).verdict != "no_difference" for _ in range(100)
    )
    assert wrong > 15


@pytest.mark.parametrize(
    "metric", ["value.per_1000", "quality.log_loss", "quality.brier", "quality.roc_auc", "quality.f1"]
)
def test_a_better_model_is_found_from_either_side(metric: str) -> None:
    y, worse, better, day = world(np.random.default_rng(1), 20, 300, gain=0.9)
    up = compared(metric, (y, worse, better, day))
    down = compared(metric, (y, better, worse, day))
    assert (up.verdict, down.verdict) == ("better", "worse")
    assert up.difference == pytest.approx(-down.difference)
    assert up.low > 0 > down.high
    assert up.blocks == 20
    assert up.smallest_detectable is not None
    assert up.smallest_detectable > 0


def test_the_smallest_detectable_difference_is_found_four_times_in_five() -> None:
    r = np.random.default_rng(9)
    n, days, shift = 1400, 14, 0.0
    found = 0
    plain = np.repeat(np.arange(days), n // days)
    y = np.zeros(n)
    errors = [np.abs(r.normal(10, 1, n)) for _ in range(300)]
    kwargs: dict[str, Any] = {
        "y": y, "threshold_champion": 0, "threshold_challenger": 0, "value": None, "task": "regression", "blocks": plain
    }  # fmt: skip
    shift = float(
        np.mean(
            [
                paired_difference("quality.mae", champion=a, challenger=b, **kwargs).smallest_detectable
                for a, b in zip(errors[:50], errors[50:100], strict=True)
            ]
        )
    )
    for a, b in zip(errors[100:200], errors[200:], strict=True):
        found += paired_difference("quality.mae", champion=a + shift, challenger=b, **kwargs).verdict == "better"
    assert 65 <= found <= 95


def test_delong_paired_by_the_definition() -> None:
    y, a, b, _ = world(np.random.default_rng(3), 5, 60)

    def parts(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kernel = (score[y == 1][:, None] > score[y == 0]) * 1.0
        return kernel.mean(axis=1), kernel.mean(axis=0)

    of_positive, of_negative = parts(b)[0] - parts(a)[0], parts(b)[1] - parts(a)[1]
    variance = of_positive.var(ddof=1) / y.sum() + of_negative.var(ddof=1) / (1 - y).sum()
    got = compared("quality.roc_auc", (y, a, b, np.zeros(y.size)), blocks=None)
    assert got.method == "paired DeLong"
    bessel = np.sqrt(y.size / (y.size - 1))  # of the mean over all rows, which every metric shares
    assert (got.high - got.low) / 2 == pytest.approx(1.959964 * bessel * np.sqrt(variance))


def test_a_model_against_itself_makes_no_difference() -> None:
    y, a, _, day = world(np.random.default_rng(3), 7, 60)
    got = compared("value.per_1000", (y, a, a, day))
    assert (got.difference, got.low, got.high, got.verdict) == (0, 0, 0, "no_difference")


def test_each_model_has_its_own_threshold() -> None:
    y, a, _, day = world(np.random.default_rng(3), 14, 200)
    got = paired_difference(
        "value.per_1000",
        y=y,
        champion=a,
        challenger=a,
        threshold_champion=0.95,
        threshold_challenger=THRESHOLD,
        value=VALUE,
        task="binary_classification",
        blocks=day,
    )
    assert got.verdict == "better"


def test_what_cannot_be_compared_decides_nothing_and_says_why() -> None:
    y, a, b, day = world(np.random.default_rng(3), 7, 60)
    one_day = compared("quality.log_loss", (y, a, b, np.zeros_like(day)))
    assert one_day.verdict == "no_difference"
    assert "one block only" in one_day.reason
    one_class = compared("quality.roc_auc", (np.ones_like(y), a, b, day))
    assert one_class.smallest_detectable is None
    assert "one class" in one_class.reason


def test_the_same_seed_gives_the_same_interval() -> None:
    rows = world(np.random.default_rng(3), 9, 60)
    assert compared("quality.brier", rows) == compared("quality.brier", rows)
