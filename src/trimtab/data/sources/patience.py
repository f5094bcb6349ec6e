"""Waiting, for sources that lie far away: trying again with growing pauses, and not asking too often.

Sleep, clock and chance are passed in. Between two tries lies a pause drawn evenly from zero to a bound that doubles
(full jitter, as M. Brooker describes it in "Exponential Backoff and Jitter", 2015), so that many who failed together
do not come back together; where the other side said how long to wait, at least that long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from trimtab.errors import TemporaryError

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Waiting:
    """How time passes: `sleep` seconds, the `clock` in seconds from any beginning, and `draw` from 0 to 1."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = field(default_factory=lambda: random.Random().random)


@dataclass(frozen=True)
class Patience:
    """How long a TemporaryError is borne: `tries` in all, pauses of up to `first` seconds at first and `longest` at
    last, and no more than `total` seconds of pauses together."""

    tries: int = 6
    first: float = 0.5
    longest: float = 30.0
    total: float = 120.0
    waiting: Waiting = field(default_factory=Waiting)

    def ask(self, question: Callable[[], _Result]) -> _Result:
        """What `question` gives. A TemporaryError is raised only once patience has ended, with what was borne told; its
        `delay` is then what the other side asked for. Any other error is raised at once."""
        waited = 0.0
        for number in range(1, self.tries + 1):
            try:
                return question()
            except TemporaryError as error:
                pause = max(self._drawn(number), error.delay)
                if number == self.tries or waited + pause > self.total:
                    raise _ended(error, number, waited) from error
                self.waiting.sleep(pause)
                waited += pause
        raise AssertionError("there is at least one try")

    def _drawn(self, number: int) -> float:
        bound = min(self.longest, self.first * 2.0 ** min(number - 1, 30))
        return bound * self.waiting.draw()


class Pace:
    """No more than `rate` questions a second (None: as fast as they come), evenly: each waits for its turn."""

    def __init__(self, rate: float | None, waiting: Waiting) -> None:
        self._gap = 1.0 / rate if rate else 0.0
        self._waiting = waiting
        self._turn: float | None = None

    def wait(self) -> None:
        """Until the next question may be asked."""
        now = self._waiting.clock()
        if self._turn is not None and self._turn > now:
            self._waiting.sleep(self._turn - now)
            now = self._turn
        self._turn = now + self._gap


def _ended(error: TemporaryError, tries: int, waited: float) -> TemporaryError:
    told = f"{error.message} ({tries} tries, {waited:.0f} s of pauses)" if tries > 1 else error.message
    return TemporaryError(told, delay=error.delay, hint=error.hint)
