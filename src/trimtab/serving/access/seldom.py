"""What callers do wrong, told in the log seldom enough that nobody can fill it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_LOG = logging.getLogger("trimtab.serving")
_PAUSE = 60.0  # seconds between two lines that say the same


class Seldom:
    """Belongs to the event loop. What it says comes from a fixed set of messages, none of a caller's making."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[str, float] = {}
        self._kept: dict[str, int] = {}

    def warn(self, message: str) -> None:
        """Says it, unless it said so within the last minute; then the next line tells how often it happened."""
        now = self._monotonic()
        if now - self._said.get(message, -_PAUSE) < _PAUSE:
            self._kept[message] = self._kept.get(message, 0) + 1
            return
        self._said[message] = now
        since = self._kept.pop(message, 0)
        _LOG.warning("%s%s", message, f" (and {since:,} times since it was last said)" if since else "")
