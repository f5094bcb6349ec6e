"""Figures of how one column's values lie: their mean, quantiles, ends, how many there are, and how late rows came."""

from __future__ import annotations

from math import sqrt

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.quality.check import Answer, Batch, Check, nothing
from trimtab.measures.balance import rarest_share
from trimtab.measures.intervals import normal_quantile
from trimtab.records.requirement import Estimate, Requirement

_SURE = normal_quantile(0.975)
_LATE = 0.95
_MOST_CLASSES = 10_000


def timeliness(requirement: Requirement, batch: Batch) -> Check:
    """A quantile of the seconds from a row's `time` to `recorded`, when it was written down; rows without are left out.
    95% interval: order statistics, see `quantile`. One recorded before its time counts below zero, as zero."""
    spec = batch.spec
    recorded = spec.recorded or ""
    batch.present((spec.time, recorded))
    if not isinstance(batch.schema[recorded], pl.Datetime):
        raise DataError(
            f"dataset {spec.name!r}: `recorded` names {recorded!r}, and {batch.schema[recorded]} is no time",
            hint="give timestamps",
        )
    late = (pl.col(recorded) - pl.col(spec.time)).dt.total_microseconds().clip(lower_bound=0) / 1e6
    share = requirement.quantile or _LATE
    return _ranked(late, share, f"{recorded} after {spec.time}")


def quantile(requirement: Requirement, batch: Batch) -> Check:
    """A quantile of a column (the median unless told), with the 95% interval that its order statistics give whatever
    the distribution (Hahn & Meeker 1991, "Statistical Intervals", 5.2; ranks by the normal approximation)."""
    (column,) = requirement.columns
    return _ranked(batch.number(column, requirement.metric), requirement.quantile or 0.5, column)


def mean(requirement: Requirement, batch: Batch) -> Check:
    """Mean of a column, with its 95% interval by the central limit theorem."""
    (column,) = requirement.columns
    cell = batch.number(column, requirement.metric)

    def figure(row: Answer) -> Estimate:
        rows, middle = row[f"count {column}"], row[f"mean {column}"]
        if not rows or middle is None:
            return nothing(f"no cell of {column} is there")
        half = _SURE * (row[f"deviation {column}"] or 0.0) / sqrt(rows)
        sure = rows > 1
        return Estimate(
            figure=middle, low=middle - half if sure else None, high=middle + half if sure else None, rows=rows
        )

    return Check(
        {f"mean {column}": cell.mean(), f"deviation {column}": cell.std(), f"count {column}": cell.count()}, figure
    )


def deviation(requirement: Requirement, batch: Batch) -> Check:
    """Standard deviation of a column. Counted, without an interval."""
    return _one_figure(requirement, batch, "deviation", lambda cell: cell.std())


def minimum(requirement: Requirement, batch: Batch) -> Check:
    """The least value of a column."""
    return _one_figure(requirement, batch, "least", lambda cell: cell.min())


def maximum(requirement: Requirement, batch: Batch) -> Check:
    """The greatest value of a column."""
    return _one_figure(requirement, batch, "greatest", lambda cell: cell.max())


def distinct(requirement: Requirement, batch: Batch) -> Check:
    """How many different values a column has, null not among them."""
    (column,) = requirement.columns
    batch.present((column,))

    def figure(row: Answer) -> Estimate:
        return Estimate(figure=float(row[f"different {column}"] - (row[f"gaps {column}"] > 0)), rows=row["rows"])

    return Check(
        {f"gaps {column}": pl.col(column).null_count()},
        figure,
        distinct={f"different {column}": pl.col(column)},
    )


def balance(requirement: Requirement, batch: Batch) -> Check:
    """Share of the rarest class among rows that have one, with its 95% interval (see `rarest_share`). A class that is
    not among the rows at all is not missed: requirements on `valid` say which there are."""
    column = requirement.columns[0] if requirement.columns else batch.spec.label
    if column is None:
        raise DataError(f"dataset {batch.spec.name!r} has no label, so {requirement.metric} needs `columns`")
    batch.present((column,))
    found = pl.col(column).drop_nulls().value_counts(name="count").struct.rename_fields(["value", "count"])

    def figure(row: Answer) -> Estimate:
        counts = {_said(item["value"]): int(item["count"]) for item in row[f"classes {column}"]}
        if len(counts) > _MOST_CLASSES:
            return nothing(f"{column} has {len(counts):,} different values: these are no classes")
        return rarest_share(counts)

    return Check({f"classes {column}": found.implode()}, figure)


def _one_figure(requirement: Requirement, batch: Batch, name: str, told: object) -> Check:
    (column,) = requirement.columns
    cell = batch.number(column, requirement.metric)
    assert callable(told)

    def figure(row: Answer) -> Estimate:
        value = row[f"{name} {column}"]
        return (
            nothing(f"no cell of {column} is there")
            if value is None
            else Estimate(figure=float(value), rows=row["rows"])
        )

    return Check({f"{name} {column}": told(cell)}, figure)


def _ranked(cell: pl.Expr, share: float, name: str) -> Check:
    """The value of rank ceil(n p), and of the ranks n p -/+ 1.96 sqrt(n p (1 - p)) on both sides of it."""
    ordered = cell.drop_nulls().sort()
    count = ordered.len().cast(pl.Int64)
    half = _SURE * (count * (share * (1 - share))).sqrt()
    ranks = {
        "at": (count * share).ceil().cast(pl.Int64) - 1,
        "low": (count * share - half).floor().cast(pl.Int64) - 1,
        "high": (count * share + half).ceil().cast(pl.Int64),
    }
    key = f"{name} at {share:g}"
    found = pl.struct(
        count.alias("count"),
        *(ordered.get(rank.clip(0, count - 1), null_on_oob=True).alias(side) for side, rank in ranks.items()),
    )

    def figure(row: Answer) -> Estimate:
        told = row[key]
        if not told["count"]:
            return nothing(f"{name}: no row has it")
        return Estimate(
            figure=float(told["at"]),
            low=float(told["low"]),
            high=float(told["high"]),
            rows=told["count"],
            reason=f"{share:.4g} of {told['count']:,} rows lie below",
        )

    return Check({key: found}, figure)


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
