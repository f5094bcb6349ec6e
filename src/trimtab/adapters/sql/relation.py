"""A table or a query as something to select from: its columns, how its times are written, and values in a cursor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from trimtab.adapters.sql.kind import SqlOptions
from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec

Kept = tuple[str, str]
"""A value as a cursor holds it: the name of its type, and its text."""
Times = Literal["aware", "naive", "date", "text", "none"]

_MARGIN = timedelta(hours=26)
"""As far as a day or a time of no zone may lie from the same instant elsewhere."""


@dataclass(frozen=True)
class Relation:
    """What is selected from; `times` says how the time column is written."""

    source: sa.FromClause
    columns: tuple[str, ...]
    spec: DatasetSpec
    cursor: str
    times: Times

    @classmethod
    def look(cls, connection: sa.Connection, spec: DatasetSpec, options: SqlOptions) -> Relation:
        """Ask for the columns, and for one time. Raises DataError where a declared column is not there."""
        names = tuple(
            connection.execute(sa.select(sa.text("*")).select_from(_from(options, ())).where(sa.false())).keys()
        )
        for name, what in (*((key, "key") for key in spec.key), (spec.time, "time"), (options.cursor, "cursor")):
            if name and name not in names:
                where = f"table {options.table!r}" if options.table else "the query"
                raise DataError(
                    f"dataset {spec.name!r}: {where} has no column {name!r} ({what})",
                    hint=f"the columns are {', '.join(sorted(names)[:20])}",
                )
        source = _from(options, names)
        time = source.c[spec.time]
        found = connection.execute(sa.select(time).where(time.is_not(None)).limit(1)).scalar()
        return cls(source=source, columns=names, spec=spec, cursor=options.cursor, times=_times(found))

    def positions(self, names: Sequence[str]) -> tuple[int, ...]:
        """Where these columns stand in a row."""
        return tuple(self.columns.index(name) for name in names)

    def later(self, moment: datetime) -> sa.ColumnElement[bool]:
        """Rows after a moment, and some from just before it where the column does not tell exactly."""
        return self._compared(moment, after=True)

    def not_later(self, moment: datetime) -> sa.ColumnElement[bool]:
        """Rows up to a moment, and some from just after it where the column does not tell exactly."""
        return self._compared(moment, after=False)

    def _compared(self, moment: datetime, *, after: bool) -> sa.ColumnElement[bool]:
        time: sa.ColumnElement[Any] = self.source.c[self.spec.time]
        wide = moment.astimezone(UTC) + (-_MARGIN if after else _MARGIN)
        match self.times:
            case "aware":
                bound: Any = sa.literal(moment.astimezone(UTC), sa.DateTime(timezone=True))
                return sa.and_(time > bound if after else time <= bound)
            case "naive":
                zone = ZoneInfo(self.spec.timezone) if self.spec.timezone else UTC
                bound = sa.literal(wide.astimezone(zone).replace(tzinfo=None), sa.DateTime())
            case "date":
                bound = sa.literal(wide.date(), sa.Date())
            case "text":  # the day comes first in every form of ISO 8601 that is read
                time, bound = sa.func.substr(time, 1, 10), sa.literal(wide.date().isoformat(), sa.String())
            case _:
                return sa.true()
        return sa.and_(time >= bound if after else time <= bound)


def kept(value: Any) -> Kept:
    """A value of the order as a cursor holds it. Raises DataError for a type that cannot be an order."""
    for name, (kind, write, _, _) in _KEPT.items():
        if type(value) is kind:
            return name, write(value)
    raise DataError(f"rows cannot be read in the order of a column of type {type(value).__name__}")


def bound(found: Kept) -> sa.ColumnElement[Any]:
    """The value again, to compare a column with."""
    _, _, read, dtype = _KEPT[found[0]]
    value = read(found[1])
    if isinstance(value, datetime):
        dtype = sa.DateTime(timezone=value.tzinfo is not None)
    return sa.literal(value, dtype)


def earlier(found: Kept, seconds: float) -> Kept:
    """A moment that many seconds before; what is no moment as it is."""
    kind, text = found
    return (
        (kind, (datetime.fromisoformat(text) - timedelta(seconds=seconds)).isoformat()) if kind == "datetime" else found
    )


_KEPT: dict[str, tuple[type, Any, Any, sa.types.TypeEngine[Any]]] = {
    "int": (int, str, int, sa.BigInteger()),
    "str": (str, str, str, sa.String()),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat, sa.DateTime()),
    "date": (date, date.isoformat, date.fromisoformat, sa.Date()),
    "float": (float, float.hex, float.fromhex, sa.Double()),
    "decimal": (Decimal, str, Decimal, sa.Numeric()),
    "uuid": (UUID, str, UUID, sa.Uuid()),
    "bytes": (bytes, bytes.hex, bytes.fromhex, sa.LargeBinary()),
    "bool": (bool, str, lambda text: text == "True", sa.Boolean()),
}


def _from(options: SqlOptions, names: Sequence[str]) -> sa.FromClause:
    columns: list[Any] = [sa.column(name) for name in names]
    if options.table:
        schema, _, name = options.table.rpartition(".")
        return sa.table(name, *columns, schema=schema or None)
    query = options.query.strip().rstrip(";")
    asked = sa.text(re.sub(r"(?<![:\w]):(?=\w)", r"\\:", query))  # a colon in it is no parameter of ours
    return asked.columns(*columns).subquery("asked")


def _times(found: Any) -> Times:
    if isinstance(found, datetime):
        return "aware" if found.tzinfo is not None else "naive"
    return "date" if isinstance(found, date) else "text" if isinstance(found, str) else "none"
