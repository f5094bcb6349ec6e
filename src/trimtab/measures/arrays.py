"""The array types that measures speak in, and the grouping of rows into blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def inner(first: Floats, second: Floats) -> float:
    """The sum of products of two vectors [n]. Not by BLAS: to wake its threads takes longer than the sum, and they spin
    on while nothing is asked of them."""
    return float(np.einsum("i,i->", first, second))


def block_index(blocks: NDArray[Any]) -> tuple[Ints, int]:
    """Number the distinct blocks 0..B-1 in ascending order: the index of each row [n], and B.

    Counting is used where the span of the numbers is small (days), sorting otherwise.
    """
    values = np.asarray(blocks)
    if values.size == 0:
        return np.zeros(0, dtype=np.intp), 0
    if np.issubdtype(values.dtype, np.integer):
        low, high = int(values.min()), int(values.max())
        if high - low <= 4 * values.size + 1024:
            shifted = (values - low).astype(np.intp)
            present = np.bincount(shifted, minlength=high - low + 1) > 0
            number = np.cumsum(present) - 1
            return number[shifted].astype(np.intp), int(number[-1]) + 1
    distinct, index = np.unique(values, return_inverse=True)
    return index.reshape(-1).astype(np.intp), int(distinct.size)


def block_sums(columns: Floats, index: Ints, count: int) -> Floats:
    """Sums over each block: [n] gives [B], [n, m] gives [B, m]."""
    if columns.ndim == 1:
        return np.bincount(index, weights=columns, minlength=count).astype(np.float64, copy=False)
    return np.stack([np.bincount(index, weights=column, minlength=count) for column in columns.T], axis=1)
