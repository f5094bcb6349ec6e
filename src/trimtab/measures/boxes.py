"""How far two sets of boxes of one picture agree. A box is (x0, y0, x1, y1); sets are float arrays [n, 4]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.measures.arrays import Floats


def intersection_over_union(a: Floats, b: Floats) -> Floats:
    """Area in common over area of both together, of each box of `a` with each of `b`: [n, m]; 0 for empty boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0.0, None), axis=2)
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0.0, None), axis=1)
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0.0, None), axis=1)
    union = area_a[:, None] + area_b[None, :] - common
    overlap: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap


def matched(
    a: Floats, b: Floats, labels_a: Sequence[str], labels_b: Sequence[str], threshold: float = 0.0
) -> list[tuple[int, int, float]]:
    """Pairs of boxes of the same label, each box in one pair at most: (position in a, position in b, their overlap).

    Greedy: the pair that overlaps most goes first, as detection benchmarks match (Everingham et al. 2010, "The Pascal
    visual object classes challenge"). Where nobody draws boxes of one label over each other this finds at thresholds
    above one half all pairs there are: two boxes that each share more than half with a third overlap each other. Pairs
    without overlap, or under the threshold, are none.
    """
    overlap = intersection_over_union(a, b)
    same = np.array([[left == right for right in labels_b] for left in labels_a], dtype=bool).reshape(overlap.shape)
    overlap = np.where(same, overlap, 0.0)
    pairs: list[tuple[int, int, float]] = []
    free_a, free_b = set(range(len(a))), set(range(len(b)))
    order = np.argsort(-overlap, axis=None, kind="stable")
    for flat in order.tolist():
        row, column = divmod(flat, len(b))
        found = float(overlap[row, column])
        if found <= 0 or found < threshold:
            break
        if row in free_a and column in free_b:
            free_a.discard(row)
            free_b.discard(column)
            pairs.append((row, column, found))
    return pairs


def f1_of_boxes(
    a: Floats, b: Floats, labels_a: Sequence[str], labels_b: Sequence[str], threshold: float = 0.5
) -> float:
    """2 * pairs / (boxes in a + boxes in b) of boxes that overlap by `threshold`; two empty sets agree: 1."""
    if not len(a) and not len(b):
        return 1.0
    return 2.0 * len(matched(a, b, labels_a, labels_b, threshold)) / (len(a) + len(b))


def mean_overlap(a: Floats, b: Floats, labels_a: Sequence[str], labels_b: Sequence[str]) -> float:
    """Mean overlap of matched boxes, where a box without a partner counts 0; two empty sets agree: 1."""
    if not len(a) and not len(b):
        return 1.0
    pairs = matched(a, b, labels_a, labels_b)
    return sum(found for _, _, found in pairs) / (len(a) + len(b) - len(pairs))
