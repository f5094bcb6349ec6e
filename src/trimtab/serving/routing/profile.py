"""How long a loaded model takes: measured before it gets traffic, for several sizes of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable

from trimtab.records.base import Record

SIZES = (1, 8, 64)
_RUNS = 5
_PATIENCE = 0.25  # seconds one size may be measured for, once it has run twice
_TOO_LONG = 1.0  # a size that would take longer than this is left out


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
        slope = max((took[place] - took[place - 1]) / (known[place] - known[place - 1]), 0.0)
        return max(took[place - 1] + slope * (rows - known[place - 1]), 1e-7)

    def told(self) -> str:
        """The figures in words."""
        return ", ".join(f"{rows} in {span(took)}" for rows, took in zip(self.rows, self.seconds, strict=True))


def measure(run: Callable[[int], object], *, whole: bool, clock: Callable[[], float] = time.perf_counter) -> Profile:
    """The profile of `run`, which scores that many rows; each size runs once before it is measured."""
    rows: list[int] = []
    seconds: list[float] = []
    for size in SIZES:
        if rows and seconds[-1] * size / rows[-1] > _TOO_LONG:
            break
        run(size)
        best, begun = float("inf"), clock()
        for done in range(_RUNS):
            start = clock()
            run(size)
            best = min(best, clock() - start)
            if done and clock() - begun > _PATIENCE:
                break
        rows.append(size)
        seconds.append(best)
    return Profile(rows=tuple(rows), seconds=tuple(seconds), whole=whole)


def span(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.3g} us"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
