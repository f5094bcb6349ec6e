"""The embedded store of features: one SQLite file, which one process publishes to and any number read.

A view is replaced whole in one transaction, so that readers see the former state of it or the new one. Each entity's
rows of the last days are kept, so that a moment in the recent past is answered as it was then.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import PermanentError, TemporaryError
from trimtab.inference.lookup.port import Key, Known, View

_SCHEMA = """
CREATE TABLE IF NOT EXISTS views (
    name TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, told BLOB NOT NULL, version TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    number INTEGER NOT NULL, entity BLOB NOT NULL, at INTEGER NOT NULL, cells BLOB NOT NULL,
    PRIMARY KEY (number, entity, at)
) WITHOUT ROWID;
"""
_NEWEST = "SELECT at, cells FROM rows WHERE number = ? AND entity = ? AND at <= ? ORDER BY at DESC LIMIT 1"


class FeatureSnapshot:
    """Reads and publishes one file. Raises TemporaryError where the file cannot be used now. A reader of a file that is
    not there yet tells of no views; it is found once it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._decode = msgspec.msgpack.Decoder(tuple[Any, ...]).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def views(self) -> Sequence[View]:
        """What was published, as of now."""
        if not self._path.exists():
            return ()
        with self._asked() as connection:
            found = connection.execute("SELECT told FROM views ORDER BY name").fetchall()
        return [msgspec.msgpack.decode(told, type=View) for (told,) in found]

    def read(self, view: str, keys: Sequence[Key], at: Sequence[int]) -> list[Known | None]:
        """See `FeatureLookup.read`."""
        found: list[Known | None] = []
        with self._asked() as connection:
            connection.execute("BEGIN")  # one state for all keys, whatever is published meanwhile
            try:
                row = connection.execute("SELECT number FROM views WHERE name = ?", (view,)).fetchone()
                if row is None:
                    raise PermanentError(f"there is no feature view {view!r} in {self._path.name}")
                for key, moment in zip(keys, at, strict=True):
                    cells = connection.execute(_NEWEST, (row[0], self._entity(key), moment)).fetchone()
                    found.append(None if cells is None else Known(cells[0], self._decode(cells[1])))
            finally:
                connection.execute("COMMIT")
        return found

    def published(self) -> dict[str, str]:
        """The version of each view's data that lies here."""
        if not self._path.exists():
            return {}
        with self._asked() as connection:
            return dict(connection.execute("SELECT name, version FROM views").fetchall())

    def publish(self, view: View, version: str, rows: Iterable[tuple[Key, int, Sequence[Any]]]) -> int:
        """Puts `rows` (entity, moment in microseconds, values in the view's order) in place of what the view had, whole
        or not at all; returns how many. Of rows with the same entity and moment the last wins. `version` names their
        data. Rows whose entity has a null are left out: nobody can ask for them."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_CLOEXEC, 0o600))  # what is known of people is its owner's
        with self._asked() as connection:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            try:
                number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM views").fetchone()[0]
                former = connection.execute("SELECT number FROM views WHERE name = ?", (view.name,)).fetchone()
                packed = (
                    (number, self._entity(key), at, self._encode(tuple(values)))
                    for key, at, values in rows
                    if None not in key
                )
                connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", packed)
                told = msgspec.msgpack.encode(view)
                connection.execute(
                    "INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?)", (view.name, number, told, version)
                )
                if former is not None:
                    connection.execute("DELETE FROM rows WHERE number = ?", former)
                count = connection.execute("SELECT count(*) FROM rows WHERE number = ?", (number,)).fetchone()[0]
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        return int(count)

    def withdraw(self, names: Iterable[str]) -> None:
        """Takes views away that are declared no more."""
        with self._asked() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for name in names:
                connection.execute("DELETE FROM rows WHERE number = (SELECT number FROM views WHERE name = ?)", (name,))
                connection.execute("DELETE FROM views WHERE name = ?", (name,))
            connection.execute("COMMIT")

    def erase(self, tells: Callable[[object], bool]) -> int:
        """Removes every row of which the entity or a value `tells` someone, overwrites where it lay, and returns how
        many there were. What a view had is published anew by the next pass."""
        if not self._path.exists():
            return 0
        with self._asked() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            gone = [
                (number, entity, at)
                for number, entity, at, cells in connection.execute("SELECT number, entity, at, cells FROM rows")
                if any(tells(one) for one in (*self._decode(entity), *self._decode(cells)))
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM rows WHERE number = ? AND entity = ? AND at = ?", gone)
            connection.execute("UPDATE views SET version = ''")
            connection.execute("COMMIT")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return len(gone)

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            connections, self._open = self._open, []
        for connection in connections:
            connection.close()
        self._own = threading.local()

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise TemporaryError(
                f"the features in {self._path} cannot be used now: {error}", hint="`trimtab run` publishes them anew"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        """Each thread has its own, so that none waits for another."""
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=2.0, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            self._own.connection = connection
            with self._lock:
                self._open.append(connection)
        return connection

    def _entity(self, key: Key) -> bytes:
        """Equal values give equal bytes, whether a caller's JSON or a column's type wrote 3 or 3.0."""
        return self._encode(tuple([int(one) if isinstance(one, float) and one.is_integer() else one for one in key]))
