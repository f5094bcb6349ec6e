"""Where an id stands: a map from many texts to numbers, built and asked in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

_GROWTH = 8  # a run is merged into the next older one unless that is more than so many times larger
Words = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class Keys(NamedTuple):
    """Ids as 128 bits each: two hashes with seeds of this process, so that two ids never meet by chance or by will."""

    first: Words
    second: Words

    def at(self, places: Numbers) -> Keys:
        """Some of them."""
        return Keys(self.first[places], self.second[places])


class _Run(NamedTuple):
    first: Words  # sorted
    second: Words
    numbers: Numbers


class KeyIndex:
    """Numbers by key; a key may have several. Kept in sorted runs of growing size: adding and finding n keys takes
    n log(size), without a Python object for any of them."""

    def __init__(self, seeds: tuple[int, int]) -> None:
        self._seeds = seeds
        self._runs: list[_Run] = []

    def keys(self, ids: pl.Series) -> Keys:
        """The keys of these ids."""
        first, second = (ids.hash(seed).to_numpy() for seed in self._seeds)
        return Keys(first, second)

    def add(self, keys: Keys, numbers: Numbers) -> None:
        """Enters numbers under their keys."""
        if len(numbers):
            run = _sorted(_Run(keys.first, keys.second, numbers))
            while self._runs and len(self._runs[-1].first) <= _GROWTH * len(run.first):
                run = _merged(self._runs.pop(), run)
            self._runs.append(run)

    def find(self, keys: Keys) -> tuple[Numbers, Numbers]:
        """Positions in `keys` and the numbers there, one pair for each number found, in no order."""
        order = np.argsort(keys.first, kind="stable")  # sorted questions stay in the processor's cache
        asked = keys.at(order)
        positions, numbers = [], []
        for run in self._runs:
            places = np.searchsorted(run.first, asked.first)
            open_ = np.arange(len(order))
            while True:
                inside = places < len(run.first)
                open_, places = open_[inside], places[inside]
                same = run.first[places] == asked.first[open_]
                open_, places = open_[same], places[same]
                if not len(open_):
                    break
                hit = run.second[places] == asked.second[open_]
                positions.append(order[open_[hit]])
                numbers.append(run.numbers[places[hit]])
                places = places + 1
        if not positions:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(positions), np.concatenate(numbers)


def _sorted(run: _Run) -> _Run:
    order = np.argsort(run.first, kind="stable")
    return _Run(run.first[order], run.second[order], run.numbers[order])


def _merged(older: _Run, newer: _Run) -> _Run:
    parts = zip(older, newer, strict=True)
    first, second, numbers = (np.concatenate(part) for part in parts)
    return _sorted(_Run(first, second, numbers))
