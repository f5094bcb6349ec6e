"""XGBoost models, read from the library's own JSON form.

The rules of a split follow XGBoost's documentation of its model format and categorical data: a number goes left where
it is *below* the condition; a category goes right where the node names it, left where it does not; what is missing goes
the way that the node learnt. `base_score` is in the unit of the answer and is added before the link, as its inverse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.explain.kept import Link
from trimtab.training.export.ensemble import Ensemble, Tree

_UNKNOWN = -1.0
"""The code of a category that the rows' vocabulary does not know; XGBoost has none and learns it as missing."""
_LINKS: dict[str, Link] = {
    "binary:logistic": "logistic",
    "reg:logistic": "logistic",
    "multi:softprob": "softmax",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "identity",
    "count:poisson": "exponential",
    "reg:gamma": "exponential",
    "reg:tweedie": "exponential",
}
_TO_MARGIN: dict[Link, Callable[[float], float]] = {
    "identity": float,
    "softmax": float,
    "logistic": lambda share: math.log(share / (1.0 - share)),
    "exponential": math.log,
}


def xgboost_ensemble(model: Any) -> Ensemble:
    """The ensemble of a Booster or of a fitted XGBClassifier, XGBRegressor or random forest: probabilities, or the
    number. Of a wrapper that stopped early, the trees up to its best iteration, as it predicts with them itself.

    Raises PermanentError for what ONNX cannot say or what the rows are not coded for: linear boosters, vectors in
    leaves, several targets, ranking and survival, a `missing` that is a number, categories of a data frame.
    """
    _check_missing(model)
    learner = json.loads(_booster(model).save_raw("json"))["learner"]
    booster = learner["gradient_booster"]
    weights: Sequence[float] | None = booster.get("weight_drop")  # DART's weights of its trees
    booster = booster.get("gbtree", booster)
    if booster["name"] != "gbtree":
        raise PermanentError(
            f"XGBoost's booster {booster['name']!r} cannot be exported",
            hint='use booster="gbtree" or "dart", or a linear model of scikit-learn',
        )
    kept, about = booster["model"], learner["learner_model_param"]
    objective = learner["objective"]["name"]
    link = _LINKS.get(objective)
    if link is None:
        near = "; use multi:softprob" if objective == "multi:softmax" else ""
        raise PermanentError(f"the XGBoost objective {objective!r} cannot be exported{near}")
    if int(about.get("num_target", 1)) > 1 or any(_width(tree) > 1 for tree in kept["trees"]):
        raise PermanentError("an XGBoost model of several targets, or with vectors in its leaves, cannot be exported")
    _check_categories(kept)
    if not kept["trees"]:
        raise PermanentError("the XGBoost model has no trees")
    targets = max(1, int(about["num_class"]))
    trees = [_tree(tree, 1.0 if weights is None else weights[i]) for i, tree in enumerate(kept["trees"])]
    return Ensemble(trees=_in_turn(trees, kept["tree_info"], targets), base=_base(about, targets, link), link=link)


