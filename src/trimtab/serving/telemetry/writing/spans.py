"""Ids that one process made one after the other, as spans: ten bytes for each batch, however many ids it has, and eight
for an id by itself.

Such an id (see `execution.identifiers`) is 48 bits of milliseconds and 24 bits of a counter around bits that are the
same in all ids of the process. Those of one batch nearly always differ in their last three digits alone, and then make
one span of numbers; ids that do not are no spans, and are kept by whoever asked in another way.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DIGITS = frozenset("0123456789abcdef")
_LENGTH, _HEAD, _FIXED = 36, 33, 18  # of the text; of what the ids of a span share; where the process's own bits begin


class IdSpans:
    """The ids of one process, in the order in which they were made. `len` is how many there are."""

    def __init__(self) -> None:
        self._fixed = ""
        self._base = 0
        self._last = -1
        self._starts = array("Q")
        self._sizes = array("H")
        self._singles = array("Q")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, ids: Sequence[str]) -> bool:
        """Takes ids that differ and were all made by the process; false where they are not one span that follows the
        others."""
        low, high, size = (ids[0], ids[0], 1) if len(ids) == 1 else (min(ids), max(ids), len(ids))
        if low[:_HEAD] != high[:_HEAD] or int(high[_HEAD:], 16) - int(low[_HEAD:], 16) != size - 1:
            return False
        if not self._count:
            self._fixed = low[_FIXED:_HEAD]
            self._base = _milliseconds(low)
        if low[_FIXED:_HEAD] != self._fixed:
            return False
        start = self._number(low)
        if start <= self._last or start >= 2**64 - size:
            return False
        self._last = start + size - 1
        if size == 1:
            self._singles.append(start)
        else:
            self._starts.append(start)
            self._sizes.append(size)
        self._count += size
        return True

    def mark(self, ids: Sequence[str], found: NDArray[np.bool_]) -> None:
        """Sets what is here in `found`."""
        if not self._count:
            return
        places, numbers = [], []
        for place, one in enumerate(ids):
            if not found[place] and (number := self._of(one)) is not None:
                places.append(place)
                numbers.append(number)
        if not places:
            return
        asked = np.array(numbers, np.uint64)
        here = np.zeros(len(asked), bool)
        if self._starts:
            starts, sizes = np.frombuffer(self._starts, np.uint64), np.frombuffer(self._sizes, np.uint16)
            spans = np.searchsorted(starts, asked, side="right").astype(np.int64) - 1
            before = np.maximum(spans, 0)
            here = (spans >= 0) & (asked - starts[before] < sizes[before])
        if self._singles:
            singles = np.frombuffer(self._singles, np.uint64)
            here |= singles[np.minimum(np.searchsorted(singles, asked), len(singles) - 1)] == asked
        found[places] = here

    def _number(self, one: str) -> int:
        return (_milliseconds(one) - self._base << 24) + int(one[15:18] + one[_HEAD:], 16)

    def _of(self, one: str) -> int | None:
        """The number of an id that the process may have made, written as it writes them; None for any other."""
        if len(one) != _LENGTH or one[_FIXED:_HEAD] != self._fixed or one[8] != "-" or one[13:15] != "-7":
            return None
        digits = one[:8] + one[9:13] + one[15:18] + one[_HEAD:]
        if not set(digits) <= _DIGITS:
            return None
        number = self._number(one)
        return number if 0 <= number < 2**64 else None


def _milliseconds(one: str) -> int:
    return int(one[:8] + one[9:13], 16)
