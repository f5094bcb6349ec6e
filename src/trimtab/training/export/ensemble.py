"""Sums of decision trees as one ONNX TreeEnsembleRegressor, exact on float32 inputs.

Libraries compare `value <= threshold` in float64. On a float32 value that is the same as comparing with the greatest
float32 that is not above the threshold, so thresholds are rounded down; rounding to the nearest, as common converters
do, sends values that lie on a threshold the wrong way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto

from trimtab.inference.explain.kept import Link
from trimtab.training.export.graph import Graph


@dataclass
class Tree:
    """One tree; node 0 is the root, all arrays are [nodes].

    An inner node goes `left` where feature <= threshold (or NaN and `nan_left`), else `right`. `sets` maps a node that
    asks for membership to the feature values that go left; everything else goes right, NaN too but where `nan_left` is
    set. `values` is [nodes, targets], read at leaves; `cover` how many training rows came through, as the library
    weighs them.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaf: NDArray[np.bool_]
    nan_left: NDArray[np.bool_]
    values: NDArray[np.float64]
    cover: NDArray[np.float64]
    sets: Mapping[int, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ensemble:
    """Trees whose leaves are added to `base`, one number a target, and go through `link`. A tree with one value column
    counts towards target `position % targets`, as boosting lays them out, one with `targets` columns towards all."""

    trees: Sequence[Tree]
    base: Sequence[float]
    link: Link

    @property
    def targets(self) -> int:
        return len(self.base)


def round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The greatest float32 that is not above each threshold."""
    with np.errstate(over="ignore"):  # below the least float32 comes -inf, which is right: no value is smaller
        near = threshold.astype(np.float32)
        below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > threshold, below, near)


def ensemble_graph(ensemble: Ensemble, source: str) -> Graph:
    """The graph of an ensemble on tensor `source`."""
    trees, targets, base = ensemble.trees, ensemble.targets, ensemble.base
    transform = _TRANSFORMS[ensemble.link]
    columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _COLUMNS}
    modes: list[NDArray[np.bytes_]] = []
    for position, tree in enumerate(trees):
        flat = _without_sets(tree)
        count = len(flat.feature)
        ids = np.arange(count, dtype=np.int64)
        columns["nodes_treeids"].append(np.full(count, position, dtype=np.int64))
        columns["nodes_nodeids"].append(ids)
        columns["nodes_featureids"].append(np.where(flat.leaf, 0, flat.feature))
        columns["nodes_values"].append(np.where(flat.leaf, np.float32(0), round_down(flat.threshold)))
        columns["nodes_truenodeids"].append(np.where(flat.leaf, 0, flat.left))
        columns["nodes_falsenodeids"].append(np.where(flat.leaf, 0, flat.right))
        columns["nodes_missing_value_tracks_true"].append((flat.nan_left & ~flat.leaf).astype(np.int64))
        mode = np.where(flat.leaf, b"LEAF", b"BRANCH_LEQ")
        for node in flat.sets:
            mode[node] = b"BRANCH_EQ"
        modes.append(mode)
        leaves = ids[flat.leaf]
        width = flat.values.shape[1]
        wanted = np.arange(targets) if width == targets else np.array([position % targets])
        columns["target_treeids"].append(np.full(len(leaves) * width, position, dtype=np.int64))
        columns["target_nodeids"].append(np.repeat(leaves, width))
        columns["target_ids"].append(np.tile(wanted.astype(np.int64), len(leaves)))
        columns["target_weights"].append(flat.values[leaves].astype(np.float32).ravel())
    node = NodeProto(op_type="TreeEnsembleRegressor", domain="ai.onnx.ml", input=[source], output=["trees"])
    for name, kind in _COLUMNS.items():
        joined = np.concatenate(columns[name])
        if name == "nodes_missing_value_tracks_true" and not joined.any():
            continue
        attribute = node.attribute.add(name=name, type=kind)
        (attribute.ints if kind == AttributeProto.INTS else attribute.floats).extend(joined.tolist())
    node.attribute.add(name="nodes_modes", type=AttributeProto.STRINGS).strings.extend(np.concatenate(modes).tolist())
    node.attribute.add(name="n_targets", type=AttributeProto.INT, i=targets)
    # ONNX Runtime leaves a lone target as it is, whatever the transform.
    alone = transform == "LOGISTIC" and targets == 1
    node.attribute.add(name="post_transform", type=AttributeProto.STRING, s=b"NONE" if alone else transform.encode())
    if any(base):
        node.attribute.add(name="base_values", type=AttributeProto.FLOATS).floats.extend(base)
    graph = Graph(input=source, output="trees", width=targets, nodes=[node])
    if alone:
        graph.add("Sigmoid", ["trees"], "probability")
    if ensemble.link == "exponential":
        graph.add("Exp", [graph.output], "exponential")
    return graph


_TRANSFORMS: dict[Link, str] = {
    "identity": "NONE",
    "exponential": "NONE",
    "logistic": "LOGISTIC",
    "softmax": "SOFTMAX",
}

_COLUMNS = {
    "nodes_treeids": AttributeProto.INTS,
    "nodes_nodeids": AttributeProto.INTS,
    "nodes_featureids": AttributeProto.INTS,
    "nodes_values": AttributeProto.FLOATS,
    "nodes_truenodeids": AttributeProto.INTS,
    "nodes_falsenodeids": AttributeProto.INTS,
    "nodes_missing_value_tracks_true": AttributeProto.INTS,
    "target_treeids": AttributeProto.INTS,
    "target_nodeids": AttributeProto.INTS,
    "target_ids": AttributeProto.INTS,
    "target_weights": AttributeProto.FLOATS,
}


def _without_sets(tree: Tree) -> Tree:
    """Membership as a chain of equality nodes that share their true branch; in the result `sets` marks those nodes."""
    if not tree.sets:
        return tree
    feature, threshold = list(tree.feature), list(tree.threshold)
    left, right = list(tree.left), list(tree.right)
    equal: dict[int, Sequence[float]] = {}
    for node, members in tree.sets.items():
        chain = sorted(members)
        if not chain:  # nothing goes left: any value that no cell has will do
            chain = [-2.0]
        then, otherwise, here = left[node], right[node], node
        for order, member in enumerate(chain):
            threshold[here] = member
            left[here] = then
            equal[here] = ()
            if order < len(chain) - 1:
                feature.append(feature[node])
                threshold.append(0.0)
                left.append(then)
                right.append(0)
                right[here] = len(feature) - 1
                here = right[here]
            else:
                right[here] = otherwise
    grown = len(feature) - len(tree.feature)
    return Tree(
        feature=np.array(feature, dtype=np.int64),
        threshold=np.array(threshold, dtype=np.float64),
        left=np.array(left, dtype=np.int64),
        right=np.array(right, dtype=np.int64),
        leaf=np.concatenate([tree.leaf, np.zeros(grown, dtype=bool)]),
        nan_left=np.concatenate([tree.nan_left, np.zeros(grown, dtype=bool)]),  # asked once, by the first of a chain
        values=np.concatenate([tree.values, np.zeros((grown, tree.values.shape[1]))]),
        cover=np.concatenate([tree.cover, np.zeros(grown)]),
        sets=equal,
    )
