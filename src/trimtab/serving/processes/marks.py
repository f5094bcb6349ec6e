"""Which process answers, or answered, a question with ids of its own: a table in memory that all of them share.

It says where to ask, and nothing that has to be right: what it forgot is scored again, and what it says wrongly the
process that is asked does not confirm. Therefore nobody locks it. A bucket is as large as a line of the processor's
cache and holds the last seven questions that fell into it.
"""

from __future__ import annotations

import mmap

from trimtab.serving.processes.shared_memory import shared_memory

_WORDS = 8  # of 8 bytes: how many were written, then one a question: 56 bits of its mark, 8 of the seat
_BUCKETS = 8_192  # for each process: twice as many places as answers that it remembers
_SEAT = 0xFF


class Marks:
    """`mark` is a digest of at least 16 bytes, in which all bits are chance."""

    def __init__(self, descriptor: int, count: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _size(count))
        self._words = memoryview(self._map).cast("Q")
        self._buckets = _BUCKETS * count

    def holder(self, mark: bytes) -> int:
        """The seat of the process that had such a question last; -1 where none is known."""
        place, name = self._place(mark)
        for word in self._words[place + 1 : place + _WORDS].tolist():
            if word >> 8 == name:
                return (word & _SEAT) - 1
        return -1

    def note(self, mark: bytes, slot: int) -> None:
        """The process on that seat has it now."""
        if slot >= _SEAT:
            return
        place, name = self._place(mark)
        bucket = self._words[place : place + _WORDS].tolist()
        for position in range(1, _WORDS):
            if bucket[position] >> 8 == name:
                break
        else:
            position = bucket[0] % (_WORDS - 1) + 1
            self._words[place] = (bucket[0] + 1) % (_WORDS - 1)
        self._words[place + position] = name << 8 | (slot + 1)

    def _place(self, mark: bytes) -> tuple[int, int]:
        bucket = int.from_bytes(mark[:7], "little") % self._buckets
        return bucket * _WORDS, int.from_bytes(mark[7:14], "little")


def new_marks(count: int) -> Marks:
    """An empty table for so many processes, in memory that they may inherit, which is taken as it is written to."""
    return Marks(shared_memory("trimtab-marks", _size(count)), count)


def _size(count: int) -> int:
    return _BUCKETS * count * _WORDS * 8
