"""One at a time: whoever compacts, erases or prunes a telemetry folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".compaction"


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Nobody else does meanwhile; false where somebody is at it, unless that is waited for."""
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)
