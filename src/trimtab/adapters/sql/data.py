"""Rows of a table or a query, streamed in pages in an order by which reading can go on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import sqlalchemy as sa
from blake3 import blake3

from trimtab.adapters.sql.database import Database
from trimtab.adapters.sql.kind import SqlOptions
from trimtab.adapters.sql.phases import At, Phase, phases
from trimtab.adapters.sql.relation import Relation, kept
from trimtab.data.port import Page, in_one_frame
from trimtab.data.sources.patience import Patience, Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.untyped import from_columns, within
from trimtab.records.base import canonical_json


def open_rows(spec: DatasetSpec, folder: Path) -> SqlRows:
    """The source of a dataset that lies in a database; it is asked for nothing before its first page."""
    return SqlRows(spec, folder, environment=os.environ)


class SqlRows:
    """Rows in order of time and key, or of the declared cursor and key, streamed from the server.

    A reading that was broken off goes on behind the last row that was committed. A page ends between two rows of
    different time (or cursor) and key, so that none is given twice and none left out. Rows that have no time or no key
    come first, each time: they are refused by name.
    """

    def __init__(
        self, spec: DatasetSpec, folder: Path, *, environment: Mapping[str, str], waiting: Waiting | None = None
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._options = msgspec.convert(dict(spec.options), SqlOptions)
        self._environment = environment
        self._patience = Patience(tries=self._options.tries, waiting=waiting or Waiting())
        self._expected: dict[str, pl.DataType] = {}
        self._of = blake3(canonical_json([spec.source, spec.key, spec.time, spec.options])).hexdigest()[:12]

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        self._expected = dict(schema)

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        return in_one_frame(self, since, until)

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        named = f"dataset {self._spec.name!r}"
        database = Database(self._spec.source, self._options, self._folder, environment=self._environment, named=named)
        begun = at = self._begun(cursor, since, until)
        for at, rows in self._patiently(database, begun):
            yield Page(rows=rows, cursor=canonical_json(at).decode())
        if at.until < until:  # it had begun earlier: what has come within the span since may lie before what was read
            rest = At(of=self._of, since=since, lower=at.until, until=until, base=at.base)
            for at, rows in self._patiently(database, rest):
                yield Page(rows=rows, cursor=canonical_json(at).decode())

    def _begun(self, cursor: str, since: datetime | None, until: datetime) -> At:
        """Where this reading stands: behind what it gave before it was broken off, or at its beginning."""
        at = self._understood(cursor)
        if at is not None and at.since == since and at.until <= until:
            return at
        if self._options.cursor:
            former = at if at is not None and at.done and at.base is not None else None
            base, lower = (former.base, former.until) if former is not None else (None, None)
            return At(of=self._of, since=since, lower=lower, until=until, base=base)
        return At(of=self._of, since=since, lower=since, until=until)

    def _patiently(self, database: Database, at: At) -> Iterator[tuple[At, pl.DataFrame]]:
        """What is behind `at`; where the connection breaks, a new one goes on behind the last page."""
        stream: Iterator[tuple[At, pl.DataFrame]] | None = None

        def following() -> tuple[At, pl.DataFrame] | None:
            nonlocal stream
            if stream is None:
                stream = self._stream(database, at)
            try:
                return next(stream, None)
            except BaseException:
                stream = None
                raise

        while not at.done and (found := self._patience.ask(following)) is not None:
            at = found[0]
            yield found

    def _stream(self, database: Database, at: At) -> Iterator[tuple[At, pl.DataFrame]]:
        with database.reading() as connection:
            relation = Relation.look(connection, self._spec, self._options)
            todo = phases(relation, at)
            for number in range(at.phase, len(todo)):
                for rows in self._groups(connection, relation, todo[number], at):
                    last = tuple(kept(rows[-1][i]) for i in relation.positions(todo[number].order))
                    at = msgspec.structs.replace(at, phase=number, after=last or None)
                    yield at, self._frame(relation, rows, at.until)
                top = at.after[0] if todo[number].moves_base and at.after and at.phase == number else at.base
                at = msgspec.structs.replace(at, phase=number + 1, after=None, base=top)
        at = msgspec.structs.replace(at, done=True)
        yield at, pl.DataFrame()

    def _groups(
        self, connection: sa.Connection, relation: Relation, phase: Phase, at: At
    ) -> Iterator[list[sa.Row[Any]]]:
        """The rows of a phase in lists of about `page_rows`, cut where the order moves on."""
        most, where = self._options.page_rows, relation.positions(phase.order)
        after = at.after if at.phase == phase.number else None
        statement = phase.statement(after)
        held: list[sa.Row[Any]] = []
        found = connection.execute(statement, execution_options={"yield_per": most})
        for part in found.partitions():
            for row in part:
                if len(held) >= most and (not where or any(row[i] != held[-1][i] for i in where)):
                    yield held
                    held = []
                held.append(row)
        if held:
            yield held

    def _frame(self, relation: Relation, rows: Sequence[sa.Row[Any]], until: datetime) -> pl.DataFrame:
        columns = dict(zip(relation.columns, zip(*rows, strict=True), strict=True))
        if relation.cursor not in (*self._spec.key, self._spec.time, self._spec.label):
            columns.pop(relation.cursor, None)  # it says when a row was written: a row that is completed has another
        return within(from_columns(columns, self._spec, self._expected), self._spec.time, until)

    def _understood(self, cursor: str) -> At | None:
        try:
            at = msgspec.json.decode(cursor, type=At)
        except msgspec.MsgspecError:
            return None
        return at if at.of == self._of else None
