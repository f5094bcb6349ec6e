"""What is exported answers as the fitted model does, on every value, and what cannot be exported is refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from trimtab.errors import PermanentError
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.records.model import Feature, Signature
from trimtab.training.export.ensemble import round_down
from trimtab.training.export.export import difference, export, native_scores

BINARY: Task = "binary_classification"
SEVERAL: Task = "multiclass_classification"
NUMBER: Task = "regression"
TIGHT = 2e-5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small fits on a shared machine lose far more by waiting for each other than they gain."""
    with threadpool_limits(1):
        yield


def signature(task: Task, features: int, classes: int) -> Signature:
    return Signature(
        task=task,
        inputs=(),
        features=tuple(Feature(name=f"f{i}", kind="number") for i in range(features)),
        classes=tuple(str(k) for k in range(classes)),
    )


def gap(model: Any, task: Task, classes: int, x: np.ndarray) -> float:
    """The largest difference between the exported and the fitted model on `x`."""
    described = signature(task, x.shape[1], classes)
    loaded = Model.load(export(model, described), described)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # feature names that scikit-learn misses
        return difference(loaded.scores(x), native_scores(model, x, described))


def real(task: Task) -> tuple[np.ndarray, np.ndarray, int]:
    """Real rows as float32, a twentieth of the cells missing."""
    made = {BINARY: load_breast_cancer, SEVERAL: load_wine, NUMBER: load_diabetes}[task]()
    x = made.data.astype(np.float32)
    x[np.random.default_rng(0).random(x.shape) < 0.05] = np.nan
    return x, made.target, 0 if task == NUMBER else len(set(made.target))


