"""The connection below the ledger: all that is particular to SQLite is here (locks, durability, its errors).

One connection, in autocommit: a read is a statement by itself and never holds a lock between two calls; a write is an
explicit transaction that takes the write lock before it reads, so that what it read still stands when it writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

from sqlalchemy import Connection, Executable, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from trimtab.errors import PermanentError, TemporaryError, TrimtabError
from trimtab.records.durable import make_folder
from trimtab.records.schema import found_version, is_present, migrate

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SPOILT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}


class Database:
    """One SQLite database, brought to the present schema; `path` None is in memory.

    May be used from several threads (one at a time goes through); never carry it across a fork.
    """

    def __init__(self, path: Path | None, *, create: bool, wait: float, survive_power_cut: bool) -> None:
        self.where = str(path) if path else "memory"
        self._lock = RLock()
        self._wait = wait
        if path is not None:
            _prepare_file(path, create)
        raw = self._connect(path, survive_power_cut)
        self._raw = raw
        engine = create_engine(
            "sqlite+pysqlite://", creator=lambda: raw, poolclass=StaticPool, isolation_level="AUTOCOMMIT"
        )
        self._connection: Connection = engine.connect()
        try:
            self._settle(create)
        except BaseException:
            self.close()
            raise

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[tuple[Any, ...]]:
        """All rows of a query. Raises TemporaryError when the database is busy, PermanentError when it is spoilt."""
        with self._guarded():
            return self._connection.execute(statement, values).all()

    def first(self, statement: Executable, values: Mapping[str, Any] | None = None) -> tuple[Any, ...] | None:
        """The first row of a query, None without one. Raises as `rows`."""
        with self._guarded():
            return self._connection.execute(statement, values).first()

    def change(self, statement: Executable, values: Mapping[str, Any] | None = None) -> None:
        """Run a statement that changes something, inside `writing()`. Raises as `rows`."""
        with self._guarded():
            self._connection.execute(statement, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that holds the write lock from its start: all of it stands at the end, or nothing.

        When it ends it is on disk. Raises TemporaryError when another process holds the lock for too long.
        """
        with self._guarded():
            self._begin()
            try:
                yield
                self._connection.exec_driver_sql("COMMIT")
            except BaseException:
                self._undo()
                raise

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        with self._lock:
            self._connection.close()
            self._connection.engine.dispose()
            self._raw.close()

    def _connect(self, path: Path | None, survive_power_cut: bool) -> sqlite3.Connection:
        with self._guarded():
            raw = sqlite3.connect(
                path or ":memory:",
                timeout=self._wait,
                isolation_level=None,  # transactions begin and end where this file says so
                check_same_thread=False,  # `_lock` lets one thread through at a time
            )
            try:
                if path is not None:
                    self._patiently(lambda: _use_wal(raw))
                    raw.execute(f"PRAGMA synchronous = {'FULL' if survive_power_cut else 'NORMAL'}")
                    raw.execute("PRAGMA fullfsync = ON")  # on macOS fsync alone does not reach the platter
                raw.execute("PRAGMA trusted_schema = OFF")
            except BaseException:
                raw.close()
                raise
            return raw

    def _settle(self, create: bool) -> None:
        with self._guarded():
            found = found_version(self._connection, self.where)
            if found == 0 and not create:
                raise _missing(self.where)
            if not is_present(found, self.where):
                with self.writing():  # another process may have been faster: `migrate` looks again under the lock
                    migrate(self._connection, self.where)

    def _begin(self) -> None:
        self._patiently(lambda: self._connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def _undo(self) -> None:
        if self._raw.in_transaction:
            with suppress(DBAPIError):
                self._connection.exec_driver_sql("ROLLBACK")

    def _patiently(self, attempt: Callable[[], object]) -> None:
        """SQLite's own waiting does not cover every kind of lock (recovery after a crash, the switch to WAL)."""
        deadline = time.monotonic() + self._wait
        while True:
            try:
                attempt()
            except (sqlite3.Error, DBAPIError) as error:
                if _code(error) not in _BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, DBAPIError) as error:
                raise self._translated(error) from error

    def _translated(self, error: Exception) -> TrimtabError:
        code = _code(error)
        cause = getattr(error, "orig", None) or error
        if code in _BUSY:
            return TemporaryError(
                f"the ledger at {self.where} is locked by another process for over {self._wait:g} s",
                delay=self._wait,
                hint="let it finish, or stop it",
            )
        if code in _SPOILT:
            return PermanentError(
                f"the ledger at {self.where} is corrupt: {cause}", hint="restore it from a backup; keep this file aside"
            )
        if code in _PASSING:
            return TemporaryError(
                f"the ledger at {self.where} cannot be written: {cause}", delay=30.0, hint="look at the disk"
            )
        return PermanentError(f"the ledger at {self.where} refuses: {cause}")


def _prepare_file(path: Path, create: bool) -> None:
    if not create and not path.is_file():
        raise _missing(str(path))
    try:
        make_folder(path.parent)
    except OSError as error:
        raise PermanentError(f"no folder for the ledger at {path}: {error.strerror}") from error


def _missing(where: str) -> PermanentError:
    return PermanentError(f"no ledger at {where}", hint="run `trimtab run` first")


def _use_wal(raw: sqlite3.Connection) -> None:
    if raw.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        raw.execute("PRAGMA journal_mode = WAL")


def _code(error: Exception) -> int:
    """SQLite's primary error code, -1 when there is none."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", -1)
    return code & 0xFF if isinstance(code, int) and code >= 0 else -1
