"""Probabilities put right are so in the ONNX graph too, and a chosen threshold keeps what it was chosen for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from tests.training.export.test_export import BINARY, NUMBER, SEVERAL, signature

from trimtab import OnnxModel, calibrate
from trimtab.errors import PermanentError
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.training.calibrate import _at_least, _at_most
from trimtab.training.export.calibration import log_odds
from trimtab.training.export.export import difference, export, native_scores
from trimtab.training.rows import Rows

METHODS = ["sigmoid", "isotonic", "temperature"]


def rows(count: int, task: Task, seed: int) -> Rows:
    """Two informative columns of five; noise that an overfitted model is too sure about."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype(np.float32)
    z = 1.5 * x[:, 0] - x[:, 1] + rng.logistic(size=count)
    y = {BINARY: (z > 0).astype(int), SEVERAL: np.digitize(z, [-1.0, 1.0]), NUMBER: z}[task]
    return Rows(
        x=x,
        y=y,
        names=[f"f{i}" for i in range(5)],
        categorical=[],
        frame=pl.DataFrame(x),
        time=pl.Series([datetime(2020, 1, 1, tzinfo=UTC)] * count),
        signature=signature(task, 5, {BINARY: 2, SEVERAL: 3, NUMBER: 0}[task]),
    )


def models(task: Task) -> list[Any]:
    train = rows(600, task, 0)
    return [
        model.fit(train.x, train.y)
        for model in (
            lgb.LGBMClassifier(n_estimators=60, verbose=-1, n_jobs=1, min_child_samples=2),
            xgb.XGBClassifier(n_estimators=40, n_jobs=1),
            RandomForestClassifier(30, random_state=0, n_jobs=1),
            GaussianNB(),
        )
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_model_is_put_right_in_its_graph(method: Any) -> None:
    other, judged = rows(2000, BINARY, 1), rows(3000, BINARY, 2)
    described = signature(BINARY, 5, 2)
    for model in models(BINARY):
        found = calibrate(model, other, method)
        exported = Model.load(export(found, described), described).scores(judged.x)
        ours = native_scores(found, judged.x, described)
        assert ours is not None
        assert difference(exported, ours) < 1e-4, type(model)
        before = native_scores(model, judged.x, described)
        assert before is not None
        much = 0.03 if isinstance(model, GaussianNB) else -0.01  # which is not too sure of itself to begin with
        gained = log_loss(judged.y, exported) - log_loss(judged.y, np.clip(before, 1e-6, 1 - 1e-6))
        assert gained < much, type(model)


def test_as_scikit_learn_does_it() -> None:
    other, judged = rows(2000, BINARY, 1), rows(500, BINARY, 2)
    model = models(BINARY)[0]
    for method in ("temperature", "isotonic"):
        theirs = CalibratedClassifierCV(FrozenEstimator(model), method=method, cv=2).fit(other.x, other.y)
        ours = native_scores(calibrate(model, other, method), judged.x, signature(BINARY, 5, 2))
        assert ours is not None
        apart = np.abs(ours - theirs.predict_proba(judged.x)[:, 1])
        assert np.median(apart) < 1e-3, method
        assert apart.max() < (1e-3 if method == "temperature" else 0.2), method  # an eased step


def test_scikit_learns_own_wrapper_around_another_librarys_model_says_what_to_use() -> None:
    other = rows(300, BINARY, 1)
    wrapped = CalibratedClassifierCV(FrozenEstimator(models(BINARY)[0]), cv=2).fit(other.x, other.y)
    with pytest.raises(PermanentError, match="CalibratedClassifierCV cannot be exported") as refusal:
        export(wrapped, signature(BINARY, 5, 2))
    assert "trimtab.calibrate(model, rows)" in refusal.value.hint


def test_several_classes() -> None:
    other, judged = rows(2000, SEVERAL, 1), rows(500, SEVERAL, 2)
    described = signature(SEVERAL, 5, 3)
    for model in models(SEVERAL):
        found = calibrate(model, other, "temperature")
        exported = Model.load(export(found, described), described).scores(judged.x)
        ours = native_scores(found, judged.x, described)
        assert ours is not None
        assert difference(exported, ours) < 1e-4
        np.testing.assert_allclose(exported.sum(axis=1), 1.0, atol=1e-5)


def test_an_onnx_model_without_a_callable() -> None:
    described = signature(BINARY, 5, 2)
    content = export(models(BINARY)[0], described)
    found = calibrate(OnnxModel(content), rows(2000, BINARY, 1), false_positive_rate=0.05)
    judged = rows(4000, BINARY, 2)
    scores = Model.load(export(found, described), described).scores(judged.x)
    assert found.threshold is not None
    accepted = (scores >= found.threshold)[judged.y == 0].mean()
    assert 0.02 < accepted < 0.09


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=4, max_size=60),
    st.floats(0, 1),
)
def test_a_chosen_threshold_keeps_its_target_and_gives_away_nothing(pairs: list[tuple[int, bool]], rate: float) -> None:
    scores = np.array([number / 20 for number, _ in pairs])
    positive = np.array([yes for _, yes in pairs])
    if positive.all() or not positive.any():
        return
    threshold = _at_most(scores, positive, rate)
    assert (scores >= threshold)[~positive].mean() <= rate + 1e-9
    lower = scores[scores < threshold]
    if len(lower):
        assert (scores >= lower.max())[~positive].mean() > rate - 1e-9
    threshold = _at_least(scores, positive, rate)
    assert (scores >= threshold)[positive].mean() >= rate - 1e-9
    higher = scores[scores >= threshold]
    assert len(higher)


def test_log_odds_are_the_inverse_of_the_sigmoid() -> None:
    odds = np.linspace(-12, 12, 101)
    np.testing.assert_allclose(log_odds(1 / (1 + np.exp(-odds))), odds, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": None}, "needs rows to learn from"),
        ({"rows": rows(12, BINARY, 1)}, "of each class are needed"),
        ({"rows": rows(90, NUMBER, 1)}, "is for classifiers"),
        ({"rows": rows(90, SEVERAL, 1), "method": "sigmoid"}, "sigmoid is for two classes"),
        ({"rows": rows(90, SEVERAL, 1), "method": "temperature", "recall": 0.5}, "a threshold is for two classes"),
        ({"rows": rows(90, BINARY, 1), "recall": 0.5, "threshold": 0.1}, "takes one of threshold"),
        ({"rows": rows(90, BINARY, 1), "recall": 1.5}, "not between 0 and 1"),
    ],
)
def test_what_cannot_be_done_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        calibrate(None, **settings)
