"""Rows whose cells are Python values, as JSON and database drivers give them, into a frame of one type a column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson
import polars as pl

from trimtab.data.port import UNREAD
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.casting import reading
from trimtab.data.values.times import UTC_TIME, from_text, in_utc, is_time, refuse_naive_text

_LARGEST = 2**63
_PLAIN: tuple[tuple[frozenset[type], pl.DataType], ...] = (
    (frozenset({int}), pl.Int64()),
    (frozenset({int, float, Decimal}), pl.Float64()),
    (frozenset({bool}), pl.Boolean()),
    (frozenset({str}), pl.String()),
    (frozenset({bytes}), pl.Binary()),
    (frozenset({date}), pl.Date()),
    (frozenset({time}), pl.Time()),
    (frozenset({timedelta}), pl.Duration("us")),
)


def as_frame(
    rows: Sequence[Mapping[str, Any]],
    spec: DatasetSpec,
    expected: Mapping[str, pl.DataType],
    *,
    columns: Iterable[str] = (),
) -> pl.DataFrame:
    """The rows with a column for each name that any of them has, and for `columns`; instants in UTC.

    Lists and tables become JSON text, decimals floats. A column of several types becomes text. Text is read as the
    type that is expected of its column; what cannot be read is null, and told in `_unread`. Text of which every cell
    is an instant with its offset is instants. Raises DataError where the time has no zone.
    """
    names = dict.fromkeys(columns) | dict.fromkeys(name for row in rows for name in row)
    return from_columns({name: [row.get(name) for row in rows] for name in names}, spec, expected)


def from_columns(
    columns: Mapping[str, Sequence[Any]], spec: DatasetSpec, expected: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """As `as_frame`, of cells that come column by column."""
    frame = pl.DataFrame([_series(name, values) for name, values in columns.items()], orient="col")
    if frame.is_empty():
        return frame
    expected = dict(expected) | ({spec.time: UTC_TIME} if spec.time in frame.columns else {})
    if spec.timezone is None and frame.schema.get(spec.time) == pl.String:
        refuse_naive_text(frame.get_column(spec.time), spec)
    cells, failed = list[pl.Expr](), dict[str, pl.Expr]()
    for name, have in frame.schema.items():
        if not isinstance(have, pl.String):
            continue
        want = expected.get(name)
        if want is None and _instants(frame.get_column(name)):
            cells.append(from_text(pl.col(name), None).alias(name))
        elif want is not None and not isinstance(want, pl.String):
            read = reading(name, have, want, zone=spec.timezone)
            cells.append(read.cell.alias(name))
            if read.failed is not None:
                failed[name] = read.failed
    return in_utc(_told(frame, cells, failed), spec)


def _told(frame: pl.DataFrame, cells: list[pl.Expr], failed: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """The frame with these cells read, and with the text of those that failed where there are any."""
    if failed:
        bad = pl.any_horizontal([one.fill_null(value=False) for one in failed.values()])
        if frame.select(bad.any()).item():
            told = pl.struct([pl.when(one).then(pl.col(name)).alias(name) for name, one in failed.items()])
            cells = [*cells, pl.when(bad).then(told.struct.json_encode()).alias(UNREAD)]
    return frame.with_columns(cells) if cells else frame


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    for known, dtype in _PLAIN:
        if kinds <= known and not (int in kinds and _too_large(values)):
            return pl.Series(name, values, dtype=dtype, strict=False)
    if kinds == {datetime}:
        aware = {value.tzinfo is not None for value in values if value is not None}
        if aware == {True}:
            return pl.Series(name, [None if v is None else v.astimezone(UTC) for v in values], dtype=UTC_TIME)
        if aware == {False}:
            return pl.Series(name, values, dtype=pl.Datetime("us"))
    return pl.Series(name, [None if value is None else _text(value) for value in values], dtype=pl.String)


def _too_large(values: Iterable[Any]) -> bool:
    return any(isinstance(value, int) and not -_LARGEST <= value < _LARGEST for value in values)


_TEXTS: dict[type, Callable[[Any], str]] = {
    str: str,
    bool: lambda value: str(value).lower(),
    bytes: bytes.hex,
    memoryview: lambda value: value.hex(),
    datetime: datetime.isoformat,
    list: lambda value: orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS).decode(),
}
_TEXTS[dict] = _TEXTS[tuple] = _TEXTS[list]


def _text(value: Any) -> str:
    return _TEXTS.get(type(value), str)(value)


def _instants(cells: pl.Series) -> bool:
    """Whether every cell is an instant with its offset, and there are any. The first is looked at alone, as most
    columns of text are none."""
    there = cells.drop_nulls()
    if there.is_empty():
        return False
    first = there.head(1).to_frame()
    read = from_text(pl.col(cells.name), None).is_not_null().all()
    return bool(first.select(read).item()) and bool(there.to_frame().select(read).item())


def within(frame: pl.DataFrame, column: str, until: datetime) -> pl.DataFrame:
    """Without the rows later than `until`; those without a time stay, to be refused by name."""
    if not frame.height or not is_time(frame.schema[column]):
        return frame
    return frame.filter((pl.col(column) <= pl.lit(until.astimezone(UTC)).cast(UTC_TIME)) | pl.col(column).is_null())
