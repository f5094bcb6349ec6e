"""Counting a column's values by cell and block: the one pass over the rows that profiles and drift share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats, Ints, block_index


@dataclass(frozen=True)
class Rows:
    """Rows in order of block: `matrix` [n, F] as given, `order` [n] that sorts by block (None: already), `block` [n] of
    the rows in that order, and where each block starts [B + 1]."""

    matrix: NDArray[Any]
    order: Ints | None
    block: Ints
    bounds: Ints

    @classmethod
    def of(cls, matrix: NDArray[Any], blocks: NDArray[Any] | None) -> Rows:
        """Group rows by `blocks` [n]; without, all are one block."""
        count = matrix.shape[0]
        if blocks is None:
            return cls(matrix, None, np.zeros(count, dtype=np.intp), np.array([0, count], dtype=np.intp))
        if len(blocks) != count:
            raise PermanentError(f"{count} rows but {len(blocks)} blocks", hint="give one block for each row")
        index, number = block_index(blocks)
        order = None
        if bool((index[1:] < index[:-1]).any()):
            order = np.argsort(index, kind="stable").astype(np.intp)
            index = index[order]
        bounds = np.searchsorted(index, np.arange(number + 1)).astype(np.intp)
        return cls(matrix, order, index, bounds)

    @property
    def count(self) -> int:
        return int(self.matrix.shape[0])

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    @property
    def blocks(self) -> int:
        return int(self.bounds.size) - 1

    def column(self, place: int) -> NDArray[Any]:
        """One column, contiguous, in order of block."""
        values = self.matrix[:, place]
        return np.ascontiguousarray(values) if self.order is None else values[self.order]


def category_counts(codes: NDArray[Any], block: Ints, blocks: int, size: int) -> Floats:
    """Counts of codes by block [B, size + 1]; nulls and codes outside the vocabulary come first."""
    known = (codes >= 0) & (codes < size)  # false for NaN
    cells = np.where(known, codes, -1).astype(np.intp) + 1
    width = size + 1
    counts = np.bincount(block * width + cells if blocks > 1 else cells, minlength=blocks * width)
    return counts.reshape(blocks, width).astype(np.float64)


def number_counts(rows: Rows, place: int, grid: NDArray[Any]) -> Floats:
    """Counts of values by block [B, len(grid) + 2]: nulls, then (-inf, grid[0]], (grid[0], grid[1]] ... above the last.

    Each block is sorted and the grid looked up in it, which is many times faster than looking every value up.
    """
    values = rows.column(place)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    counts = np.empty((rows.blocks, grid.size + 2))
    edges = grid.astype(values.dtype)
    for number in range(rows.blocks):
        part = np.sort(values[rows.bounds[number] : rows.bounds[number + 1]])
        known = part.size - _nulls(part)
        below = np.searchsorted(part[:known], edges, side="right")
        counts[number, 0] = part.size - known
        counts[number, 1:-1] = np.diff(below, prepend=0)
        counts[number, -1] = known - (below[-1] if below.size else 0)
    return counts


def _nulls(ordered: NDArray[Any]) -> int:
    """NaN sorts last: count them without looking at every value."""
    if ordered.size == 0 or not np.isnan(ordered[-1]):
        return 0
    return int(ordered.size - np.searchsorted(ordered, np.nan))
