"""XGBoost models answer the same from ONNX, on missing cells and unknown categories too, and are explained alike."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from tests.training.export.test_export import (
    BINARY,
    NUMBER,
    SEVERAL,
    TIGHT,
    beyond,
    gap,
    real,
    signature,
    with_categories,
)

from trimtab.errors import PermanentError
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import export

KINDS = ["c", "c", "q", "q", "q"]


def boosted(task: Task, **settings: Any) -> Any:
    kind = xgb.XGBRegressor if task == NUMBER else xgb.XGBClassifier
    return kind(**{"n_estimators": 30, "n_jobs": 1, "random_state": 0, **settings})


def coded(x: np.ndarray) -> np.ndarray:
    """As `Rows.coded` does it: unknown categories are missing."""
    out = x.copy()
    out[:, :2] = np.where(out[:, :2] < 0, np.nan, out[:, :2])
    return out


def labels(task: Task, z: np.ndarray) -> tuple[np.ndarray, int]:
    made: tuple[np.ndarray, int] = {
        BINARY: ((z > 0).astype(int), 2),
        SEVERAL: (np.digitize(z, [-1.0, 1.0]), 3),
        NUMBER: (z * 100, 0),
    }[task]
    return made


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
def test_real_rows_with_missing_cells(task: Task) -> None:
    x, y, classes = real(task)
    assert gap(boosted(task).fit(x, y), task, classes, x) < TIGHT
    assert gap(boosted(task, booster="dart", rate_drop=0.3).fit(x, y), task, classes, x) < TIGHT
    assert gap(boosted(task, base_score=None if task == SEVERAL else 0.25).fit(x, y), task, classes, x) < TIGHT


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
@pytest.mark.parametrize("onehot", [1, 100])
def test_categories_unknown_codes_and_missing_cells(task: Task, onehot: int) -> None:
    """`onehot` 100: a split names one category; 1: it parts them in two groups."""
    x, z = with_categories()
    y, classes = labels(task, z)
    model = boosted(task, enable_categorical=True, feature_types=KINDS, max_cat_to_onehot=onehot).fit(coded(x), y)
    trees = json.loads(model.get_booster().save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    ways = {tree["default_left"][node] for tree in trees for node in tree["categories_nodes"]}
    assert ways == {0, 1}, "missing categories should go both ways somewhere"
    assert gap(model, task, classes, beyond(x)) < TIGHT


def test_wrappers_boosters_and_forests() -> None:
    x, y, _ = real(BINARY)
    several, kinds, _ = real(SEVERAL)
    numbers, z, _ = real(NUMBER)
    booster = xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(x, y), 20)
    assert gap(booster, BINARY, 2, x) < TIGHT
    booster = xgb.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgb.DMatrix(several, kinds), 9)
    assert gap(booster, SEVERAL, 3, several) < TIGHT
    forest = xgb.XGBRFClassifier(n_estimators=7, n_jobs=1, random_state=0)
    assert gap(forest.fit(several, kinds), SEVERAL, 3, several) < TIGHT
    grown = boosted(SEVERAL, num_parallel_tree=3, subsample=0.7)
    assert gap(grown.fit(several, kinds), SEVERAL, 3, several) < TIGHT
    pruned = boosted(BINARY, tree_method="exact", gamma=2.0)
    assert gap(pruned.fit(x, y), BINARY, 2, x) < TIGHT
    for objective in ("count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror", "reg:pseudohubererror"):
        assert gap(boosted(NUMBER, objective=objective).fit(numbers, z), NUMBER, 0, numbers) < TIGHT, objective


def test_early_stopping_exports_the_best_iteration() -> None:
    x, z = with_categories()
    y = (z > 0).astype(int)
    model = boosted(BINARY, n_estimators=500, learning_rate=0.8, early_stopping_rounds=5)
    model.fit(x[:1500], y[:1500], eval_set=[(x[1500:], y[1500:])], verbose=False)
    assert model.best_iteration < 100
    assert len(model.get_booster().get_dump()) > model.best_iteration + 1
    assert gap(model, BINARY, 2, x) < TIGHT


def test_neighbouring_float32_values_part_where_the_library_parts_them() -> None:
    steps = [np.float32(8.0)]
    for _ in range(40):
        steps.append(np.nextafter(steps[-1], np.float32(9)))
    for sign in (1, -1):
        x = sign * np.repeat(np.array(steps, dtype=np.float32), 30)[:, None]
        y = np.repeat(np.arange(41) % 2, 30)
        model = boosted(BINARY, tree_method="exact", max_depth=8, min_child_weight=0, reg_lambda=0).fit(x, y)
        assert model.predict_proba(x)[:, 1].std() > 0.3
        assert gap(model, BINARY, 2, x) < TIGHT


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
def test_contributions_are_the_librarys_own(task: Task) -> None:
    """Beside XGBoost's `pred_contribs`, its own exact TreeSHAP, on categories and missing cells as well."""
    x, z = with_categories()
    y, classes = labels(task, z)
    model = boosted(task, n_estimators=8, enable_categorical=True, feature_types=KINDS).fit(coded(x), y)
    described = signature(task, 5, classes)
    exported = Model.load(export(model, described), described)
    kept = explainer_of(model, exported, x, beyond(x))
    assert kept.trees is not None, "it should be explained by its trees"
    rows = beyond(x)[::40]
    told = Explainer(kept, exported).explain_all(rows)
    asked = xgb.DMatrix(coded(rows), feature_types=KINDS, enable_categorical=True)
    theirs = model.get_booster().predict(asked, pred_contribs=True).reshape(len(rows), -1, 6)
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(told.contributions, theirs[:, :, :5], atol=1e-4 * scale)


