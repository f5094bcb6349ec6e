"""Token buckets that all processes of a server share: a file of numbers that each of them has mapped into memory."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

RATES = "rates"  # the file's name, beside that of the tokens
SLOTS = 1024
_WIDTH = 2  # numbers a slot: one bucket for requests, one for rows
_SIZE = SLOTS * _WIDTH * 8
_LONGEST = 86_400.0
_ROUNDING = 1e-6  # what sums of fractions of a second may be off by


class Rates:
    """The numbers. Each is when its bucket will be full again, on the machine's monotonic clock, which all processes
    share; one left by an earlier boot is told by being too far ahead."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self.numbers = memoryview(self._map).cast("d")

    def of_requests(self, slot: int, rate: float) -> Bucket:
        """The bucket that counts the requests of a token."""
        return Bucket(self.numbers, slot * _WIDTH, rate)

    def of_rows(self, slot: int, rate: float) -> Bucket:
        """The bucket that counts the rows of a token."""
        return Bucket(self.numbers, slot * _WIDTH + 1, rate)


def forgive(path: Path, slot: int) -> None:
    """Empties the buckets of a slot in the file, if there is one: what its former token owes is not the next one's."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, bytes(8 * _WIDTH), 8 * _WIDTH * slot)
        finally:
            os.close(descriptor)


class Bucket:
    """A token bucket in its "virtual scheduling" form (ITU-T I.371, the generic cell rate algorithm): one number, the
    moment at which the bucket will be full again. It holds one second's worth, at least one.

    Two processes may read and write the number at once without a lock; then one of the two goes uncounted, so that a
    little more than the rate may pass, never less.
    """

    __slots__ = ("_burst", "_interval", "_numbers", "_place")

    def __init__(self, numbers: memoryview[float], place: int, rate: float) -> None:
        self._numbers = numbers
        self._place = place
        self._interval = 1.0 / rate
        self._burst = max(1.0, rate) * self._interval

    def wait(self, now: float) -> float:
        """Seconds until one more is allowed; 0 or less: now."""
        return self._debt(now) + self._interval - self._burst - _ROUNDING

    def take_one(self, now: float) -> float:
        """Counts one more where that is allowed; otherwise the seconds until it is, and nothing is counted."""
        debt = self._numbers[self._place] - now
        if not 0.0 < debt <= _LONGEST:
            debt = 0.0  # as `_debt`: it stands in the way of every request
        wait = debt + self._interval - self._burst - _ROUNDING
        if wait <= 0.0:
            self._numbers[self._place] = now + debt + self._interval
        return wait

    def forgive(self) -> None:
        """Begins anew."""
        self._numbers[self._place] = 0.0

    def take(self, now: float, count: int = 1) -> None:
        """Counts so many, even beyond what the bucket holds: then the next have to wait for longer, a day at most."""
        self._numbers[self._place] = now + min(self._debt(now) + count * self._interval, _LONGEST)

    def _debt(self, now: float) -> float:
        debt = self._numbers[self._place] - now
        # a number from before the machine was started, when the clock stood higher, means nothing now
        return debt if 0.0 < debt <= _LONGEST else 0.0
