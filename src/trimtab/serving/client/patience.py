"""When a request is sent again, and when enough is enough."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from trimtab.errors import TemporaryError
from trimtab.serving.client.wire import Answer

FIRST = 0.02  # seconds: a server that is started again is back within a few tenths
LONGEST = 1.0
_AGAIN = frozenset((429, 502, 503))


def never(_: OSError) -> str:
    """A request may be sent again whatever became of it: what was answered under its ids is not counted twice."""
    return ""


class Patience:
    """The patience with one request: `seconds` of it. Pauses double from 20 ms to a second, each shortened by chance to
    between half and all of it, so that many callers do not come back at once; never shorter than the server asks."""

    __slots__ = ("_chance", "_now", "_pause", "_until")

    def __init__(
        self,
        seconds: float,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._now = now
        self._chance = chance
        self._until = now() + seconds
        self._pause = FIRST

    def refused(self, answer: Answer) -> float:
        """The pause before the request is sent again after such an answer. Raises AnswerError when that is useless,
        TemporaryError when patience runs out."""
        error = answer.error()
        if answer.status not in _AGAIN:
            raise error
        return self._next(TemporaryError(error.message, hint=error.hint, delay=answer.wait or LONGEST), answer.wait)

    def failed(self, url: str, error: OSError, hint: str = "") -> float:
        """The same after a connection that was refused, broke or stayed silent. With a `hint` it is not sent again:
        that is the caller's to do, as the hint says."""
        told = TemporaryError(f"{url} does not answer: {str(error) or type(error).__name__}", hint=hint)
        if hint:
            raise told
        return self._next(told, None)

    def _next(self, error: TemporaryError, wait: float | None) -> float:
        pause = self._pause * (0.5 + 0.5 * self._chance())
        self._pause = min(2 * self._pause, LONGEST)
        if wait is not None:
            pause = max(pause, wait)
        if self._now() + pause > self._until:
            raise error
        return pause
