"""Near duplicates: which of many hashes nearly equal one that came before."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Ints

_BITS = 64
_AT_ONCE = 1 << 20


def near_duplicates(hashes: NDArray[np.uint64], distance: int) -> Ints:
    """For each hash [n] the index of an earlier one that differs in at most `distance` of the 64 bits, -1 where there
    is none.

    Exact, without comparing all pairs: the bits are cut into `distance` + 1 bands, of which two hashes so close must
    share one whole (pigeonhole; Manku, Jain & Das Sarma 2007, "Detecting near-duplicates for web crawling").
    ValueError for a distance outside 0..15.
    """
    if not 0 <= distance <= 15:
        raise ValueError(f"a distance of {distance} bits: near is 0 to 15 of 64")
    values = np.ascontiguousarray(hashes, np.uint64)
    first = np.full(values.size, -1, dtype=np.intp)
    bands = distance + 1
    edges = np.linspace(0, _BITS, bands + 1).astype(int)
    for low, high in pairwise(edges):
        mask = np.uint64(((1 << int(high - low)) - 1) << int(low)) if high - low < _BITS else np.uint64(2**64 - 1)
        _within_band(values, values & mask, distance, first)
    return first


def _within_band(values: NDArray[np.uint64], band: NDArray[np.uint64], distance: int, first: Ints) -> None:
    """Look through every group of equal bands, and note in `first` what is found. In each group the rows stand in
    their own order, so that shifting by 1, 2, 3... meets each pair once with the earlier one in front."""
    order = np.argsort(band, kind="stable")
    ordered = band[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    place = np.arange(values.size) - np.repeat(starts, np.diff(np.concatenate([starts, [values.size]])))
    shift = 1
    left = np.flatnonzero((place >= shift) & (first[order] < 0))
    while left.size:
        later, earlier = order[left], order[left - shift]
        for begin in range(0, left.size, _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            near = np.bitwise_count(values[later[part]] ^ values[earlier[part]]) <= distance
            first[later[part][near]] = earlier[part][near]
        shift += 1
        left = left[(place[left] >= shift) & (first[order[left]] < 0)]
