"""Figures that take another dataset: whether values stand there, and whether they agree with what is trusted."""

from __future__ import annotations

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.quality.check import Answer, Batch, Check, Joined, nothing
from trimtab.data.spec import Trusted
from trimtab.measures.intervals import normal_quantile, wilson
from trimtab.records.requirement import Estimate, Requirement

_SURE = normal_quantile(0.975)


def referential(requirement: Requirement, batch: Batch) -> Check:
    """Share of cells, null ones left out, whose value stands in the column that `references` names. Counted."""
    wanted = [one for one in batch.spec.references if not requirement.columns or one.column in requirement.columns]
    batch.present([one.column for one in wanted])
    flags: dict[str, pl.Expr] = {}
    expressions: dict[str, pl.Expr] = {}
    for one in wanted:
        there = _column(batch, one.dataset, one.key, "references").drop_nulls().unique()
        _comparable(batch, one.column, there.dtype, f"{one.dataset}.{one.key}")
        flags[f"orphan {one.column}"] = ~pl.col(one.column).is_in(
            there.cast(batch.schema[one.column], strict=False).drop_nulls().implode()
        )
        expressions[f"orphan {one.column}"] = pl.col(f"orphan {one.column}").sum()
        expressions[f"referring {one.column}"] = pl.col(one.column).count()

    def figure(row: Answer) -> Estimate:
        cells = sum(row[f"referring {one.column}"] for one in wanted)
        if not cells:
            return nothing("no cell refers to anything")
        lost = {one.column: int(row[f"orphan {one.column}"] or 0) for one in wanted}
        worst = max(wanted, key=lambda one: lost[one.column])
        reason = ""
        if lost[worst.column]:
            reason = f"{worst.column}: {lost[worst.column]:,} cells have a value that {worst.dataset}.{worst.key} lacks"
        return Estimate(figure=1 - sum(lost.values()) / cells, rows=cells, reason=reason)

    return Check(expressions, figure, flags)


def accuracy(requirement: Requirement, batch: Batch) -> Check:
    """Share of cells that agree with what is trusted, among those where both are there, with Wilson's 95% interval:
    the rows that can be compared stand for the others."""
    wanted = [one for one in batch.spec.trusted if not requirement.columns or one.column in requirement.columns]
    batch.present([one.column for one in wanted])
    joins: dict[str, Joined] = {}
    flags: dict[str, pl.Expr] = {}
    expressions: dict[str, pl.Expr] = {}
    for one in wanted:
        other = one.other
        if one.dataset:
            other = f"_trusted {one.dataset}.{one.other}"
            joins[other] = _matched(batch, one, other)
            dtype = joins[other].rows.collect_schema()[other]
        else:
            batch.present((one.other,))
            dtype = batch.schema[one.other]
        _comparable(batch, one.column, dtype, other)
        here, there = pl.col(one.column), pl.col(other)
        wrong = here != there
        if dtype.is_numeric() and batch.schema[one.column].is_numeric():
            wrong = (here.cast(pl.Float64) - there.cast(pl.Float64)).abs() > one.within
        flags[f"wrong {one.column}"] = wrong
        expressions[f"wrong {one.column}"] = pl.col(f"wrong {one.column}").sum()
        expressions[f"compared {one.column}"] = pl.col(f"wrong {one.column}").count()

    def figure(row: Answer) -> Estimate:
        cells = sum(row[f"compared {one.column}"] for one in wanted)
        if not cells:
            return nothing("no cell has a trusted value beside it")
        wrong = {one.column: int(row[f"wrong {one.column}"] or 0) for one in wanted}
        share = 1 - sum(wrong.values()) / cells
        low, high = wilson(share, cells, _SURE)
        worst = max(wrong, key=lambda name: wrong[name])
        reason = f"{worst}: {wrong[worst]:,} cells say otherwise; " if wrong[worst] else ""
        reason += f"{cells:,} cells could be compared"
        return Estimate(figure=share, low=low, high=high, rows=cells, reason=reason)

    return Check(expressions, figure, flags, joins)


def _matched(batch: Batch, one: Trusted, name: str) -> Joined:
    """The trusted column by key, under `name`."""
    other = batch.others(one.dataset)
    rows, theirs, ours = other.rows.lazy(), other.key, batch.spec.key
    have = rows.collect_schema()
    for wanted in (*theirs, one.other):
        if wanted not in have:
            raise DataError(f"dataset {one.dataset!r} has no column {wanted!r}, which `trusted` needs")
    keyed = [pl.col(there).cast(batch.schema[here]).alias(here) for here, there in zip(ours, theirs, strict=True)]
    return Joined(rows.select(*keyed, pl.col(one.other).alias(name)).unique(ours, keep="any"), ours)


def _column(batch: Batch, dataset: str, name: str, what: str) -> pl.Series:
    rows = batch.others(dataset).rows.lazy()
    if name not in rows.collect_schema():
        raise DataError(f"dataset {dataset!r} has no column {name!r}, which `{what}` of {batch.spec.name!r} names")
    return rows.select(name).collect(engine="streaming").to_series()


def _comparable(batch: Batch, column: str, dtype: pl.DataType, there: str) -> None:
    own = batch.schema[column]
    text = (pl.String, pl.Categorical, pl.Enum)
    alike = (
        own == dtype
        or (own.is_numeric() and dtype.is_numeric())
        or (isinstance(own, text) and isinstance(dtype, text))
        or (own.is_temporal() and dtype.is_temporal())
        or isinstance(own, pl.Null)
        or isinstance(dtype, pl.Null)
    )
    if not alike:
        raise DataError(
            f"dataset {batch.spec.name!r}: column {column!r} is {own} and {there} is {dtype}, which cannot be equal",
            hint="let both sources give the same type",
        )
