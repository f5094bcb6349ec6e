"""The index of trainings: which there are, what they were measured at, and which of them trackers hold already.

It is told from the ledger and the blobs, so it may be deleted at any time; what trackers are then written again they
hold once. One SQLite file, which several processes may use at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.base import Record
from trimtab.records.durable import make_folder
from trimtab.records.tracking import Training

_VERSION = 1
_TABLES = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE training (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL, at TEXT NOT NULL, grp TEXT NOT NULL, outcome TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX training_by_seq ON training (seq);
CREATE TABLE figure (
    training TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (training, name)
) WITHOUT ROWID;
CREATE INDEX figure_by_value ON figure (name, value, training);
CREATE TABLE copy (
    tracker TEXT NOT NULL, training TEXT NOT NULL, record TEXT NOT NULL, place TEXT NOT NULL,
    PRIMARY KEY (tracker, training)
) WITHOUT ROWID;
CREATE TABLE trouble (tracker TEXT PRIMARY KEY, at REAL NOT NULL, tries INTEGER NOT NULL, said TEXT NOT NULL)
WITHOUT ROWID;
"""


class Indexed(Record, kw_only=True):
    """One training: `seq` is the entry of the ledger that first named it, at moment `at` (ISO 8601); `record` the
    digest of what it left, empty where nothing is kept of it."""

    id: str
    seq: int
    at: str
    group: str
    outcome: str
    record: str


class Ranked(NamedTuple):
    """One training and its figure."""

    id: str
    group: str
    figure: float


class Trouble(NamedTuple):
    """Why a tracker was not written to: when (seconds since 1970), how many times in a row, and what it said."""

    at: float
    tries: int
    said: str


class Index:
    """See the module. A context manager that closes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._guarded():
            make_folder(path.parent)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=10.0)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")  # a power cut costs what can be told again
            self._prepare()

    def _prepare(self) -> None:
        if self._database.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
            return
        with self.writing():
            found = self._database.execute("PRAGMA user_version").fetchone()[0]
            if found == _VERSION:  # another process was faster
                return
            for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
                self._database.execute(f'DROP TABLE "{name}"')  # of another version: it is told again
            for statement in _TABLES.split(";"):
                if statement.strip():
                    self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside is there whole or not at all; other processes wait."""
        with self._guarded():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def cursor(self) -> int:
        """The newest entry of the ledger that the index knows of; 0 before the first."""
        return int(self.get("cursor") or 0)

    def get(self, key: str) -> str | None:
        """What was last set under a key."""
        row = self._first("SELECT value FROM state WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def set(self, key: str, value: str) -> None:
        """Remember a text under a key."""
        self._change("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))

    def put(self, found: Indexed, training: Training | None) -> None:
        """A training as the ledger tells it now; one that is there already keeps its place and its group, and one that
        was trained never fails later."""
        self._change(
            "INSERT INTO training VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record, "
            "outcome = CASE WHEN outcome = 'trained' THEN outcome ELSE excluded.outcome END",
            (found.id, found.seq, found.at, found.group, found.outcome, found.record),
        )
        if training is not None:
            self._change("DELETE FROM figure WHERE training = ?", (found.id,))
            with self._guarded():
                self._database.executemany(
                    "INSERT INTO figure VALUES (?, ?, ?)",
                    [(found.id, name, float(value)) for name, value in training.figures.items()],
                )

    def best(self, metric: str, *, highest: bool, limit: int) -> list[Ranked]:
        """The trainings with the best figures of a metric, the best first."""
        order = "DESC" if highest else "ASC"
        rows = self._rows(
            "SELECT figure.training, grp, value FROM figure JOIN training ON training.id = figure.training "
            f"WHERE name = ? ORDER BY value {order}, figure.training LIMIT ?",
            (metric, limit),
        )
        return [Ranked(*row) for row in rows]

    def metrics(self) -> list[str]:
        """Every metric that any training has a figure of."""
        return [str(name) for (name,) in self._rows("SELECT DISTINCT name FROM figure ORDER BY name")]

    def beginning(self, name: str) -> list[Indexed]:
        """The trainings whose identity begins so."""
        return self._trainings("WHERE substr(id, 1, ?) = ? ORDER BY seq LIMIT 100", (len(name), name))

    def waiting(self, tracker: str, limit: int) -> list[Indexed]:
        """The trainings with a record that a tracker does not hold as it is now, in order of the ledger."""
        return self._trainings(_WAITING + " ORDER BY seq LIMIT ?", (tracker, limit))

    def counts(self, tracker: str) -> tuple[int, int]:
        """How many trainings a tracker holds as they are now, and how many it lacks."""
        held = self._first(
            "SELECT count(*) FROM copy JOIN training ON training.id = copy.training AND training.record = copy.record "
            "WHERE tracker = ?",
            (tracker,),
        )
        lacking = self._first(f"SELECT count(*) FROM training {_WAITING}", (tracker,))
        return int(held[0]) if held else 0, int(lacking[0]) if lacking else 0

    def written(self, tracker: str, found: Indexed, place: str) -> None:
        """A tracker holds a training now."""
        self._change("INSERT OR REPLACE INTO copy VALUES (?, ?, ?, ?)", (tracker, found.id, found.record, place))

    def answers(self, tracker: str) -> None:
        """A tracker is as it should be again."""
        self._change("DELETE FROM trouble WHERE tracker = ?", (tracker,))

    def places(self, training: str) -> dict[str, str]:
        """Where trackers hold a training, by tracker."""
        return dict(self._rows("SELECT tracker, place FROM copy WHERE training = ? ORDER BY tracker", (training,)))

    def failed(self, tracker: str, at: float, said: str) -> None:
        """A tracker could not be written to."""
        self._change(
            "INSERT INTO trouble VALUES (?, ?, 1, ?) ON CONFLICT (tracker) DO UPDATE SET at = excluded.at, "
            "tries = tries + 1, said = excluded.said",
            (tracker, at, said),
        )

    def trouble(self, tracker: str) -> Trouble | None:
        """Why a tracker was not written to the last time; None where it was, or never had to be."""
        row = self._first("SELECT at, tries, said FROM trouble WHERE tracker = ?", (tracker,))
        return None if row is None else Trouble(*row)

    def _trainings(self, condition: str, values: Sequence[Any]) -> list[Indexed]:
        rows = self._rows(f"SELECT id, seq, at, grp, outcome, record FROM training {condition}", values)
        return [Indexed(id=r[0], seq=r[1], at=r[2], group=r[3], outcome=r[4], record=r[5]) for r in rows]

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._guarded():
            return self._database.execute(statement, values).fetchall()

    def _first(self, statement: str, values: Sequence[Any] = ()) -> Any:
        with self._guarded():
            return self._database.execute(statement, values).fetchone()

    def _change(self, statement: str, values: Sequence[Any]) -> None:
        with self._guarded():
            self._database.execute(statement, values)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise TemporaryError(
                f"the index of trainings at {self._path}: {error}", delay=10.0, hint="look at the disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise PermanentError(
                f"the index of trainings at {self._path} is damaged: {error}",
                hint="delete it: it is told again from the ledger",
            ) from error
        except OSError as error:
            raise PermanentError(f"no folder for the index of trainings at {self._path}: {error.strerror}") from error


_WAITING = (
    "WHERE record != '' AND NOT EXISTS (SELECT 1 FROM copy WHERE copy.training = training.id "
    "AND copy.record = training.record AND copy.tracker = ?)"
)
