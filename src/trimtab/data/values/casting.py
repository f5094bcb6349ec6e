"""Types of columns: what a dataset stores, and reading a cell as the stored type without losing anything."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.values.digest import family
from trimtab.data.values.times import UTC_TIME, from_text

_TRUE = ("true", "True", "TRUE", "1")
_FALSE = ("false", "False", "FALSE", "0")


@dataclass(frozen=True)
class Reading:
    """How to read one column: `cell` as the wanted type, null where it does not fit; `failed` is true there.
    `failed` is None where every cell fits."""

    cell: pl.Expr
    failed: pl.Expr | None


def stored_type(column: str, dtype: pl.DataType) -> pl.DataType:
    """The type a column is stored as: integers as Int64 (UInt64 stays), floats as Float64, categories as text, instants
    in UTC microseconds. Raises DataError for types that cannot be stored (lists, structs, 128-bit integers, objects).
    """
    kind = family(dtype)
    if isinstance(dtype, pl.Null):
        return dtype
    if not kind:
        raise DataError(
            f"column {column!r} has type {dtype}, which a dataset cannot hold",
            hint="spread it over columns of numbers, text, booleans or times",
        )
    wide: dict[str, pl.DataType] = {
        "i": pl.Int64(),
        "f": pl.Float64(),
        "s": pl.String(),
        "t": UTC_TIME,
        "e": pl.Duration("us"),
    }
    return wide.get(kind, dtype)


def reading(  # noqa: PLR0911 - one line for each pair of kinds
    column: str, have: pl.DataType, want: pl.DataType, *, zone: str | None = None
) -> Reading:
    """How a column of type `have` is read as `want`: only what the cell says survives (3.0 is 3, 3.5 is no integer)."""
    cell = pl.col(column)
    if have == want:
        return Reading(cell, None)
    if isinstance(have, pl.Null):
        return Reading(cell.cast(want), None)
    if isinstance(want, pl.String):
        return Reading(_as_text(cell, have), None)
    if isinstance(have, (pl.String, pl.Categorical, pl.Enum)):
        return _checked(cell, _from_text(cell.cast(pl.String), want, zone), None)
    if (have.is_integer() or have.is_float()) and isinstance(want, pl.Boolean):
        return _checked(cell, cell.cast(pl.Boolean), have)
    same_kind = _numeric(have) and _numeric(want)
    if same_kind or (have.is_temporal() and want.is_temporal() and family(have) == family(want)):
        lossless = stored_type(column, have) == want
        return Reading(cell.cast(want), None) if lossless else _checked(cell, cell.cast(want, strict=False), have)
    if isinstance(have, pl.Datetime) and isinstance(want, pl.Date):
        return _checked(cell, cell.cast(pl.Date), have)
    return Reading(pl.lit(None, dtype=want), cell.is_not_null())


def _numeric(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or isinstance(dtype, pl.Boolean)


def _checked(cell: pl.Expr, read: pl.Expr, back: pl.DataType | None) -> Reading:
    """`read`, with the cells that do not come back the same counted as failed."""
    if back is None:
        failed = cell.is_not_null() & read.is_null()
    else:
        again = read.cast(back, strict=False)
        failed = cell.is_not_null() & again.ne_missing(cell)
    return Reading(pl.when(failed).then(None).otherwise(read), failed)


def _as_text(cell: pl.Expr, have: pl.DataType) -> pl.Expr:
    return cell.bin.encode("hex") if isinstance(have, pl.Binary) else cell.cast(pl.String)


def _from_text(  # noqa: PLR0911 - one line for each type
    text: pl.Expr, want: pl.DataType, zone: str | None
) -> pl.Expr:
    match want:
        case pl.Boolean():
            words = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
            return text.replace_strict(words, default=None, return_dtype=pl.Boolean)
        case pl.Datetime():
            return from_text(text, zone)
        case pl.Date():
            return text.str.to_date("%Y-%m-%d", strict=False)
        case pl.Time():
            return text.str.to_time("%H:%M:%S%.f", strict=False)
        case pl.Binary():
            return text.str.decode("hex", strict=False)
        case pl.Duration():
            return text.cast(pl.Int64, strict=False).cast(want)
        case _:
            return text.cast(want, strict=False)
