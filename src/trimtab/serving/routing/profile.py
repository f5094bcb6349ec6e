"""How long a loaded model takes: measured before it gets traffic, for several sizes of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from trimtab.records.base import Record

SIZES = (1, 8, 64)
_RUNS = 5
_PATIENCE = 0.15  # seconds one size may be measured for, once it has run twice
_TOO_LONG = 0.3  # a size that should take longer than this is left out
_WAIT = 0.2  # unless the size before took no longer than this, and it turns out to take at most
_ALIKE = 0.5  # this share of what it should: what costs is the call then, and not the rows
_LONG = 0.03  # a size that should take this long needs no run of its own to warm up
_HEAVY = 0.00025  # a row that takes longer than this may be better off by itself
_WORTH = 0.94  # several rows in one run pay where each then takes at most this share of its time


class Profile(Record):
    """`seconds[i]` is what a batch of `rows[i]` rows took at best, in one thread; `rows` ascend from 1. `whole` is
    true when the user's own features code was part of it."""

    rows: tuple[int, ...]
    seconds: tuple[float, ...]
    whole: bool = True

    def time(self, rows: int) -> float:
        """Seconds that a batch of `rows` rows should take: a line between what was measured, and on beyond it."""
        known, took = self.rows, self.seconds
        if len(known) == 1:
            return took[0] * rows
        place = next((place for place in range(1, len(known) - 1) if rows <= known[place]), len(known) - 1)
        slope = (took[place] - took[place - 1]) / (known[place] - known[place - 1])
        if rows > known[-1]:
            return took[-1] + max(slope, 0.0) * (rows - known[-1])
        return took[place - 1] + slope * (rows - known[place - 1])

    def told(self) -> str:
        """The figures in words."""
        return ", ".join(f"{rows} in {span(took)}" for rows, took in zip(self.rows, self.seconds, strict=True))


def measure(
    run: Callable[[int], object],
    *,
    whole: bool,
    cut: Callable[[int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    work: Callable[[], float] = time.thread_time,
) -> Profile:
    """The profile of `run`, which scores that many rows; what runs for the first time does not count.

    `cut` is told of how many rows one run of the graph should be at most, where more at a time gain nothing: what the
    layers of a heavy model hand on then stays in the processor's cache, and takes less memory. That is decided by
    `work`, the processor's time of this thread: between two runs it may wait for whoever has the interpreter's lock."""
    rows: list[int] = []
    seconds: list[float] = []
    for size in SIZES:
        expected = seconds[-1] * size / rows[-1] if rows else 0.0
        if expected > _TOO_LONG:
            took = _once(run, size, clock) if seconds[-1] <= _WAIT else expected
            if took > _ALIKE * expected:
                break
            rows.append(size)
            seconds.append(took)
            continue
        took = _best(run, size, clock, warm=expected < _LONG)
        if cut is not None and rows and seconds[0] > _HEAVY:
            seconds[-1] = min(seconds[-1], _best(run, rows[-1], clock, warm=False))
            took = min(took, _best(run, size, clock, warm=False))
            if _share(run, rows[-1], size, work) > _WORTH:
                cut(rows[-1])
                return _in_line(rows, seconds, whole)
        rows.append(size)
        seconds.append(took)
    return Profile(rows=tuple(rows), seconds=tuple(seconds), whole=whole)


def _in_line(rows: list[int], seconds: list[float], whole: bool) -> Profile:
    """The profile of what is cut into runs of the size measured last: more of them take as much longer."""
    larger = [size for size in SIZES if size > rows[-1]]
    beyond = [seconds[-1] * size / rows[-1] for size in larger]
    return Profile(rows=(*rows, *larger), seconds=(*seconds, *beyond), whole=whole)


def _share(run: Callable[[int], object], few: int, many: int, work: Callable[[], float]) -> float:
    """What `many` rows take at once, as a share of what they take `few` at a time, by the processor's time of this
    thread. Both are measured in turns: else the machine may be busy, or slow to wake, while only one of them runs."""
    shares = []
    for _ in range(_RUNS):
        start = work()
        for _ in range(many // few):
            run(few)
        between = work()
        run(many)
        shares.append((work() - between) / (between - start))
    return median(shares)


def _once(run: Callable[[int], object], size: int, clock: Callable[[], float]) -> float:
    """A run that may take long, to see whether it does."""
    start = clock()
    run(size)
    return clock() - start


def _best(run: Callable[[int], object], size: int, clock: Callable[[], float], *, warm: bool) -> float:
    """The shortest of some runs."""
    if warm:
        run(size)
    best, begun = float("inf"), clock()
    for done in range(_RUNS):
        start = clock()
        run(size)
        best = min(best, clock() - start)
        if done and clock() - begun > _PATIENCE:
            break
    return best


def span(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