def with_categories(rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of codes (-1 for unknown), three of numbers with missing cells, and a number to predict."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 5)).astype(np.float32)
    x[:, 0], x[:, 1] = rng.integers(-1, 70, rows), rng.integers(-1, 3, rows)
    x[:, 2:][rng.random((rows, 3)) < 0.05] = np.nan
    effect = rng.normal(size=80)
    return x, effect[x[:, 0].astype(int)] + np.nan_to_num(x[:, 2]) * (x[:, 1] + 1) + rng.normal(size=rows)


def beyond(x: np.ndarray) -> np.ndarray:
    """The same rows, and rows with codes that training never saw and more missing cells."""
    rng = np.random.default_rng(2)
    more = x[:800].copy()
    more[:, 0], more[:, 1] = rng.integers(-1, 90, len(more)), rng.integers(-1, 6, len(more))
    more[rng.random(more.shape) < 0.1] = np.nan
    return np.vstack([x, more])


def lightgbm(task: Task, **settings: Any) -> Any:
    kind = lgb.LGBMRegressor if task == NUMBER else lgb.LGBMClassifier
    return kind(**{"n_estimators": 40, "verbose": -1, "random_state": 0, "n_jobs": 1, **settings})


def histogram(task: Task, **settings: Any) -> Any:
    kind = HistGradientBoostingRegressor if task == NUMBER else HistGradientBoostingClassifier
    return kind(**{"max_iter": 40, "random_state": 0, **settings})


def forest(task: Task) -> Any:
    kind = RandomForestRegressor if task == NUMBER else RandomForestClassifier
    return kind(n_estimators=20, random_state=0)


def linear(task: Task) -> Any:
    last = Ridge() if task == NUMBER else LogisticRegression(max_iter=500)
    return make_pipeline(SimpleImputer(), StandardScaler(), last)


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
@pytest.mark.parametrize("make", [lightgbm, histogram, forest, linear])
def test_real_rows(make: Any, task: Task) -> None:
    x, y, classes = real(task)
    assert gap(make(task).fit(x, y), task, classes, x) < TIGHT


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
@pytest.mark.parametrize("library", ["lightgbm", "histogram"])
def test_categories_unknown_codes_and_missing_cells(library: str, task: Task) -> None:
    x, z = with_categories()
    y = {BINARY: (z > 0).astype(int), SEVERAL: np.digitize(z, [-1.0, 1.0]), NUMBER: z * 100}[task]
    model = (
        lightgbm(task).fit(x, y, categorical_feature=[0, 1])
        if library == "lightgbm"
        else histogram(task, categorical_features=[0, 1]).fit(x, y)
    )
    assert gap(model, task, 0 if task == NUMBER else len(set(y)), beyond(x)) < TIGHT


def test_other_models() -> None:
    x, y, _ = real(BINARY)
    z, numbers, _ = real(NUMBER)
    full = np.nan_to_num(x)
    booster = lgb.train({"objective": "binary", "verbose": -1}, lgb.Dataset(x, y), 20)
    assert gap(booster, BINARY, 2, x) < TIGHT
    assert (
        gap(lightgbm(BINARY, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5).fit(full, y), BINARY, 2, x)
        < TIGHT
    )
    assert gap(lightgbm(NUMBER, objective="tweedie").fit(z, numbers), NUMBER, 0, z) < TIGHT
    assert gap(histogram(NUMBER, loss="poisson").fit(z, numbers), NUMBER, 0, z) < TIGHT
    assert gap(lightgbm(BINARY, min_child_samples=5000).fit(x, y), BINARY, 2, x) < TIGHT  # trees of one leaf
    assert gap(DecisionTreeClassifier(random_state=0).fit(x, y), BINARY, 2, x) == 0.0
    assert gap(ExtraTreesClassifier(10, random_state=0).fit(x, y), BINARY, 2, x) < TIGHT
    assert gap(GradientBoostingClassifier(n_estimators=10).fit(full, y), BINARY, 2, full) < TIGHT
    assert gap(make_pipeline(SimpleImputer(), lightgbm(BINARY)).fit(x, y), BINARY, 2, x) < TIGHT
    calibrated = CalibratedClassifierCV(LogisticRegression(max_iter=5000), cv=2).fit(full, y)
    assert gap(calibrated, BINARY, 2, full) < TIGHT


@pytest.mark.parametrize("task", [BINARY, SEVERAL])
def test_shares_of_a_forests_trees_are_no_more_than_all(task: Task) -> None:
    """Ten times 0.1 is 1.0000001 in single precision: nobody should take the logarithm of what is left."""
    x = np.linspace(0, 1, 400, dtype=np.float32)[:, None]
    y = np.digitize(x[:, 0], [0.5] if task == BINARY else [0.3, 0.6])
    model = RandomForestClassifier(10, n_jobs=1, random_state=0).fit(x, y)
    made = signature(task, 1, int(y.max()) + 1)
    scores = Model.load(export(model, made), made).scores(x)
    assert 0.0 <= scores.min() <= scores.max() == 1.0


def test_no_other_model_pays_for_it() -> None:
    x, y, classes = real(BINARY)
    for make in (lightgbm, histogram, linear):
        graph = onnx.load_from_string(export(make(BINARY).fit(x, y), signature(BINARY, x.shape[1], classes))).graph
        assert "Clip" not in {node.op_type for node in graph.node}


def test_early_stopping_exports_the_best_iteration() -> None:
    x, z = with_categories()
    y = (z > 0).astype(int)
    model = lightgbm(BINARY, n_estimators=500, learning_rate=0.5)
    stop = lgb.early_stopping(5, verbose=False)
    model.fit(x[:1500], y[:1500], eval_X=x[1500:], eval_y=y[1500:], callbacks=[stop])
    assert model.best_iteration_ < 100
    assert gap(model, BINARY, 2, x) < TIGHT


def test_classes_that_the_model_has_not_met_get_nothing() -> None:
    x, z = with_categories()
    y = np.where(z > 0, 3, 1)
    described = signature(SEVERAL, 5, 4)
    for model in (lightgbm(SEVERAL).fit(x, y), histogram(SEVERAL).fit(x, y)):
        scores = Model.load(export(model, described), described).scores(x)
        assert scores.shape == (len(x), 4)
        assert not scores[:, [0, 2]].any()
        np.testing.assert_allclose(scores[:, 3], model.predict_proba(x)[:, 1], atol=TIGHT)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32, allow_nan=False))
