"""The definition of path-dependent Shapley values, as slow as it stands in the paper, and how trees are kept."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.inference.explain.kept import KeptTrees, bytes_of


@dataclass
class Node:
    """A leaf with `values`, or a split. `members` is None for a split on a threshold."""

    cover: float
    values: tuple[float, ...] = ()
    feature: int = 0
    threshold: float = 0.0
    nan_left: bool = False
    members: tuple[float, ...] | None = None
    left: Node | None = None
    right: Node | None = None

    def goes_left(self, row: np.ndarray) -> bool:
        cell = float(row[self.feature])
        if self.members is not None:
            return cell in self.members
        return self.nan_left if math.isnan(cell) else cell <= self.threshold


def expected(node: Node, row: np.ndarray, known: frozenset[int]) -> np.ndarray:
    """What the tree answers when only the features in `known` are (Lundberg et al. 2018, algorithm 1)."""
    if node.left is None or node.right is None:
        return np.array(node.values)
    if node.feature in known:
        return expected(node.left if node.goes_left(row) else node.right, row, known)
    parts = [expected(side, row, known) * side.cover for side in (node.left, node.right)]
    return (parts[0] + parts[1]) / node.cover if node.cover else parts[0] * 0


def shapley(node: Node, row: np.ndarray) -> np.ndarray:
    """[targets, features], by the sum over all subsets."""
    features = range(len(row))
    found = np.zeros((len(expected(node, row, frozenset())), len(row)))
    for feature in features:
        others = [other for other in features if other != feature]
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(row))
            for chosen in itertools.combinations(others, size):
                without = frozenset(chosen)
                found[:, feature] += weight * (expected(node, row, without | {feature}) - expected(node, row, without))
    return found


def kept_trees(roots: list[Node], targets: int) -> KeptTrees:
    """The trees as they are kept."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "nan_left", "cover", "values")
    }
    sizes, asking, ends, members = [], [], [], []
    for root in roots:
        start, order = len(columns["feature"]), [root]
        for node in order:
            if node.left is not None and node.right is not None:
                order += [node.left, node.right]
        place = {id(node): position for position, node in enumerate(order)}
        width = len(next(node.values for node in order if node.values))
        for position, node in enumerate(order):
            inner = node.left is not None
            columns["feature"].append(node.feature if inner else 0)
            columns["threshold"].append(node.threshold)
            columns["left"].append(place[id(node.left)] if inner else position)
            columns["right"].append(place[id(node.right)] if inner else position)
            columns["nan_left"].append(node.nan_left and node.members is None and inner)
            columns["cover"].append(node.cover)
            columns["values"].append(node.values or (0.0,) * width)
            if inner and node.members is not None:
                asking.append(start + position)
                members += sorted(node.members)
                ends.append(len(members))
        sizes.append(len(order))
    kinds = {"feature": "i4", "threshold": "f4", "left": "i4", "right": "i4", "nan_left": "u1"}
    arrays = {name: bytes_of(np.array(cells), kinds.get(name, "f8")) for name, cells in columns.items()}
    return KeptTrees(
        sizes=bytes_of(np.array(sizes), "i4"),
        **arrays,
        width=len(columns["values"][0]),
        targets=targets,
        set_nodes=bytes_of(np.array(asking), "i4"),
        set_ends=bytes_of(np.array(ends), "i4"),
        set_values=bytes_of(np.array(members), "f8"),
    )
