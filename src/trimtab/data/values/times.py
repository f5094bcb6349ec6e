"""Instants: whatever a source calls a time becomes `Datetime("us", "UTC")`."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec

UTC_TIME = pl.Datetime("us", "UTC")

_SECONDS = "%Y-%m-%dT%H:%M:%S%.f"
_MINUTES = "%Y-%m-%dT%H:%M"
_OFFSET = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"


def naive_error(spec: DatasetSpec, column: str) -> DataError:
    """The error for a time of no zone where the declaration names none."""
    return DataError(
        f"dataset {spec.name!r}: times in column {column!r} have no time zone",
        hint='say which zone they are in, for example `timezone = "America/New_York"`, in the [[data]] table',
    )


def is_time(dtype: pl.DataType) -> bool:
    """Whether a column of this type holds instants."""
    return isinstance(dtype, pl.Datetime)


def has_offset(text: pl.Expr) -> pl.Expr:
    """Whether a time in ISO 8601 text says its offset from UTC."""
    return text.str.contains(_OFFSET)


def from_text(text: pl.Expr, zone: str | None) -> pl.Expr:
    """ISO 8601 text to UTC: with an offset as it says, without one in `zone`; null where it cannot be read.

    Seconds and the time of day may be left out. A local time that a change of clocks skips is null, one that it
    repeats is the earlier of the two.
    """
    clean = text.str.strip_chars().str.replace(" ", "T", literal=True).str.replace(r"[Zz]$", "+00:00")
    aware = pl.coalesce(
        clean.str.to_datetime(_SECONDS + "%z", time_unit="us", time_zone="UTC", strict=False),
        clean.str.to_datetime(_MINUTES + "%z", time_unit="us", time_zone="UTC", strict=False),
    )
    if zone is None:
        return aware
    naive = pl.coalesce(
        clean.str.to_datetime(_SECONDS, time_unit="us", strict=False),
        clean.str.to_datetime(_MINUTES, time_unit="us", strict=False),
        clean.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
    )
    return pl.coalesce(aware, _localised(naive, zone))


def to_utc(column: str, dtype: pl.DataType, spec: DatasetSpec) -> pl.Expr:
    """The column as UTC instants, from instants, dates or text. Raises DataError for other types, and for instants
    and dates without a zone where `spec.timezone` is not given."""
    cell = pl.col(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return cell.dt.convert_time_zone("UTC").cast(UTC_TIME)
    if isinstance(dtype, pl.String):
        return from_text(cell, spec.timezone)
    if isinstance(dtype, pl.Null):
        return cell.cast(UTC_TIME)
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        if spec.timezone is None:
            raise naive_error(spec, column)
        return _localised(cell.cast(pl.Datetime("us")), spec.timezone)
    raise DataError(
        f"dataset {spec.name!r}: time column {column!r} has type {dtype}, which is no time",
        hint="give timestamps, or ISO 8601 text such as 2013-01-31T17:05:00Z",
    )


def in_utc(frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """The frame with its time column, and every other column of instants, in UTC.

    Text in the time column that cannot be read becomes null. Raises DataError where a zone is missing or unknown.
    """
    schema = frame.schema
    wanted = [
        (name, dtype) for name, dtype in schema.items() if dtype != UTC_TIME and (is_time(dtype) or name == spec.time)
    ]
    if not wanted:
        return frame
    for name, dtype in wanted:
        if isinstance(dtype, pl.String) and spec.timezone is None:
            refuse_naive_text(frame.get_column(name), spec)
    try:
        return frame.with_columns(to_utc(name, dtype, spec).alias(name) for name, dtype in wanted)
    except pl.exceptions.ComputeError as error:
        raise _zone_error(spec, error) from error


def refuse_naive_text(cells: pl.Series, spec: DatasetSpec) -> None:
    """Raise DataError when text holds a readable time without an offset and the declaration names no zone."""
    name = cells.name
    naive = cells.to_frame().filter(~has_offset(pl.col(name)))
    if naive.height and naive.select(from_text(pl.col(name), "UTC").is_not_null().any()).item():
        raise naive_error(spec, name)


def microseconds(moment: datetime) -> pl.Expr:
    """A timezone-aware moment as a literal that compares with UTC columns."""
    return pl.lit(moment.astimezone(UTC)).cast(UTC_TIME)


def _localised(naive: pl.Expr, zone: str) -> pl.Expr:
    return (
        naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .cast(UTC_TIME)
    )


def _zone_error(spec: DatasetSpec, error: Exception) -> DataError:
    if "time zone" in str(error).lower() or "timezone" in str(error).lower():
        return DataError(
            f"dataset {spec.name!r}: unknown time zone {spec.timezone!r}",
            hint='use a name such as "Europe/Berlin" or "UTC"',
        )
    return DataError(f"dataset {spec.name!r}: its times cannot be read: {error}")