@pytest.mark.parametrize(
    ("make", "task", "message"),
    [
        (lambda x, y: boosted(BINARY, booster="gblinear").fit(np.nan_to_num(x), y), BINARY, "booster 'gblinear' can"),
        (lambda x, y: boosted(BINARY, missing=-1.0).fit(x, y), BINARY, "with missing = -1 cannot be exported"),
        (lambda x, y: boosted(NUMBER, objective="binary:hinge").fit(x, y), NUMBER, "'binary:hinge' cannot be exported"),
        (
            lambda x, y: boosted(NUMBER, objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]).fit(x, y),
            NUMBER,
            "of several targets",
        ),
        (
            lambda x, y: xgb.train({"objective": "multi:softmax", "num_class": 2}, xgb.DMatrix(x, y), 2),
            BINARY,
            "use multi:softprob",
        ),
        (lambda x, y: boosted(BINARY).fit(x[:, :3], y), BINARY, "fitted on 3 features; the rows have 30"),
        (lambda x, y: boosted(BINARY).fit(x, y), NUMBER, "returned the classifier XGBClassifier for a regression"),
        (lambda x, y: boosted(BINARY), BINARY, "returned a XGBClassifier that is not fitted"),
    ],
)
def test_what_cannot_be_exported_is_refused(make: Any, task: Task, message: str) -> None:
    x, y, _ = real(BINARY)
    with pytest.raises(PermanentError, match=message):
        export(make(x, y), signature(task, x.shape[1], 0 if task == NUMBER else 2))


def test_a_data_frames_own_categories_are_refused() -> None:
    import pandas as pd

    x, z = with_categories()
    frame = pd.DataFrame(coded(x), columns=list("abcde"))
    frame["a"] = frame["a"].map(str).astype("category")
    model = boosted(BINARY, n_estimators=3, enable_categorical=True).fit(frame, (z > 0).astype(int))
    with pytest.raises(PermanentError, match="its own codes for categories"):
        export(model, signature(BINARY, 5, 2))


def test_the_same_model_gives_the_same_bytes() -> None:
    x, y, _ = real(BINARY)
    described = signature(BINARY, x.shape[1], 2)
    assert len({export(boosted(BINARY, subsample=0.5).fit(x, y), described) for _ in range(3)}) == 1