@example(threshold=-3.402823364973241e38, value=0.0)
@example(threshold=-1.7e308, value=-3.4e38)
@example(threshold=1.7e308, value=3.4e38)
def test_rounding_a_threshold_down_changes_no_answer(threshold: float, value: float) -> None:
    rounded = round_down(np.array([threshold]))
    assert (np.float32(value) <= rounded[0]) == (value <= threshold)
    near = np.float32(np.clip(threshold, -3e38, 3e38))
    for other in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        assert (other <= rounded[0]) == (float(other) <= threshold)


@pytest.mark.parametrize("library", ["lightgbm", "histogram", "forest"])
def test_neighbouring_float32_values_part_where_the_library_parts_them(library: str) -> None:
    """Thresholds between two neighbouring float32 values are not float32 themselves."""
    base = np.float32(8.0)
    steps = [base]
    for _ in range(40):
        steps.append(np.nextafter(steps[-1], np.float32(9)))
    x = np.repeat(np.array(steps, dtype=np.float32), 30)[:, None]
    y = np.repeat(np.arange(41) % 2, 30)
    model = {
        "lightgbm": lightgbm(BINARY, min_child_samples=1, min_data_in_bin=1, num_leaves=64),
        "histogram": histogram(BINARY, min_samples_leaf=1, max_leaf_nodes=64, early_stopping=False),
        "forest": forest(BINARY),
    }[library].fit(x, y)
    assert model.predict_proba(x)[:, 1].std() > 0.3
    assert gap(model, BINARY, 2, x) < TIGHT


def test_the_same_model_gives_the_same_bytes() -> None:
    x, z = with_categories()
    y = (z > 0).astype(int)
    described = signature(BINARY, 5, 2)
    for make in (
        lambda: lightgbm(BINARY, deterministic=True, force_row_wise=True).fit(x, y, categorical_feature=[0]),
        lambda: histogram(BINARY, categorical_features=[0]).fit(x, y),
        lambda: forest(BINARY).fit(x, y),
        lambda: linear(BINARY).fit(x, y),
    ):
        assert export(make(), described) == export(make(), described)


@pytest.mark.parametrize(
    ("make", "task", "message"),
    [
        (lambda x, y: None, BINARY, "train\\(\\) returned nothing"),
        (lambda x, y: {"a": 1}, BINARY, "returned builtins.dict; expected a fitted"),
        (lambda x, y: LogisticRegression(), BINARY, "returned a LogisticRegression that is not fitted"),
        (lambda x, y: LinearSVC().fit(x, y), BINARY, "LinearSVC gives no probabilities"),
        (lambda x, y: lightgbm(BINARY).fit(x, y), NUMBER, "returned the classifier LGBMClassifier for a regression"),
        (lambda x, y: lightgbm(BINARY).fit(x[:, :3], y), BINARY, "fitted on 3 features; the rows have 30"),
        (lambda x, y: lightgbm(BINARY, linear_tree=True).fit(x, y), BINARY, "linear trees cannot be exported"),
        (lambda x, y: lightgbm(BINARY, zero_as_missing=True).fit(x, y), BINARY, "zero_as_missing cannot be exported"),
        (lambda x, y: DummyRegressor().fit(x, y), NUMBER, "DummyRegressor cannot be exported to ONNX"),
        (lambda x, y: lightgbm(BINARY).fit(x, np.ones(len(y))), BINARY, "has learned one class only"),
    ],
)
def test_what_cannot_be_exported_is_refused(make: Any, task: Task, message: str) -> None:
    data = load_breast_cancer()
    x = data.data.astype(np.float32)
    with pytest.raises(PermanentError, match=message):
        export(make(x, data.target), signature(task, x.shape[1], 0 if task == NUMBER else 2))


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(PermanentError, match="the model cannot be loaded"):
        Model.load(b"not a model", signature(BINARY, 1, 2))
