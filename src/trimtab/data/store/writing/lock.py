"""One writer at a time, across processes; the operating system lets go when a process dies."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from trimtab.data.port import DataError
from trimtab.errors import TemporaryError

_PATIENCE = 10.0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file. Waits for another holder a while, then raises TemporaryError."""
    deadline = time.monotonic() + _PATIENCE
    with _opened(path) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise TemporaryError(f"another process is writing to {path.parent}", delay=_PATIENCE) from error
                time.sleep(0.05)
        yield


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TemporaryError(f"the disk that holds {path.parent} is full", delay=60, hint="make room") from error
        raise DataError(f"{path.parent} cannot be written: {error.strerror}") from error
