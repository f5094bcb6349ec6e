"""The server's durable memory: every answered row, shadow score, failure and truth, written before the answer leaves.

A frame is handed to the operating system (`write`) before the answer is sent, so an answered row survives the server's
own death (kill -9). When it reaches the disk itself is the policy's: see docs/telemetry.md. A write that fails is
undone (the file is cut back) and raised; rows that were answered all the same are counted and written down as a gap as
soon as the disk takes something again.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from trimtab.errors import TemporaryError
from trimtab.serving.telemetry.segments import GAP, MAGIC, Gap, Seal, pack, pack_seal, segment_name


class TelemetryWriter:
    """Appends frames to one segment at a time; one writer belongs to one event loop.

    `run` tells this start of the server from every other; a segment is sealed at `limit` bytes, or when it is `age`
    seconds old; `segment` names the one that has what was written last. `fsync` None leaves it to the kernel when what
    is written reaches the disk; rows that wait longer than `slow` seconds for a sync are `trouble`. A segment is locked
    (flock) while it is written, so that nobody cuts or seals it under its writer. While a segment is
    `owing` (by its name), it and those after it stay unsealed when they are full: a start after a kill looks for what
    is owed, and what has been paid, in unsealed ones only.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit: int = 64 * 2**20,
        age: float = 86_400.0,
        run: int | None = None,
        fsync: Callable[[int], None] | None = os.fsync,
        slow: float = 10.0,
        owing: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.run = time.time_ns() if run is None else run
        self.limit = limit
        self.age = age
        self.failures = 0
        self.last_error = ""
        self.sync_error = ""
        self.bytes_written = 0
        self.rows = 0
        self.dropped = 0
        self.why_dropped = ""
        self.unsure = 0
        self.sealed = 0
        self.segment = ""
        self._fsync = fsync
        self._slow = slow
        self._owing = owing
        self._unsealed: list[tuple[int, int, Seal, str]] = []
        self._clock = clock
        self._number = 0
        self._fd = -1
        self._size = 0
        self._first = self._last = 0
        self._in_segment = self._orphans = 0
        self._opened = 0.0
        self._dirty_since: float | None = None
        self._syncing_since: float | None = None
        self._synced = 0
        self._distrusted = -1
        self._gap: Gap | None = None
        self._encodings: dict[str, bytes] = {}
        self._told: set[str] = set()
        self._full: list[int] = []
        self._turning = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def unsynced(self) -> tuple[int, float]:
        """Rows that a power cut would take now, and for how long (seconds) the oldest of them has waited."""
        since = self._syncing_since if self._syncing_since is not None else self._dirty_since
        return self.rows - self._synced, 0.0 if since is None else self._clock() - since

    @property
    def trouble(self) -> str:
        """What is wrong between the server and the disk, in one line; empty when nothing is."""
        if self.last_error or self.sync_error or self._fsync is None:
            return self.last_error or self.sync_error
        rows, waited = self.unsynced
        return f"the disk is slow: {rows:,} rows wait to be synced since {waited:.0f} s" if waited > self._slow else ""

    def describe(self, key: str, frame: bytes) -> None:
        """What an encoding means, as an `ENCODING` frame; it goes before the first rows of it in each segment."""
        self._encodings[key] = frame

    def write(  # noqa: PLR0917 - called for every batch
        self, parts: Sequence[bytes], first: int, last: int, rows: int, keys: Iterable[str] = (), orphans: int = 0
    ) -> None:
        """Appends whole frames, all or none. `first` and `last` are the earliest and latest moment in them
        (microseconds), `rows` how many answers or truths they speak of, `keys` the encodings they use, `orphans` how
        many truths are of ids that were not given out. Raises TemporaryError when the disk refuses."""
        try:
            if self._fd < 0 or self._fd == self._distrusted:
                self._turn(first)
            new = [key for key in keys if key not in self._told]
            if new:
                parts = [*(self._encodings[key] for key in dict.fromkeys(new)), *parts]
            if self._gap is not None:
                parts = [pack(GAP, msgspec.msgpack.encode(self._gap)), *parts]
                first, last = min(first, self._gap.first), max(last, self._gap.last)
            self._append(parts[0] if len(parts) == 1 else b"".join(parts))
        except OSError as error:
            self.failures += 1
            self.last_error = f"telemetry cannot be written: {error.strerror or error}"
            raise TemporaryError(self.last_error, hint=f"make room for {self.folder}") from error
        if new:
            self._told.update(new)
        self.last_error = ""
        self._gap = None
        self._first = min(self._first, first)
        self._last = max(self._last, last)
        self._in_segment += rows
        self._orphans += orphans
        self.rows += rows
        if self._dirty_since is None:
            self._dirty_since = self._clock()
        if self._size >= self.limit:
            self._retire()

    def drop(self, first: int, last: int, rows: int, reason: str) -> None:
        """Rows that were answered and are not kept: counted, and written down before what is written next."""
        self.dropped += rows
        self.why_dropped = reason
        had = self._gap or Gap(first, last, 0, reason)
        self._gap = Gap(min(had.first, first), max(had.last, last), had.rows + rows, had.reason)

    def tend(self) -> None:
        """Writes down a gap that waits, and seals a segment that is old enough; belongs to the event loop, like
        `write`."""
        self._own_up()
        self._seal_full()
        if self._fd >= 0 and self._clock() - self._opened >= self.age:
            self._retire()

    def turn(self) -> None:
        """Ends the segment that is written, so that it can be compacted; what comes next begins another."""
        if self._fd >= 0:
            self._retire()

    def sync(self) -> None:
        """Brings everything that was written before this call to the disk; meant for another thread, one at a time.
        Raises OSError: rows since the last sync then may or may not be there (they count as `unsure`), and what
        follows goes to another file."""
        with self._turning:
            full, self._full = self._full, []
            waiting = [fd for fd, _, _, _ in self._unsealed]
            current, rows, since = self._fd, self.rows, self._dirty_since
            self._syncing_since, self._dirty_since = since, None
        failure: OSError | None = None
        for fd in full:
            failure = self._bring(fd) or failure
            os.close(fd)
        for fd in waiting if since is not None else ():
            failure = self._bring(fd) or failure
        if since is not None and current >= 0:
            failed = self._bring(current)
            if failed is not None:
                failure, self._distrusted = failed, current  # a later sync of this file may claim what it has lost
        if failure is not None:
            self.unsure += rows - self._synced
        self._synced = rows
        self._syncing_since = None
        if failure is not None:
            raise failure

    def close(self, *, seal: bool = True) -> None:
        """Syncs and seals. With `seal` false the segment stays open for the next start to go through (debts remain)."""
        self._own_up()
        if self._fd >= 0:
            self._retire(seal=seal)
        self._seal_full(all_of_them=True, seal=seal)
        self.sync()

    def _own_up(self) -> None:
        if self._gap is not None:
            with suppress(TemporaryError):
                self.write([], self._gap.first, self._gap.last, 0)

    def _bring(self, fd: int) -> OSError | None:
        if self._fsync is not None:
            try:
                self._fsync(fd)
            except OSError as error:
                return error
        return None

    def _turn(self, first: int) -> None:
        """Begins a segment, after one that cannot be trusted any more where there is one."""
        if self._fd >= 0:
            self._retire()
        path = self.folder / segment_name(first, self.run, self._number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fd, self._size = fd, 0
            self._append(MAGIC)
        except OSError:
            self._fd = self._distrusted = -1
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._first = self._last = first
        self._in_segment = self._orphans = 0
        self._number += 1
        self._told.clear()
        self._opened = self._clock()
        self.segment = path.stem

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            try:
                os.ftruncate(self._fd, self._size)
            except OSError:
                self._distrusted = self._fd  # half a frame stays at its end: nothing may follow it
            raise
        self._size += written
        self.bytes_written += written

    def _retire(self, *, seal: bool = True) -> None:
        """Turns away from the segment; its file is closed by a sync, once it is sealed."""
        held = Seal(self._first, self._last, self._in_segment, self._orphans)
        trusted = self._fd != self._distrusted
        fd, size = self._fd, self._size
        with self._turning:
            if self._dirty_since is None:
                self._dirty_since = self._clock()
            if trusted and seal:
                self._unsealed.append((fd, size, held, self.segment))
            else:
                self._full.append(fd)
            self._fd = self._distrusted = -1
        if self._owing is None:
            self._seal_full()

    def _seal_full(self, *, all_of_them: bool = False, seal: bool = True) -> None:
        """Ends full segments that owe nothing any more, oldest first, up to the first that does."""
        while self._unsealed:
            fd, size, held, name = self._unsealed[0]
            if self._owing is not None and not all_of_them and self._owing(name):
                return
            if seal:
                data = pack_seal(held)
                try:
                    if os.write(fd, data) < len(data):
                        os.ftruncate(fd, size)  # half a seal is none: the next start seals it
                    else:
                        self.sealed += 1
                        self.bytes_written += len(data)
                except OSError as error:  # an unsealed segment is sound: the next start seals it
                    self.last_error = f"telemetry cannot be sealed: {error.strerror or error}"
            with self._turning:
                if self._dirty_since is None:
                    self._dirty_since = self._clock()
                del self._unsealed[0]  # with what follows, so that no sync misses it
                self._full.append(fd)
