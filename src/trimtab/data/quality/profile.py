"""What is in a dataset, column by column."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import polars as pl

from trimtab.data.quality.check import STORE_COLUMNS
from trimtab.records.base import Record

Kind = Literal["number", "text", "time", "boolean", "other"]
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TOPS = 5
_SHAPES = 3
_LONGEST = 60
_DAY = 86_400 * 10**6


class Often(Record, kw_only=True):
    """A value, or a shape of text, and how many rows have it."""

    value: str
    count: int


class ColumnProfile(Record, kw_only=True):
    """One column. `low` to `high` are its ends (numbers, times; the lengths of texts), `quantiles` those at 5, 25, 50,
    75 and 95%; `tops` the commonest values, `shapes` the commonest forms of text (A for capitals, a for small letters,
    9 for digits, each run once). Of times `days` is the share of days between the ends that have a row, and `gap` the
    longest time without one, in seconds."""

    name: str
    type: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    low: Any = None
    high: Any = None
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] = ()
    tops: tuple[Often, ...] = ()
    shapes: tuple[Often, ...] = ()
    days: float | None = None
    gap: float | None = None

    @property
    def present(self) -> int:
        """Rows that have a value."""
        return self.rows - self.nulls


class Profile(Record, kw_only=True):
    """A dataset, or a part of it."""

    dataset: str
    rows: int
    columns: tuple[ColumnProfile, ...]

    def column(self, name: str) -> ColumnProfile:
        """The column of this name; KeyError where there is none."""
        return {column.name: column for column in self.columns}[name]


def kind_of(dtype: pl.DataType) -> Kind:
    """What a column of this type holds, in one word."""
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    return "time" if isinstance(dtype, pl.Datetime | pl.Date) else "other"


def profile(frame: pl.DataFrame, dataset: str) -> Profile:
    """Look at every column of `frame` (those that begin with `_` are not data)."""
    names = [name for name in frame.columns if not name.startswith(STORE_COLUMNS)]
    counts = frame.lazy().select(
        **{f"nulls {name}": pl.col(name).null_count() for name in names},
        **{f"distinct {name}": pl.col(name).drop_nulls().n_unique() for name in names if _hashes(frame.schema[name])},
    )
    told = counts.collect(engine="streaming").row(0, named=True) if names else {}
    columns = tuple(
        _column(frame.get_column(name), told[f"nulls {name}"], told.get(f"distinct {name}", 0)) for name in names
    )
    return Profile(dataset=dataset, rows=frame.height, columns=columns)


def shape(text: pl.Expr) -> pl.Expr:
    """The form of a text: runs of capitals as A, of small letters as a, of digits as 9; the rest as it is."""
    plain = text.str.replace_all(r"\p{Lu}+", "A").str.replace_all(r"\p{Ll}+", "a")
    return plain.str.replace_all(r"\d+", "9")


def _hashes(dtype: pl.DataType) -> bool:
    return not isinstance(dtype, pl.Object)


def _column(cells: pl.Series, nulls: int, distinct: int) -> ColumnProfile:
    kind = kind_of(cells.dtype)
    more: dict[str, Any] = {}
    there = cells.drop_nulls()
    if len(there):
        if kind == "number":
            more = _number(there)
        elif kind == "time":
            more = _time(there)
        elif kind == "text":
            more = _text(there.cast(pl.String))
        if kind in ("text", "boolean") or (kind == "number" and distinct <= max(20, len(there) // 20)):
            more["tops"] = _tops(there, _TOPS)
    return ColumnProfile(
        name=cells.name,
        type=str(cells.dtype),
        kind=kind,
        rows=len(cells),
        nulls=nulls,
        distinct=distinct,
        **more,
    )


def _number(cells: pl.Series) -> dict[str, Any]:
    finite = cells.cast(pl.Float64)
    finite = finite.filter(finite.is_finite())
    if finite.is_empty():
        return {}
    return {
        "low": finite.min(),
        "high": finite.max(),
        "mean": finite.mean(),
        "deviation": finite.std() if len(finite) > 1 else None,
        "quantiles": tuple(finite.quantile(share, "linear") for share in _QUANTILES),
    }


def _time(cells: pl.Series) -> dict[str, Any]:
    moments = cells.cast(pl.Datetime("us", "UTC")) if isinstance(cells.dtype, pl.Date) else cells
    physical = moments.dt.timestamp("us").sort()
    first, last = int(physical[0]), int(physical[-1])
    covered = (physical // _DAY).n_unique() / (last // _DAY - first // _DAY + 1)
    widest = physical.diff().max() if len(physical) > 1 else None
    low, high = moments.min(), moments.max()
    assert isinstance(low, datetime)
    assert isinstance(high, datetime)
    gap = float(widest) / 1e6 if isinstance(widest, int | float) else None
    return {"low": low, "high": high, "days": covered, "gap": gap}


def _text(cells: pl.Series) -> dict[str, Any]:
    lengths = cells.str.len_chars()
    shapes = cells.to_frame("cell").select(shape(pl.col("cell"))).to_series()
    return {"low": lengths.min(), "high": lengths.max(), "shapes": _tops(shapes, _SHAPES)}


def _tops(cells: pl.Series, most: int) -> tuple[Often, ...]:
    counts = cells.rename("value").value_counts(name="count").sort(["count", "value"], descending=[True, False])
    return tuple(Often(value=_said(value), count=count) for value, count in counts.head(most).iter_rows())


def _said(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
