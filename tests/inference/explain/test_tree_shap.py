"""Contributions of trees are what the definition says, add up to the answer, and are LightGBM's own."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from tests.inference.explain.brute import Node, expected, kept_trees, shapley
from threadpoolctl import threadpool_limits

from trimtab.inference.explain.explainer import Explainer, Explanation, scores_of
from trimtab.inference.explain.kept import decode_explainer, encode_explainer
from trimtab.inference.explain.paths import paths_of
from trimtab.inference.explain.tree_shap import TreeShap
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.records.model import Feature, Signature
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import export

BINARY: Task = "binary_classification"
SEVERAL: Task = "multiclass_classification"
NUMBER: Task = "regression"
FEATURES = 5
CATEGORIES = (3, 4)  # features that are asked for membership
CELLS = st.sampled_from([float("nan"), float("-inf"), -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, float("inf")])


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    with threadpool_limits(1):
        yield


@st.composite
def trees(draw: Any, width: int, depth: int = 5, cover: float = 64.0) -> Node:
    """A random tree that asks about few features often, with sides that no training row took."""
    if depth == 0 or not draw(st.integers(0, 3)):
        return Node(cover, values=tuple(draw(st.floats(-2, 2)) for _ in range(width)))
    feature = draw(st.integers(0, FEATURES - 1))
    share = draw(st.sampled_from([0.0, 0.25, 0.5, 0.875, 1.0]))
    members = tuple(draw(st.sets(st.sampled_from([0.0, 1.0, 2.0, 3.0])))) if feature in CATEGORIES else None
    return Node(
        cover,
        feature=feature,
        threshold=draw(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0])),
        nan_left=draw(st.booleans()),
        members=members,
        left=draw(trees(width, depth - 1, cover * share)),
        right=draw(trees(width, depth - 1, cover * (1 - share))),
    )


@given(data=st.data(), width=st.sampled_from([1, 3]))
def test_every_tree_as_the_definition_says(data: Any, width: int) -> None:
    roots = data.draw(st.lists(trees(width), min_size=1, max_size=3))
    rows = np.array(data.draw(st.lists(st.lists(CELLS, min_size=5, max_size=5), min_size=1, max_size=4)), np.float32)
    targets = width if width > 1 else 2
    shap = TreeShap(paths_of(kept_trees(roots, targets)), FEATURES)
    found = shap.contributions(rows, lambda: False)
    wanted = np.zeros_like(found)
    base = np.zeros(targets)
    answers = np.zeros((len(rows), targets))
    for position, root in enumerate(roots):
        where = slice(None) if width > 1 else slice(position % targets, position % targets + 1)
        base[where] += expected(root, rows[0], frozenset())
        for place, row in enumerate(rows):
            wanted[place, where] += shapley(root, row)
            answers[place, where] += expected(root, row, frozenset(range(FEATURES)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shap.base, base, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shap.base + found.sum(axis=2), answers, rtol=0, atol=1e-12)


def real(task: Task) -> tuple[np.ndarray, np.ndarray, int]:
    made = {BINARY: load_breast_cancer, SEVERAL: load_wine, NUMBER: load_diabetes}[task]()
    return made.data.astype(np.float32), made.target, 0 if task == NUMBER else len(set(made.target))


def holed(x: np.ndarray) -> np.ndarray:
    """The rows with a tenth of the cells missing."""
    told = x.copy()
    told[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    return told


def explained(model: Any, task: Task, classes: int, x: np.ndarray) -> tuple[Explainer, Explanation, np.ndarray]:
    """The explainer as a server would have it, what it says of `x`, and the answers that are explained."""
    signature = Signature(
        task=task,
        inputs=(),
        features=tuple(Feature(name=f"f{i}", kind="number") for i in range(x.shape[1])),
        classes=tuple(str(k) for k in range(classes)),
    )
    exported = Model.load(export(model, signature), signature)
    kept = explainer_of(model, exported, x, x)
    explainer = Explainer(decode_explainer(encode_explainer(kept)), exported)
    return explainer, explainer.explain_all(x), exported.scores(x).reshape(len(x), -1)


@pytest.mark.parametrize("task", [BINARY, SEVERAL, NUMBER])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_leaves": 120, "min_child_samples": 1},
        {"bagging_freq": 1, "bagging_fraction": 0.5, "feature_fraction": 0.5, "random_state": 3},
    ],
    ids=["usual", "deep", "bagged"],
)
def test_lightgbm_says_the_same(task: Task, settings: dict[str, Any]) -> None:
    x, y, classes = real(task)
    kind = lgb.LGBMRegressor if task == NUMBER else lgb.LGBMClassifier
    model = kind(n_estimators=30, verbose=-1, n_jobs=1, **settings).fit(holed(x), y)
    rows = np.vstack([holed(x), np.full((1, x.shape[1]), np.nan, np.float32)])
    explainer, told, _ = explained(model, task, classes, rows)
    theirs = model.predict(rows, pred_contrib=True).reshape(len(rows), max(1, len(told.outputs)), -1)
    assert explainer.method == "tree_shap"
    scale = max(1.0, np.abs(theirs).max())
    assert np.abs(told.contributions - theirs[:, :, :-1]).max() < 1e-9 * scale
    assert np.abs(told.base - theirs[0, :, -1]).max() < 1e-9 * scale


def test_lightgbm_says_the_same_of_categories() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 5)).astype(np.float32)
    x[:, 0], x[:, 1] = rng.integers(-1, 70, 3000), rng.integers(-1, 3, 3000)
    y = rng.normal(size=80)[x[:, 0].astype(int)] + x[:, 2] * (x[:, 1] + 1) + rng.normal(size=3000)
    model = lgb.LGBMRegressor(n_estimators=30, num_leaves=60, verbose=-1, n_jobs=1)
    model.fit(holed(x), y, categorical_feature=[0, 1])
    rows = np.vstack([holed(x)[:500], holed(x)[:50]])
    rows[500:, 0] = 90  # never seen
    _, told, _ = explained(model, NUMBER, 0, rows)
    theirs = model.predict(rows, pred_contrib=True)
    assert np.abs(told.contributions[:, 0] - theirs[:, :-1]).max() < 1e-9


@pytest.mark.parametrize(
    ("task", "model", "unit"),
    [
        (BINARY, RandomForestClassifier(20, random_state=0), "probability"),
        (SEVERAL, ExtraTreesClassifier(20, random_state=0), "probability"),
        (NUMBER, RandomForestRegressor(10, random_state=0), "prediction"),
        (BINARY, HistGradientBoostingClassifier(max_iter=20), "log-odds"),
        (SEVERAL, HistGradientBoostingClassifier(max_iter=20), "margin before softmax"),
        (NUMBER, HistGradientBoostingRegressor(max_iter=20, loss="poisson"), "logarithm of the prediction"),
        (BINARY, GradientBoostingClassifier(n_estimators=20), "log-odds"),
        (BINARY, GradientBoostingClassifier(n_estimators=20, loss="exponential"), "log-odds"),
        (SEVERAL, GradientBoostingClassifier(n_estimators=20), "margin before softmax"),
        (NUMBER, GradientBoostingRegressor(n_estimators=20), "prediction"),
        (BINARY, lgb.LGBMClassifier(n_estimators=20, boosting_type="rf", bagging_freq=1, bagging_fraction=0.6,
                                    n_jobs=1, verbose=-1), "log-odds"),
        (BINARY, lgb.LGBMClassifier(n_estimators=20, objective="multiclass", num_class=2, n_jobs=1, verbose=-1),
         "log-odds"),
        (SEVERAL, lgb.LGBMClassifier(n_estimators=20, objective="multiclassova", n_jobs=1, verbose=-1), "log-odds"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else str(value),
)  # fmt: skip
def test_contributions_add_up_to_the_answer(task: Task, model: Any, unit: str) -> None:
    x, y, classes = real(task)
    explainer, told, answers = explained(model.fit(x, y), task, classes, x)
    links = {"log-odds": "logistic", "margin before softmax": "softmax", "logarithm of the prediction": "exponential"}
    ours = scores_of(told.base + told.contributions.sum(axis=2), links.get(unit, "identity"))
    assert (explainer.method, told.unit) == ("tree_shap", unit)
    assert told.outputs == tuple(map(str, range(classes)) if task == SEVERAL else ())
    assert np.abs(ours - answers).max() < 1e-4 * max(1.0, answers.std())


def test_two_classes_met_of_three() -> None:
    x, y, _ = real(BINARY)
    model = lgb.LGBMClassifier(n_estimators=10, n_jobs=1, verbose=-1).fit(x, y * 2)
    _, told, answers = explained(model, SEVERAL, 3, x)
    assert told.outputs == ("0", "2")
    margins = told.base + told.contributions.sum(axis=2)
    assert np.abs(scores_of(margins, "logistic") - answers[:, [0, 2]]).max() < 1e-5


def test_forests_too_large_to_explain_in_time_are_occluded() -> None:
    x = np.random.default_rng(0).normal(size=(4000, 6)).astype(np.float32)
    model = RandomForestRegressor(30, random_state=0, n_jobs=1).fit(x, x[:, 0] * x[:, 1])
    explainer, told, _ = explained(model, NUMBER, 0, x[:300])
    assert sum(member.tree_.node_count for member in model.estimators_) > 100_000
    assert (explainer.method, told.unit) == ("occlusion", "prediction")
    assert np.abs(told.contributions).mean(axis=(0, 1)).argmax() in (0, 1)


def test_trees_of_one_leaf_explain_nothing() -> None:
    x, y, _ = real(NUMBER)
    _, told, answers = explained(lgb.LGBMRegressor(min_child_samples=10_000, verbose=-1).fit(x, y), NUMBER, 0, x)
    assert not told.contributions.any()
    assert told.base == pytest.approx(answers[0].astype(float), rel=1e-6)
