"""Quality requirements on data, all measured in one streaming pass over the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import polars as pl

from trimtab.data.port import DataError
from trimtab.data.quality import compared, copies, counted, people, spread
from trimtab.data.quality.check import Answer, Batch, Check, Other, Others
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.moments import known_until
from trimtab.data.values.times import microseconds
from trimtab.measures.judge import judge, judge_slices
from trimtab.records.requirement import Estimate, Requirement, Verdict

_MOST_SLICES = 10_000
_AT_ONCE = 16_000_000
"""Rows whose different keys are counted in one go: a go more for each further so many keeps memory bounded."""
_COUNTED_WHOLE = frozenset({"data.rows", "data.freshness", "data.minimum", "data.maximum", "data.distinct"})
"""Of these a slice of one row has the figure too: too few rows may be the very thing that is asked about."""


def alone(name: str) -> Other:
    """No other dataset is there."""
    raise DataError(f"the dataset {name!r} is not at hand to compare with")


def measure(
    frame: pl.DataFrame | pl.LazyFrame,
    spec: DatasetSpec,
    requirements: Sequence[Requirement],
    *,
    now: datetime,
    quarantined: Mapping[str, int],
    newest: datetime | None = None,
    others: Others = alone,
    window: float | None = None,
) -> list[Verdict]:
    """A verdict for each `data.` requirement, in their order; others are passed over.

    `frame` holds the accepted rows that are judged (columns that begin with `_` are not data), `quarantined` how many
    were refused beside them, by reason. A refused row counts: it is not valid; one refused as a duplicate is not
    unique; one refused as inconsistent is not consistent. What each figure is, is said where it is worked out: in
    `counted`, `compared` (which asks `others` for the datasets that are referred to), `spread` and `copies`.

    A requirement with a `window` is measured on rows of that long before what could be known at `now`; those without
    one beside it on rows of the argument `window` (None: all). One with `by` is judged slice by slice, of accepted
    rows: which slice a refused row would have been in is not known.

    Without a row, shares and freshness are unknown; but where `frame` is only the latest rows, `newest` is the time of
    the newest there ever was, so that data that stopped coming are stale, not unknown. Raises DataError for a column
    that is not there, or of a type that cannot be measured so.
    """
    wanted = [requirement for requirement in requirements if requirement.metric.startswith("data.")]
    lazy = frame.lazy()
    batch = Batch(spec, lazy.collect_schema(), now, quarantined, newest, others)
    rows = frame.height if isinstance(frame, pl.DataFrame) else None
    usual = window if any(requirement.window is not None for requirement in wanted) else None
    groups: dict[tuple[float | None, str | None], list[int]] = {}
    for index, requirement in enumerate(wanted):
        groups.setdefault((requirement.window or usual, requirement.by), []).append(index)
    found: dict[int, Verdict] = {}
    for (span, by), indices in groups.items():
        asked = [wanted[index] for index in indices]
        cut = lazy
        if span is not None:
            begin = known_until(now, spec) - timedelta(seconds=span)
            cut = lazy.filter(pl.col(spec.time) > microseconds(begin))
        verdicts = _of_all(cut, asked, batch, rows) if by is None else _by_slice(cut, by, asked, batch)
        found |= dict(zip(indices, verdicts, strict=True))
    return [found[index] for index in range(len(wanted))]


def longest_window(requirements: Sequence[Requirement], least: float) -> float:
    """Seconds of rows that it takes to judge them all: their own windows, or `least` where they name none."""
    return max([least, *(r.window for r in requirements if r.window is not None and r.metric.startswith("data."))])


def _of_all(lazy: pl.LazyFrame, asked: Sequence[Requirement], batch: Batch, rows: int | None) -> list[Verdict]:
    checks = [_METRICS[requirement.metric](requirement, batch) for requirement in asked]
    distinct = {name: cell for check in checks for name, cell in check.distinct.items()}
    parts = 1
    if distinct:
        if rows is None:
            rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
        parts = 1 + rows // _AT_ONCE
    expressions: dict[str, pl.Expr] = {"rows": pl.len()}
    for check in checks:
        expressions |= check.expressions
    if parts == 1:
        expressions |= {name: cell.n_unique() for name, cell in distinct.items()}
    answer: Answer = _prepared(lazy, checks).select(**expressions).collect(engine="streaming").row(0, named=True)
    if parts > 1:
        flagged = _prepared(lazy, [check for check in checks if check.distinct])
        answer |= {name: _different(flagged, cell, parts) for name, cell in distinct.items()}
    return [_verdict(r, check.figure(answer)) for r, check in zip(asked, checks, strict=True)]


def _different(lazy: pl.LazyFrame, cell: pl.Expr, parts: int) -> int:
    """Exactly how many values differ, a share of all values at a time: equal ones have equal hashes."""
    one = lazy.select(cell.alias("cell"))
    share = pl.col("cell").hash(seed=0) % parts
    return sum(
        int(one.filter(share == part).select(pl.col("cell").n_unique()).collect(engine="streaming").item())
        for part in range(parts)
    )


def _by_slice(lazy: pl.LazyFrame, by: str, asked: Sequence[Requirement], batch: Batch) -> list[Verdict]:
    batch.present((by,))
    accepted = replace(batch, quarantined={}, newest=None)
    checks = [_METRICS[requirement.metric](requirement, accepted) for requirement in asked]
    expressions: dict[str, pl.Expr] = {"rows": pl.len()}
    for check in checks:
        expressions |= check.expressions
        expressions |= {name: cell.n_unique() for name, cell in check.distinct.items()}
    slices = _prepared(lazy, checks).group_by(pl.col(by).cast(pl.String).alias("_slice"))
    answers = slices.agg(**expressions).collect(engine="streaming")
    if answers.height > _MOST_SLICES:
        raise DataError(
            f"dataset {batch.spec.name!r}: {by!r} has {answers.height:,} values, which are too many slices",
            hint=f"a requirement by slice takes at most {_MOST_SLICES:,}",
        )
    rows = answers.rows(named=True)
    verdicts = []
    for requirement, check in zip(asked, checks, strict=True):
        estimates = {"null" if row["_slice"] is None else row["_slice"]: check.figure(row) for row in rows}
        judged = requirement
        if requirement.metric in _COUNTED_WHOLE:
            judged = msgspec.structs.replace(requirement, min_rows=1)
        verdicts.append(judge_slices(judged, estimates, place="data"))
    return verdicts


def _prepared(lazy: pl.LazyFrame, checks: Sequence[Check]) -> pl.LazyFrame:
    """The rows with what the checks need beside them."""
    joins = {name: joined for check in checks for name, joined in check.joins.items()}
    for joined in joins.values():
        lazy = lazy.join(joined.rows, on=joined.key, how="left")
    flags = {name: flag for check in checks for name, flag in check.flags.items()}
    return lazy.with_columns(**flags)


def _verdict(requirement: Requirement, estimate: Estimate) -> Verdict:
    """The verdict, with what was found worst beside the figure and the limit."""
    verdict = judge(requirement, estimate, place="data")
    if verdict.reason == estimate.reason or not estimate.reason:
        return verdict
    return msgspec.structs.replace(verdict, reason=f"{verdict.reason}; {estimate.reason}")


_METRICS: Mapping[str, Callable[[Requirement, Batch], Check]] = {
    "data.completeness": counted.completeness,
    "data.validity": counted.validity,
    "data.uniqueness": counted.uniqueness,
    "data.consistency": counted.consistency,
    "data.plausibility": counted.plausibility,
    "data.freshness": counted.freshness,
    "data.rows": counted.rows,
    "data.accuracy": compared.accuracy,
    "data.referential": compared.referential,
    "data.timeliness": spread.timeliness,
    "data.mean": spread.mean,
    "data.deviation": spread.deviation,
    "data.quantile": spread.quantile,
    "data.minimum": spread.minimum,
    "data.maximum": spread.maximum,
    "data.distinct": spread.distinct,
    "data.balance": spread.balance,
    "data.duplicates": copies.duplicates,
    "data.corrupt": copies.corrupt,
    "data.personal_patterns": people.personal_patterns,
    "data.forbidden_columns": people.forbidden_columns,
    "data.coverage": people.coverage,
    "data.label_gap": people.label_gap,
    "data.representation": people.representation,
}
