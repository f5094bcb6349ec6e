"""Models without trees are explained by occlusion, within the time that is given, from a blob that is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trimtab.errors import PermanentError
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.explain.kept import KeptExplainer, array_of, decode_explainer, encode_explainer
from trimtab.inference.explain.occlusion import margins
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.records.model import Feature, Signature
from trimtab.training.export.explainer import baseline_row, explainer_of
from trimtab.training.export.export import export


def linear(task: Task) -> tuple[Explainer, KeptExplainer, Any, np.ndarray]:
    """A scaled linear model of the task, its explainer and its rows."""
    data = {
        "binary_classification": load_breast_cancer,
        "multiclass_classification": load_wine,
        "regression": load_diabetes,
    }[task]()
    x = data.data.astype(np.float32)
    last = Ridge() if task == "regression" else LogisticRegression(max_iter=2000)
    model = make_pipeline(SimpleImputer(), StandardScaler(), last).fit(x, data.target)
    signature = Signature(
        task=task,
        inputs=(),
        features=tuple(Feature(name=f"f{i}", kind="number") for i in range(x.shape[1])),
        classes=() if task == "regression" else tuple(map(str, sorted(set(data.target)))),
    )
    exported = Model.load(export(model, signature), signature)
    kept = explainer_of(model, exported, x, x)
    return Explainer(kept, exported), kept, model, x


@pytest.mark.parametrize("task", ["binary_classification", "regression"])
def test_occlusion_of_a_linear_model_is_its_weights(task: Task) -> None:
    explainer, _, model, x = linear(task)
    scale, last = model[1], model[2]
    weights = (last.coef_.ravel() / scale.scale_).astype(float)
    row = x[np.abs(model.decision_function(x) if task != "regression" else np.zeros(len(x))) < 5][:20]
    told = explainer.explain_all(row)
    assert told.method == "occlusion"
    assert told.unit == ("log-odds" if task == "binary_classification" else "prediction")
    wanted = (row - np.median(x, axis=0)) * weights
    assert np.abs(told.contributions[:, 0] - wanted).max() < 2e-3 * np.abs(wanted).max()


def test_occlusion_of_several_classes_is_of_their_log_probabilities() -> None:
    explainer, _, model, x = linear("multiclass_classification")
    told = explainer.explain_all(x[:3])
    assert (told.unit, told.outputs) == ("log-probability", ("0", "1", "2"))
    changed = x[1:2].copy()
    changed[0, 4] = np.median(x[:, 4])
    wanted = model.predict_log_proba(x[1:2]) - model.predict_log_proba(changed)
    assert told.contributions[1, :, 4] == pytest.approx(wanted[0], abs=1e-4)
    assert told.base == pytest.approx(model.predict_log_proba(np.median(x, axis=0)[None])[0], abs=1e-4)


def ticking(step: float) -> Callable[[], float]:
    """A clock that is `step` seconds later whenever it is looked at."""
    now = iter(np.arange(10_000) * step)
    return lambda: float(next(now))


def test_rows_that_the_time_does_not_allow_are_left() -> None:
    explainer, _, _, x = linear("regression")
    assert len(explainer.explain(x, 5.0, ticking(1.0)).contributions) == 5
    assert len(explainer.explain(x, 0.0, ticking(1.0)).contributions) == 1
    assert len(explainer.explain(x[:3], 5.0, ticking(1.0)).contributions) == 3
    assert explainer.seconds_a_row(ticking(0.25)) == 0.25
    assert explainer.seconds_a_row(ticking(9.0)) == 0.25  # measured once


def test_importance_is_the_mean_size_of_contributions() -> None:
    explainer, kept, _, x = linear("regression")
    assert kept.importance_rows == 256
    assert kept.importance == pytest.approx(np.abs(explainer.explain_all(x).contributions).mean(axis=(0, 1)), rel=0.2)
    largest = int(np.argmax(kept.importance))
    assert explainer.features[largest] in {"f2", "f4", "f8"}  # what the doctors would say: mass, blood, and s5


def test_the_baseline_is_what_is_usual() -> None:
    signature = Signature(
        task="regression",
        inputs=(),
        features=(
            Feature(name="size", kind="number"),
            Feature(name="colour", kind="category", vocabulary=("blue", "red")),
            Feature(name="empty", kind="number"),
        ),
    )
    nothing = np.nan
    rows = np.array([[1, 0, nothing], [nothing, 1, nothing], [9, 1, nothing], [np.inf, -1, nothing]], dtype=np.float32)
    assert baseline_row(rows, signature)[:2].tolist() == [5.0, 1.0]
    assert np.isnan(baseline_row(rows, signature)[2])


def test_certain_answers_have_finite_margins() -> None:
    sure = np.array([0.0, 1.0], np.float32)
    assert np.isfinite(margins(sure, "logistic")).all()
    assert np.isfinite(margins(sure[None], "softmax")).all()
    assert np.isfinite(margins(sure, "exponential")).all()


def test_the_blob_is_checked() -> None:
    _, kept, _, _ = linear("regression")
    blob = encode_explainer(kept)
    assert decode_explainer(blob) == kept
    assert len(array_of(kept.baseline, "f4")) == 10
    for damaged in (blob[:-1], b"", blob.replace(b"form\x01", b"form\x07")):
        with pytest.raises(PermanentError, match="what explains the model"):
            decode_explainer(damaged)
