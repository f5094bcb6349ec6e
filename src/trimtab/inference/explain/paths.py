"""Decision trees as paths: one for each leaf, with all that its splits ask of one feature drawn together.

This is the preprocessing of Mitchell, Frank & Holmes 2022, "GPUTreeShap: massively parallel exact calculation of SHAP
scores for tree ensembles", here for splits on categories too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.explain.kept import KeptTrees, array_of

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Membership:
    """Elements of a group that ask whether a categorical `feature` has one of some values. `places` [E] are their
    positions in the flattened group, `known` [V] the values that any of them names, in order, and `goes` [E, V + 1]
    whether a row with that value goes along; the last column is for any other value, and for none."""

    feature: int
    places: Ints
    known: Floats
    goes: Bools


@dataclass(frozen=True)
class PathGroup:
    """Paths that ask about equally many features, rounded up to an even number D: arrays are [D, P].

    A row goes along with an element where its `feature` is above `low` (NaN: no bound) and not above `high`, or is
    missing and `nan` is true; elements of `memberships` ask that instead. `share` is the part of the training rows that
    did, among those that came to the splits. Places left over ask for nothing: every row goes along, and share is 1.
    `values` [P, width] are the leaf's, for `target` [P] where width is 1, else for each target.
    """

    feature: Ints
    low: Singles
    high: Singles
    nan: Bools
    share: Floats
    values: Floats
    target: Ints
    memberships: tuple[Membership, ...]


@dataclass(frozen=True)
class Paths:
    """All paths of an ensemble. `base` [targets] is its expected sum over the training rows, `work` about how many
    multiplications one row takes."""

    groups: tuple[PathGroup, ...]
    targets: int
    base: Floats
    work: int


@dataclass(frozen=True)
class _Nodes:
    """The nodes of all trees in one numbering; `members` of a node that asks for membership are values."""

    feature: Ints
    threshold: Singles
    left: Ints
    right: Ints
    nan_left: Bools
    cover: Floats
    members: dict[int, Floats]
    leaves: Ints


@dataclass(frozen=True)
class _Edges:
    """Steps from a `node` down to the left or the right, on the way to `leaf` (a position among the leaves); sorted by
    leaf and feature. `starts` are the first edges of each (leaf, feature)."""

    leaf: Ints
    node: Ints
    left: Bools
    share: Floats
    starts: Ints


def paths_of(kept: KeptTrees) -> Paths:
    """The paths of kept trees."""
    sizes = array_of(kept.sizes, "i4").astype(np.int64)
    nodes = _nodes(kept, sizes)
    edges = _edges(nodes)
    leaves = len(nodes.leaves)
    values = array_of(kept.values, "f8").astype(np.float64).reshape(-1, kept.width)[nodes.leaves]
    target = np.repeat(np.arange(len(sizes)), sizes)[nodes.leaves] % kept.targets
    reach = np.ones(leaves)
    np.multiply.at(reach, edges.leaf, edges.share)
    expected = values * reach[:, None]
    base = expected.sum(axis=0)
    if kept.width == 1:
        base = np.bincount(target, expected[:, 0], minlength=kept.targets).astype(np.float64)
    counts = np.bincount(edges.leaf[edges.starts], minlength=leaves)
    groups = tuple(_group(nodes, edges, counts, chosen, values=values, target=target) for chosen in _by_width(counts))
    work = sum(group.share.size * len(group.share) // 2 for group in groups)
    return Paths(groups=groups, targets=kept.targets, base=base, work=work)


def _nodes(kept: KeptTrees, sizes: Ints) -> _Nodes:
    offset = np.repeat(np.cumsum(sizes) - sizes, sizes)
    left = array_of(kept.left, "i4") + offset
    ends = array_of(kept.set_ends, "i4").tolist()
    named = array_of(kept.set_values, "f8").astype(np.float64)
    asking = array_of(kept.set_nodes, "i4").tolist()
    return _Nodes(
        feature=array_of(kept.feature, "i4").astype(np.int64),
        threshold=array_of(kept.threshold, "f4").astype(np.float32),
        left=left,
        right=array_of(kept.right, "i4") + offset,
        nan_left=array_of(kept.nan_left, "u1").astype(bool),
        cover=array_of(kept.cover, "f8").astype(np.float64),
        members={node: named[a:b] for node, a, b in zip(asking, [0, *ends[:-1]], ends, strict=True)} if asking else {},
        leaves=np.flatnonzero(left == np.arange(len(left))),
    )


def _edges(nodes: _Nodes) -> _Edges:
    """All steps between roots and leaves, found by climbing from all leaves at once."""
    inner = np.flatnonzero(nodes.left != np.arange(len(nodes.left)))
    parent = np.full(len(nodes.left), -1, dtype=np.int64)
    parent[nodes.left[inner]] = inner
    parent[nodes.right[inner]] = inner
    found: list[tuple[Ints, Ints, Bools, Floats]] = []
    leaf, here = np.arange(len(nodes.leaves)), nodes.leaves
    while len(leaf):
        above = parent[here]
        share = np.zeros(len(here))
        np.divide(nodes.cover[here], nodes.cover[above], out=share, where=nodes.cover[above] > 0)
        going = above >= 0
        found.append((leaf[going], above[going], (nodes.left[above] == here)[going], share[going]))
        leaf, here = leaf[going], above[going]
    joined: list[NDArray[Any]] = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.lexsort((nodes.feature[joined[1]], joined[0]))
    leaf, node, left, share = (part[order] for part in joined)
    fresh = np.ones(len(leaf), dtype=bool)
    fresh[1:] = (leaf[1:] != leaf[:-1]) | (nodes.feature[node[1:]] != nodes.feature[node[:-1]])
    return _Edges(leaf, node, left, share, np.flatnonzero(fresh))


def _by_width(counts: Ints) -> Iterator[Ints]:
    """Leaves with 1 or 2 features on their way, with 3 or 4, and so on; one with none explains nothing."""
    half = (counts + 1) // 2
    for width in np.unique(half[half > 0]):
        yield np.flatnonzero(half == width)


def _group(nodes: _Nodes, edges: _Edges, counts: Ints, chosen: Ints, *, values: Floats, target: Ints) -> PathGroup:
    depth = int(counts[chosen].max() + 1) // 2 * 2
    shape = (depth, len(chosen))
    owner = edges.leaf[edges.starts]
    elements = np.flatnonzero(np.isin(owner, chosen))
    column = np.searchsorted(chosen, owner[elements])
    first = np.cumsum(counts) - counts
    places = (elements - first[owner[elements]]) * len(chosen) + column

    # Every element's own edges, one after the other: those of the chosen leaves.
    mine = np.isin(edges.leaf, chosen)
    starts = (np.cumsum(mine) - 1)[edges.starts[elements]]
    node, left = edges.node[mine], edges.left[mine]
    threshold = nodes.threshold[node]

    def placed(otherwise: float, found: NDArray[Any]) -> NDArray[Any]:
        whole = np.full(shape, otherwise, dtype=found.dtype)
        whole.reshape(-1)[places] = found
        return whole

    nothing = np.float32(np.nan)
    return PathGroup(
        feature=placed(0, nodes.feature[node[starts]]),
        low=placed(np.nan, np.fmax.reduceat(np.where(left, nothing, threshold), starts)),
        high=placed(np.inf, np.fmin.reduceat(np.where(left, threshold, np.float32(np.inf)), starts)),
        nan=placed(True, np.logical_and.reduceat(nodes.nan_left[node] == left, starts)),
        share=placed(1.0, np.multiply.reduceat(edges.share[mine], starts)),
        values=values[chosen],
        target=target[chosen],
        memberships=_memberships(nodes, node, left, starts, places),
    )


def _memberships(nodes: _Nodes, node: Ints, left: Bools, starts: Ints, places: Ints) -> tuple[Membership, ...]:
    """What splits on categories ask, by feature."""
    if not nodes.members:
        return ()
    element = np.repeat(np.arange(len(starts)), np.diff([*starts, len(node)]))
    asked: dict[int, dict[int, list[tuple[Floats, bool, bool]]]] = {}
    for edge in np.flatnonzero(np.isin(node, np.fromiter(nodes.members, np.int64))).tolist():
        here = int(node[edge])
        of_feature = asked.setdefault(int(nodes.feature[here]), {})
        of_feature.setdefault(int(element[edge]), []).append(
            (nodes.members[here], bool(nodes.nan_left[here]), bool(left[edge]))
        )
    found = []
    for feature, questions in sorted(asked.items()):
        named = [members for asks in questions.values() for members, _, _ in asks]
        known = np.unique(np.concatenate([*named, [np.inf]]))  # never empty, and no split names infinity
        goes = np.array(
            [
                np.logical_and.reduce(
                    [np.append(np.isin(known, members), [False, nan]) == inside for members, nan, inside in asks]
                )
                for asks in questions.values()
            ]
        )
        found.append(Membership(feature, places[np.fromiter(questions, np.int64)], known, goes))
    return tuple(found)
