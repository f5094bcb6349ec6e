"""The server's durable memory: every answered row, shadow score, failure and truth, written before the answer leaves.

Policy. A frame is handed to the operating system (`write`) before the answer is sent, so an answered row survives the
server's own death (kill -9). The file is synced to the disk once a second, so a power cut may take the last second.
A write that fails is undone (the file is cut back) and raised: the caller then answers 503 rather than lose rows.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path

from trimtab.errors import TemporaryError
from trimtab.serving.telemetry.segments import MAGIC, Seal, pack_seal, segment_name


class TelemetryWriter:
    """Appends frames to one segment at a time; one writer belongs to one event loop.

    `run` tells this start of the server from every other; `limit` is the size in bytes at which a segment is sealed.
    A segment is locked (flock) while it is written, so that nobody cuts or seals it under its writer.
    """

    def __init__(self, folder: Path, *, limit: int = 64 * 2**20, run: int | None = None) -> None:
        self.folder = folder
        self.run = time.time_ns() if run is None else run
        self.limit = limit
        self.failures = 0
        self.last_error = ""
        self.sync_error = ""
        self.bytes_written = 0
        self._number = 0
        self._fd = -1
        self._size = 0
        self._first = self._last = 0
        self._rows = 0
        self._dirty = False
        self._full: list[tuple[int, int]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, parts: Sequence[bytes], first: int, last: int, rows: int) -> None:
        """Appends whole frames, all or none. `first` and `last` are the earliest and latest moment in them
        (microseconds), `rows` how many rows they speak of. Raises TemporaryError when the disk refuses."""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        try:
            if self._fd < 0:
                self._open(first)
            self._append(data)
        except OSError as error:
            self.failures += 1
            self.last_error = f"telemetry cannot be written: {error.strerror or error}"
            raise TemporaryError(self.last_error, hint=f"make room for {self.folder}") from error
        self.last_error = ""
        self._first = min(self._first, first)
        self._last = max(self._last, last)
        self._rows += rows
        self._dirty = True
        if self._size >= self.limit:
            self._retire()

    def sync(self) -> None:
        """Brings what was written to the disk; meant for another thread, once a second."""
        full, self._full = self._full, []
        for fd, _ in full:
            os.fsync(fd)
            os.close(fd)
        current = self._fd  # the loop may turn to another file meanwhile; this one then is closed by the next sync
        if self._dirty and current >= 0:
            self._dirty = False
            os.fsync(current)

    def close(self, *, seal: bool = True) -> None:
        """Syncs and seals. With `seal` false the segment stays open for the next start to go through (debts remain)."""
        if self._fd >= 0:
            self._retire(seal=seal)
        self.sync()

    def _open(self, first: int) -> None:
        path = self.folder / segment_name(first, self.run, self._number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, MAGIC)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._fd, self._size = fd, len(MAGIC)
        self._first = self._last = first
        self._rows = 0
        self._number += 1

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += written
        self.bytes_written += written

    def _retire(self, *, seal: bool = True) -> None:
        if seal:
            try:
                self._append(pack_seal(Seal(self._first, self._last, self._rows)))
            except OSError as error:  # an unsealed segment is sound: the next start seals it
                self.last_error = f"telemetry cannot be sealed: {error.strerror or error}"
        self._full.append((self._fd, self._size))
        self._fd = -1