def xgboost_scores(model: Any, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the model itself answers for rows [n, features]: [n], or [n, classes]. In the columns that it was told are
    categories an unknown one is missing, which is how it learns them."""
    kinds = _booster(model).feature_types or []
    rows = x
    columns = [i for i, kind in enumerate(kinds) if kind == "c"]
    if columns:
        rows = x.copy()
        rows[:, columns] = np.where(rows[:, columns] == _UNKNOWN, np.nan, rows[:, columns])
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(rows), dtype=np.float64)
    if hasattr(model, "get_booster"):
        return np.asarray(model.predict(rows), dtype=np.float64)
    return np.asarray(model.inplace_predict(rows, validate_features=False), dtype=np.float64)


def _booster(model: Any) -> Any:
    if not hasattr(model, "get_booster"):
        return model
    booster = model.get_booster()
    best = booster.attributes().get("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


def _check_missing(model: Any) -> None:
    missing = getattr(model, "missing", None)
    if missing is not None and not np.isnan(missing):
        raise PermanentError(
            f"an XGBoost model with missing = {missing:g} cannot be exported",
            hint="leave `missing` out: what is missing is NaN in train.x",
        )


def _check_categories(kept: dict[str, Any]) -> None:
    """A model that was fitted on a data frame codes categories by its own list, not as the rows are coded."""
    if kept.get("cats", {}).get("enc"):
        raise PermanentError(
            "the XGBoost model has its own codes for categories, those of the data frame that it was fitted on",
            hint="fit it on train.coded(), with feature_types=train.feature_types and enable_categorical=True",
        )


def _base(about: dict[str, str], targets: int, link: Link) -> list[float]:
    """XGBoost 3 writes a list, older ones a number."""
    told = [float(word) for word in about["base_score"].strip("[]").split(",")]
    margins = [_TO_MARGIN[link](number) for number in told]
    return margins * targets if len(margins) == 1 else margins


def _in_turn(trees: Sequence[Tree], owners: Sequence[int], targets: int) -> list[Tree]:
    """The trees so that target `position % targets` owns each; forests keep all of one class beside each other."""
    of_target = [[tree for tree, owner in zip(trees, owners, strict=True) if owner == k] for k in range(targets)]
    return [tree for turn in zip(*of_target, strict=True) for tree in turn]


def _width(tree: dict[str, Any]) -> int:
    return int(tree["tree_param"].get("size_leaf_vector", 1))


def _tree(about: dict[str, Any], weight: float) -> Tree:
    left = np.array(about["left_children"], dtype=np.int64)
    right = np.array(about["right_children"], dtype=np.int64)
    condition = np.array(about["split_conditions"], dtype=np.float32)
    leaf = left < 0
    nan_left = np.array(about["default_left"], dtype=bool) & ~leaf
    sets: dict[int, list[float]] = {}
    named = about.get("categories", [])
    parts = zip(
        about.get("categories_nodes", []),
        about.get("categories_segments", []),
        about.get("categories_sizes", []),
        strict=True,
    )
    for node, start, size in parts:
        # The named ones go right. A set asks for those that go left, so the children change places.
        left[node], right[node] = right[node], left[node]
        nan_left[node] = not nan_left[node]
        members = [float(code) for code in named[start : start + size]]
        sets[node] = [*members, _UNKNOWN] if nan_left[node] else members
    tree = Tree(
        feature=np.where(leaf, 0, np.array(about["split_indices"], dtype=np.int64)),
        # Below a condition is at or below its neighbour, as every value is a float32.
        threshold=np.nextafter(condition, np.float32(-np.inf)).astype(np.float64),
        left=np.where(leaf, 0, left),
        right=np.where(leaf, 0, right),
        leaf=leaf,
        nan_left=nan_left,
        values=np.where(leaf, condition.astype(np.float64) * weight, 0.0)[:, None],
        cover=np.array(about["sum_hessian"], dtype=np.float64),
        sets=sets,
    )
    return tree if about["tree_param"].get("num_deleted", "0") == "0" else _reached(tree)


def _reached(tree: Tree) -> Tree:
    """Without the nodes that pruning left behind: nothing leads to them."""
    keep = np.zeros(len(tree.feature), dtype=bool)
    waiting = [0]
    while waiting:
        node = waiting.pop()
        keep[node] = True
        if not tree.leaf[node]:
            waiting += [int(tree.left[node]), int(tree.right[node])]
    place = np.cumsum(keep) - 1
    return Tree(
        feature=tree.feature[keep],
        threshold=tree.threshold[keep],
        left=np.where(tree.leaf, 0, place[tree.left])[keep],
        right=np.where(tree.leaf, 0, place[tree.right])[keep],
        leaf=tree.leaf[keep],
        nan_left=tree.nan_left[keep],
        values=tree.values[keep],
        cover=tree.cover[keep],
        sets={int(place[node]): members for node, members in tree.sets.items() if keep[node]},
    )
