"""What is kept of a fitted model so that its answers can be explained: its trees with their covers, or a baseline row.

The covers are those that the library counted while it fitted, so explanations are the library's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.explain.explainer import Explainer, link_of, scores_of
from trimtab.inference.explain.kept import KeptExplainer, KeptTrees, Link, bytes_of
from trimtab.inference.model import Model
from trimtab.records.model import Signature
from trimtab.training.export.ensemble import Ensemble, Tree, round_down
from trimtab.training.export.export import LARGEST_DIFFERENCE, ensemble_of, unwrapped

CHECKED_ROWS = 64
_MOST_ROWS = 256
_MOST_WORK = 400_000_000
"""Multiplications that the importance may take: about two seconds."""
_MOST_NODES = 100_000
"""Nodes of all trees beyond which they are not kept: a row would take tens of milliseconds, a server 100 MB."""


def explainer_of(
    model: Any, exported: Model, training: NDArray[np.float32], holdout: NDArray[np.float32]
) -> KeptExplainer:
    """What explains `model`, which `exported` runs: `training` are the rows [n, features] that it was fitted on, for
    the baseline, `holdout` those that its importance is measured on.

    Trees are kept where the model is nothing but a sum of them, not too many, and the contributions of sampled rows add
    up to what the exported model answers; for any other model features are occluded.
    """
    signature = exported.signature
    link = link_of(signature)
    baseline = bytes_of(baseline_row(training, signature), "f4")
    units: dict[Link, str] = {"logistic": "log-odds", "softmax": "log-probability"}
    several = tuple(range(len(signature.classes))) if signature.task == "multiclass_classification" else ()
    kept = KeptExplainer(unit=units.get(link, "prediction"), baseline=baseline, outputs=several, link=link)
    ensemble = _ensemble(model)
    if ensemble is not None and sum(len(tree.feature) for tree in ensemble.trees) <= _MOST_NODES:
        by_trees = _with_trees(kept, ensemble, _present(model, signature), signature)
        if _adds_up(by_trees, exported, sample(holdout, CHECKED_ROWS)):
            kept = by_trees
    return _with_importance(kept, exported, holdout)


def baseline_row(rows: NDArray[np.float32], signature: Signature) -> NDArray[np.float32]:
    """The row that stands for nothing known [features]: medians of numbers, the commonest code of categories."""
    row = np.zeros(len(signature.features), dtype=np.float32)
    for position, feature in enumerate(signature.features):
        cells = rows[:, position]
        cells = cells[np.isfinite(cells)]
        if feature.kind == "category":
            codes, counts = np.unique(cells, return_counts=True)
            row[position] = codes[counts.argmax()] if len(codes) else -1.0
        else:
            row[position] = np.median(cells) if len(cells) else np.nan
    return row


def sample(rows: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """At most that many of the rows, evenly spread."""
    chosen: NDArray[np.float32] = rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
    return chosen


def _ensemble(model: Any) -> Ensemble | None:
    found = ensemble_of(model)
    if found is None:
        from trimtab.training.export.scikit import boosted_ensemble  # here: not for LightGBM

        found = boosted_ensemble(unwrapped(model))
    return found


def _present(model: Any, signature: Signature) -> list[int]:
    known = getattr(model, "classes_", None)
    return list(range(len(signature.classes))) if known is None else [int(value) for value in known]


def _with_trees(kept: KeptExplainer, ensemble: Ensemble, present: Sequence[int], signature: Signature) -> KeptExplainer:
    """The same with trees, and how their targets become what is explained."""
    targets, base, link = ensemble.targets, np.array(ensemble.base), ensemble.link
    mix = np.eye(targets)
    outputs: tuple[int, ...] = ()
    shift = np.zeros(targets)
    if signature.task == "binary_classification" and targets == 2:
        if link == "softmax":
            mix, link = np.array([[-1.0, 1.0]]), "logistic"
        else:
            mix = np.array([[0.0, 1.0]])
    elif signature.task == "multiclass_classification":
        outputs = tuple(present)
        if targets == 1:  # two classes were met: what speaks for one speaks against the other
            mix = np.array([[-1.0], [1.0]])
            shift = np.array([1.0, 0.0]) if link == "identity" else np.zeros(2)
    shift = (shift if len(shift) == len(mix) else np.zeros(len(mix))) + mix @ base
    units: dict[Link, str] = {
        "logistic": "log-odds",
        "softmax": "margin before softmax",
        "exponential": "logarithm of the prediction",
        "identity": "prediction" if signature.task == "regression" else "probability",
    }
    return KeptExplainer(
        unit=units[link],
        baseline=kept.baseline,
        outputs=outputs,
        link=link,
        trees=_trees(ensemble),
        mix=tuple(tuple(row) for row in mix.tolist()),
        shift=tuple(shift.tolist()),
    )


def _trees(ensemble: Ensemble) -> KeptTrees:
    trees = ensemble.trees
    sizes = np.array([len(tree.feature) for tree in trees])
    offsets = np.cumsum(sizes) - sizes

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(tree, name) for tree in trees])

    asking, ends, members = [], [], []
    for tree, offset in zip(trees, offsets.tolist(), strict=True):
        for node, values in sorted(tree.sets.items()):
            asking.append(node + offset)
            members += sorted(values)
            ends.append(len(members))
    nan_left = joined("nan_left") & ~joined("leaf")
    return KeptTrees(
        sizes=bytes_of(sizes, "i4"),
        feature=bytes_of(np.where(joined("leaf"), 0, joined("feature")), "i4"),
        threshold=bytes_of(round_down(np.where(joined("leaf"), 0.0, joined("threshold"))), "f4"),
        left=bytes_of(np.concatenate([_or_itself(tree, tree.left) for tree in trees]), "i4"),
        right=bytes_of(np.concatenate([_or_itself(tree, tree.right) for tree in trees]), "i4"),
        nan_left=bytes_of(nan_left, "u1"),
        cover=bytes_of(joined("cover"), "f8"),
        values=bytes_of(joined("values"), "f8"),
        width=trees[0].values.shape[1],
        targets=ensemble.targets,
        set_nodes=bytes_of(np.array(asking, dtype=np.int64), "i4"),
        set_ends=bytes_of(np.array(ends, dtype=np.int64), "i4"),
        set_values=bytes_of(np.array(members, dtype=np.float64), "f8"),
    )


def _or_itself(tree: Tree, child: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(tree.leaf, np.arange(len(child)), child)


def _adds_up(kept: KeptExplainer, exported: Model, rows: NDArray[np.float32]) -> bool:
    """Whether base and contributions of rows add up to what the exported model answers."""
    told = Explainer(kept, exported).explain_all(rows)
    ours = scores_of(told.base + told.contributions.sum(axis=2), kept.link)
    answered = exported.scores(rows).astype(np.float64).reshape(len(rows), -1)
    if kept.outputs:
        answered = answered[:, list(kept.outputs)]
    return bool(np.abs(ours - answered).max() <= LARGEST_DIFFERENCE * max(1.0, float(answered.std())))


def _with_importance(kept: KeptExplainer, exported: Model, holdout: NDArray[np.float32]) -> KeptExplainer:
    """The same with the mean absolute contribution of each feature, over all outputs."""
    explainer = Explainer(kept, exported)
    rows = sample(holdout, max(16, min(_MOST_ROWS, _MOST_WORK // max(1, explainer.work))))
    told = explainer.explain_all(rows)
    importance = np.abs(told.contributions).mean(axis=(0, 1))
    if not np.isfinite(importance).all():
        raise PermanentError("the contributions of features are not finite")
    return KeptExplainer(
        unit=kept.unit,
        baseline=kept.baseline,
        outputs=kept.outputs,
        link=kept.link,
        trees=kept.trees,
        mix=kept.mix,
        shift=kept.shift,
        importance=tuple(importance.tolist()),
        importance_rows=len(rows),
    )
