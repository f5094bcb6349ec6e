"""LightGBM models, read from the library's own text form.

The rules of a split follow `Tree::NumericalDecision` and `Tree::CategoricalDecision` of LightGBM 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.errors import PermanentError
from trimtab.inference.explain.kept import Link
from trimtab.training.export.ensemble import Ensemble, Tree

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1
_SIMPLE = {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom"}
_LOGARITHMIC = {"poisson", "gamma", "tweedie"}


def lightgbm_ensemble(model: Any) -> Ensemble:
    """The ensemble of a Booster or of a fitted LGBMClassifier or LGBMRegressor: probabilities, or the number.

    Raises PermanentError for what ONNX cannot say: linear trees, `zero_as_missing`, ranking and other objectives.
    """
    booster = getattr(model, "booster_", model)
    header, *blocks = booster.model_to_string().split("\nTree=")
    about = _pairs(header)
    if not blocks:
        raise PermanentError("the LightGBM model has no trees")
    trees = [_tree(_pairs(block.partition("\n")[2].partition("\nend of trees")[0])) for block in blocks]
    objective, *options = about.get("objective", "custom").split()
    targets = int(about["num_tree_per_iteration"])
    if "average_output" in about:  # a random forest
        for tree in trees:
            tree.values /= len(trees) / targets
    slope = next((float(o.partition(":")[2]) for o in options if o.startswith("sigmoid:")), 1.0)
    link: Link = "identity"
    if objective in {"binary", "multiclassova", "cross_entropy"}:
        for tree in trees:
            tree.values *= slope
        link = "logistic"
    elif objective == "multiclass":
        link = "softmax"
    elif objective in _LOGARITHMIC and "sqrt" not in options:
        link = "exponential"
    elif objective not in _SIMPLE or "sqrt" in options:
        raise PermanentError(f"the LightGBM objective {about.get('objective')!r} cannot be exported")
    return Ensemble(trees=trees, base=[0.0] * targets, link=link)


def _pairs(text: str) -> dict[str, str]:
    return {key: value for line in text.splitlines() for key, _, value in [line.partition("=")] if key}


def _tree(about: dict[str, str]) -> Tree:
    if about.get("is_linear", "0") != "0":
        raise PermanentError("LightGBM's linear trees cannot be exported", hint="leave out linear_tree")
    leaves = int(about["num_leaves"])
    inner = leaves - 1
    values = np.array(about["leaf_value"].split(), dtype=np.float64)
    count = inner + leaves

    def column(name: str, kind: type[np.generic]) -> Any:
        return np.array(about[name].split() if inner else [], dtype=np.float64).astype(kind)

    kinds = column("decision_type", np.int64)
    missing = (kinds >> 2) & 3
    if (missing == _MISSING_ZERO).any():
        raise PermanentError("LightGBM's zero_as_missing cannot be exported", hint="leave out zero_as_missing")
    threshold = np.array(about["threshold"].split() if inner else [], dtype=np.float64)
    categorical = (kinds & _CATEGORICAL) > 0
    # Without missing values in training, NaN is read as 0.
    nan_left = np.where(missing == _MISSING_NONE, threshold >= 0.0, (kinds & _DEFAULT_LEFT) > 0) & ~categorical

    def child(name: str) -> Any:
        nodes = column(name, np.int64)
        return np.concatenate([np.where(nodes >= 0, nodes, inner + ~nodes), np.zeros(leaves, dtype=np.int64)])

    sets = {}
    if categorical.any():
        bounds = [int(b) for b in about["cat_boundaries"].split()]
        words = [int(w) for w in about["cat_threshold"].split()]
        for node in np.flatnonzero(categorical):
            split = int(threshold[node])
            bits = words[bounds[split] : bounds[split + 1]]
            sets[int(node)] = [float(32 * i + b) for i, word in enumerate(bits) for b in range(32) if word >> b & 1]
    none = np.zeros(leaves)
    leaf_count = np.array(about["leaf_count"].split(), dtype=np.float64) if "leaf_count" in about else none
    return Tree(
        feature=np.concatenate([column("split_feature", np.int64), none.astype(np.int64)]),
        threshold=np.concatenate([threshold, none]),
        left=child("left_child"),
        right=child("right_child"),
        leaf=np.arange(count) >= inner,
        nan_left=np.concatenate([nan_left, none.astype(bool)]),
        values=np.concatenate([np.zeros(inner), values])[:, None],
        cover=np.concatenate([column("internal_count", np.float64), leaf_count]),
        sets=sets,
    )
