"""What a server that died left behind: segments without a seal, and shadow scores still owed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from trimtab.records.durable import write_atomically
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    MAGIC,
    SEAL,
    SHADOWED,
    SUFFIX,
    Frame,
    Scored,
    frames,
    pack_seal,
    read_seal,
    run_of,
    salvaged,
    span_of,
)


class Abandoned:
    """A segment that a dead server left: its torn tail is moved to a file beside it at once, the seal comes when `seal`
    is called. So are frames in its middle that are damaged, where sound ones follow: the latter are no torn tail. A
    file that is no segment is only renamed. `cut` is how many bytes went, `damaged` whether others follow them.

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
        whole = memoryview(data)
        later = [] if self.foreign else [one for one in salvaged(whole[sound:], sound) if one.kind != SEAL]
        self.damaged = bool(later)
        self.cut = len(data) - sound - sum(one.end - one.start for one in later)
        self.sealed = sealed and not later
        self.empty = sound <= len(MAGIC)
        self.stuck = False
        self.data = whole[:sound]
        if self.foreign:
            self.path = path.rename(path.with_suffix(f"{SUFFIX}.damaged"))
            self.data = memoryview(b"")
        elif self.cut:
            try:
                torn = path.with_suffix(f"{SUFFIX}.torn")
                write_atomically(torn, _between(whole, sound, later), mode=0o600)  # it holds what callers sent
                if later:
                    self._rewrite(b"".join([whole[:sound], *(whole[one.start : one.end] for one in later)]))
                else:
                    os.ftruncate(fd, sound)
            except OSError:  # a full disk: the tail stays where it is until a later start can move it
                self.stuck = True

    def _rewrite(self, content: bytes) -> None:
        """Puts a file of that content in the place of the segment, whole or not at all, and holds it as the former. A
        reader that had come as far as the damage finds the next frame there."""
        part = self.path.with_suffix(f"{SUFFIX}.part")
        part.unlink(missing_ok=True)
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(content)
            os.fsync(fd)
            part.replace(self.path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        self.empty = False
        self.data = memoryview(content)

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


def _between(whole: memoryview, sound: int, later: Sequence[Frame]) -> bytes:
    """What is neither of the sound head of a file nor of the frames that are sound behind it."""
    parts, position = [], sound
    for one in later:
        parts.append(whole[position : one.start])
        position = one.end
    return b"".join([*parts, whole[position:]])


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
