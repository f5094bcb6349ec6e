"""ADWIN2: an adaptive window over a stream that drops its past when the mean has changed.

Bifet & Gavalda 2007, "Learning from time-changing data with adaptive windowing". Written here because the usual library
brings pandas, SciPy and scikit-learn into the process (0.9 s and 190 MB) for these lines; the tests hold it against it.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GRAIN = 32
_MOST = 5


class Adwin:
    """The window in an exponential histogram: buckets of 32, 64, 128 ... values, at most five of a size.

    A cut is looked for each time 32 values have come in; fewer wait. So what it holds depends on the values alone, not
    on how they were portioned out. `delta` bounds the rate of false cuts for independent values within 0..1.
    """

    def __init__(self, delta: float = 0.002) -> None:
        self.delta = delta
        self.seen = 0
        """Values taken in so far, without those that wait."""
        self.width = 0
        """How many of the last seen values the window holds."""
        self.cuts: list[tuple[int, float]] = []
        """For each cut: values seen when it was made, and how much the mean rose over it (below zero: fell)."""
        self._levels: list[list[tuple[float, float]]] = [[]]  # (sum, sum of squares), oldest first
        self._sum = 0.0
        self._squares = 0.0
        self._waiting = np.empty(0)

    @property
    def mean(self) -> float:
        """Mean of the window; 0 when it is empty."""
        return self._sum / self.width if self.width else 0.0

    def feed(self, values: NDArray[Any]) -> int:
        """Take values in, in order [n]; returns how many cuts that made."""
        before = len(self.cuts)
        stream = np.concatenate([self._waiting, np.asarray(values, dtype=np.float64)])
        whole = stream.size // _GRAIN * _GRAIN
        self._waiting = stream[whole:].copy()
        grains = stream[:whole].reshape(-1, _GRAIN)
        sums = grains.sum(axis=1).tolist()
        squares = np.square(grains).sum(axis=1).tolist()
        for total, square in zip(sums, squares, strict=True):
            self._insert(total, square)
            self._shrink()
        return len(self.cuts) - before

    def _insert(self, total: float, square: float) -> None:
        self.seen += _GRAIN
        self.width += _GRAIN
        self._sum += total
        self._squares += square
        self._levels[0].append((total, square))
        level = 0
        while len(self._levels[level]) > _MOST:
            if level + 1 == len(self._levels):
                self._levels.append([])
            first, second = self._levels[level][:2]
            del self._levels[level][:2]
            self._levels[level + 1].append((first[0] + second[0], first[1] + second[1]))
            level += 1

    def _shrink(self) -> None:
        """Drop the oldest buckets as long as some split of the window has means too far apart."""
        rise, cut = 0.0, False
        while self.width > _GRAIN and (found := self._split()) is not None:
            rise, cut = (rise if cut else found), True
            self._drop()
        if cut:
            self.cuts.append((self.seen, rise))

    def _split(self) -> float | None:
        """How much the mean rises over the first split, from the oldest on, that the bound does not allow.

        The bound is sqrt(2/m * variance * ln(2 ln(n) / delta)) + 2/(3m) * ln(2 ln(n) / delta), 1/m = 1/n0 + 1/n1.
        """
        width, total = self.width, self._sum
        mean = total / width
        spread = max(0.0, self._squares / width - mean * mean)
        confidence = log(2.0 * log(width) / self.delta)
        inside, outside = 2.0 * spread * confidence, 2.0 / 3.0 * confidence
        old, old_sum = 0, 0.0
        for level in range(len(self._levels) - 1, -1, -1):
            size = _GRAIN << level
            for bucket_sum, _ in self._levels[level]:
                old += size
                old_sum += bucket_sum
                new = width - old
                if new <= 0:
                    return None
                inverse = 1.0 / old + 1.0 / new
                rise = (total - old_sum) / new - old_sum / old
                if abs(rise) > sqrt(inside * inverse) + outside * inverse:
                    return rise
        return None

    def _drop(self) -> None:
        while not self._levels[-1]:
            self._levels.pop()
        total, square = self._levels[-1].pop(0)
        self.width -= _GRAIN << (len(self._levels) - 1)
        self._sum -= total
        self._squares -= square
        while len(self._levels) > 1 and not self._levels[-1]:
            self._levels.pop()
