"""How far a source that is read in pages was read: kept with the version that its rows made.

A commit carries the cursor, so that rows and cursor are one step. What moves a cursor without adding a row (all of a
page was stored already, or the reading came to its end) is noted beside the table, and counts only for the version that
it names: where it is lost, some rows are read again and found to be there. A long cursor lies in a file of its own, of
which the commit carries the digest; only the newest are kept, as only the newest version is read on from.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from blake3 import blake3

from trimtab.data.port import DataError
from trimtab.data.store.state import DatasetVersion
from trimtab.errors import TemporaryError
from trimtab.records.base import Record
from trimtab.records.durable import write_atomically

_INLINE = 2_000
_KEPT = 3


class Position(Record, kw_only=True):
    """Where a reading stands: it asks for rows up to `until`, began at `since` (None: the beginning) and goes on at
    `cursor`, unless it has `ended`; the next one then does. `version` is the dataset's at that point. `wrong` is why
    none of what came could be read, with its `hint`."""

    cursor: str = ""
    until: datetime | None = None
    since: datetime | None = None
    ended: bool = True
    version: str = ""
    wrong: str = ""
    hint: str = ""


class Positions:
    """The positions of one dataset, whose source is called `source`: another one's cursors mean nothing to it."""

    def __init__(self, folder: Path, source: str) -> None:
        self._note = folder / "position.json"
        self._long = folder / "cursors"
        self._mark = f"{blake3(source.encode()).hexdigest()[:8]}:"

    def of(self, version: DatasetVersion | None) -> Position:
        """Where reading stands at this version; at the beginning before the first."""
        name = version.id if version is not None else ""
        with suppress(OSError, msgspec.MsgspecError):
            noted = msgspec.json.decode(self._note.read_bytes(), type=Position)
            if noted.version == name:
                return self._read(noted)
        if version is None:
            return Position()
        if not version.cursor:
            return Position(until=version.until, version=name)
        since = version.asked_since
        return self._read(Position(cursor=version.cursor, until=version.until, since=since, ended=False, version=name))

    def noted(self, cursor: str) -> str:
        """The cursor as a commit carries it; what is long is on disk when this returns."""
        if len(cursor) <= _INLINE:
            return f"{self._mark}={cursor}"
        data = cursor.encode()
        digest = blake3(data).hexdigest()
        if not (self._long / digest).is_file():
            _write(self._long / digest, data)
        return f"{self._mark}@{digest}"

    def move(self, position: Position) -> None:
        """Note a position that no commit carries, and let go of long cursors that are out of use."""
        noted = msgspec.structs.replace(position, cursor=self.noted(position.cursor))
        _write(self._note, msgspec.json.encode(noted))
        if self._long.is_dir():
            newest = sorted(self._long.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
            for path in newest[_KEPT:]:
                path.unlink(missing_ok=True)

    def _read(self, noted: Position) -> Position:
        """With the cursor itself in place of what is noted of it; from the beginning where it is gone, or another's."""
        text = noted.cursor.removeprefix(self._mark)
        if text == noted.cursor:
            return Position(version=noted.version)
        if text.startswith("="):
            return msgspec.structs.replace(noted, cursor=text[1:])
        try:
            data = (self._long / text[1:]).read_bytes()
        except OSError:
            return Position(version=noted.version)
        if blake3(data).hexdigest() != text[1:]:
            return Position(version=noted.version)
        return msgspec.structs.replace(noted, cursor=data.decode())


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise TemporaryError(f"the disk that holds {path.parent} is full", delay=60, hint="make room") from error
        raise DataError(f"{path} cannot be written: {error.strerror}") from error
