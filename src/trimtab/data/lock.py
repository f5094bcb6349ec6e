"""One writer at a time, across processes; the operating system lets go when a process dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import TemporaryError

_PATIENCE = 10.0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file. Waits for another holder a while, then raises TemporaryError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TemporaryError(f"another process is writing to {path.parent}", delay=_PATIENCE) from error
                time.sleep(0.05)
        yield
