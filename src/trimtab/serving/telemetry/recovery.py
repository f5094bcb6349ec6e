"""What a server that died left behind: segments without a seal, and shadow scores still owed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from trimtab.serving.telemetry.segments import (
    ANSWERED,
    MAGIC,
    SEAL,
    SHADOWED,
    SUFFIX,
    Scored,
    frames,
    pack_seal,
    read_seal,
    run_of,
    span_of,
)


class Abandoned:
    """A segment that a dead server left: its torn tail is moved to a file beside it at once, the seal comes when `seal`
    is called. A file that is no segment is only renamed.

    Holds the segment's lock in between, so that two servers that start at once do not both take it.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        data = path.read_bytes()
        self.foreign = not data.startswith(MAGIC[: len(data)])
        sound = min(len(MAGIC), len(data))
        sealed = False
        if not self.foreign:
            for frame in frames(memoryview(data)[sound:], sound):
                sound, sealed = frame.end, frame.kind == SEAL
        self.cut = len(data) - sound
        self.sealed = sealed
        self.empty = sound <= len(MAGIC)
        self.stuck = False
        self.data = memoryview(data)[:sound]
        if self.foreign:
            self.path = path.rename(path.with_suffix(f"{SUFFIX}.damaged"))
            self.data = memoryview(b"")
        elif self.cut:
            try:
                path.with_suffix(f"{SUFFIX}.torn").write_bytes(data[sound:])
                os.ftruncate(fd, sound)
            except OSError:  # a full disk: the tail stays where it is until a later start can move it
                self.stuck = True

    def let_go(self) -> None:
        """Leaves the segment unsealed, to whoever takes it up next."""
        self.data = memoryview(b"")
        os.close(self._fd)

    def seal(self) -> None:
        """Ends the segment in order (an empty one is removed) and lets it go."""
        if self.stuck:
            pass
        elif self.empty and not self.foreign:
            self.path.unlink(missing_ok=True)
        elif not self.sealed and not self.foreign:
            os.write(self._fd, pack_seal(span_of(self.data)))
            os.fsync(self._fd)
        self.data = memoryview(b"")
        os.close(self._fd)


def abandoned(folder: Path, ours: Callable[[int], bool] = lambda _: True) -> list[Abandoned]:
    """Segments without a seal that nobody writes, oldest first, their torn tails cut. `ours` tells of a run whether
    what it left is for this process to take up."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not ours(run_of(path)):
            continue
        try:
            if read_seal(path) is not None:
                continue
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:  # compacted meanwhile
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        found.append(Abandoned(path, fd))
    return found


class Debt(NamedTuple):
    """A score that `release` owed in shadow: the answered rows and their matrix."""

    release: str
    answered: Scored
    matrix: bytes


def debts(left: list[Abandoned]) -> list[Debt]:
    """Shadow scores that answered rows were promised and never got, oldest first."""
    owed: dict[tuple[int, int, str], Debt] = {}
    paid: set[tuple[int, int, str]] = set()
    for segment in left:
        for frame in frames(segment.data[len(MAGIC) :], len(MAGIC)):
            if frame.kind not in (ANSWERED, SHADOWED):
                continue
            record = msgspec.msgpack.decode(frame.meta, type=Scored)
            if frame.kind == SHADOWED:
                paid.add((record.run, record.batch, record.release))
            for release in record.owes:
                owed[record.run, record.batch, release] = Debt(
                    release, record, bytes(segment.data[frame.matrix : frame.end])
                )
    return [debt for key, debt in owed.items() if key not in paid]
