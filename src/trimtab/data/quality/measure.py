"""Quality requirements on data, all measured in one streaming pass over the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from trimtab.data.port import DataError
from trimtab.data.quality.rules import DUPLICATE, INCONSISTENT, Rule, consistency_rules, validity_rules
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.moments import known_until
from trimtab.measures.judge import judge
from trimtab.records.requirement import Estimate, Requirement, Verdict

_Row = dict[str, Any]
_STORE_COLUMNS = "_"


@dataclass(frozen=True)
class _Check:
    """What one requirement adds to the query, and how its figure is told from the answer. `flags` are columns of truth
    values, worked out once a row, that `expressions` sum up."""

    expressions: dict[str, pl.Expr]
    figure: Callable[[_Row], Estimate]
    flags: dict[str, pl.Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class _Batch:
    spec: DatasetSpec
    schema: Mapping[str, pl.DataType]
    now: datetime
    quarantined: Mapping[str, int]
    newest: datetime | None = None

    @property
    def refused(self) -> int:
        return sum(self.quarantined.values())

    def refused_for(self, kind: str) -> int:
        return sum(count for reason, count in self.quarantined.items() if reason.split(":", 1)[0] == kind)


def measure(
    frame: pl.DataFrame | pl.LazyFrame,
    spec: DatasetSpec,
    requirements: Sequence[Requirement],
    *,
    now: datetime,
    quarantined: Mapping[str, int],
    newest: datetime | None = None,
) -> list[Verdict]:
    """A verdict for each `data.` requirement, in their order; others are passed over.

    `frame` holds the accepted rows that are judged (columns that begin with `_` are not data), `quarantined` how many
    were refused beside them, by reason. A refused row counts: it is not valid; one refused as a duplicate is not
    unique; one refused as inconsistent is not consistent. Figures:

    - completeness: share of the cells of the columns (none named: all) that are not null;
    - validity: 1 - share of rows that break a rule of `valid` or were refused; with `columns`, rules on those only;
    - uniqueness: 1 - share of rows whose key came before;
    - consistency: 1 - share of rows that break a line of `consistent`;
    - freshness: seconds from the newest row to the newest `time` that could be known at `now`, never below zero;
    - rows: accepted rows.

    Without a row, shares and freshness are unknown; but where `frame` is only the latest rows, `newest` is the time of
    the newest there ever was, so that data that stopped coming are stale, not unknown. Raises DataError for a column
    that is not there.
    """
    wanted = [requirement for requirement in requirements if requirement.metric.startswith("data.")]
    lazy = frame.lazy()
    batch = _Batch(spec, lazy.collect_schema(), now, quarantined, newest)
    checks = [_METRICS[requirement.metric](requirement, batch) for requirement in wanted]
    expressions: dict[str, pl.Expr] = {"rows": pl.len()}
    flags: dict[str, pl.Expr] = {}
    for check in checks:
        expressions |= check.expressions
        flags |= check.flags
    answer = lazy.with_columns(**flags).select(**expressions).collect(engine="streaming").row(0, named=True)
    return [_verdict(requirement, check.figure(answer)) for requirement, check in zip(wanted, checks, strict=True)]


def _verdict(requirement: Requirement, estimate: Estimate) -> Verdict:
    """The verdict, with what was found worst beside the figure and the limit."""
    verdict = judge(requirement, estimate, place="data")
    if verdict.reason == estimate.reason or not estimate.reason:
        return verdict
    return msgspec.structs.replace(verdict, reason=f"{verdict.reason}; {estimate.reason}")


def _completeness(requirement: Requirement, batch: _Batch) -> _Check:
    columns = requirement.columns or tuple(name for name in batch.schema if not name.startswith(_STORE_COLUMNS))
    _present(columns, batch)

    def figure(row: _Row) -> Estimate:
        rows = row["rows"]
        if not rows or not columns:
            return _nothing()
        worst = max(columns, key=lambda name: row[f"nulls {name}"])
        nulls = row[f"nulls {worst}"]
        reason = f"{worst}: {nulls:,} of {rows:,} cells are null" if nulls else ""
        empty = sum(row[f"nulls {name}"] for name in columns)
        return Estimate(figure=1 - empty / (rows * len(columns)), rows=rows, reason=reason)

    return _Check({f"nulls {name}": pl.col(name).null_count() for name in columns}, figure)


def _validity(requirement: Requirement, batch: _Batch) -> _Check:
    _present(requirement.columns, batch)
    rules = validity_rules(batch.spec, batch.schema)
    if requirement.columns:
        rules = [rule for rule in rules if rule.column in requirement.columns]
    prefix = f"invalid {','.join(requirement.columns)}"
    return _share_of_rules(rules, prefix, batch, batch.refused, "were refused")


def _consistency(requirement: Requirement, batch: _Batch) -> _Check:  # noqa: ARG001 - one shape for every metric
    rules = consistency_rules(batch.spec, batch.schema)
    refused = batch.refused_for(INCONSISTENT)
    return _share_of_rules(rules, "inconsistent", batch, refused, "were refused as inconsistent")


def _share_of_rules(rules: Sequence[Rule], prefix: str, batch: _Batch, refused: int, told: str) -> _Check:
    """1 - share of rows that break any rule. Rules are counted one by one; rows that break several are counted once
    only where there is more than one rule."""
    flags = {f"{prefix} {index}": rule.broken for index, rule in enumerate(rules)}
    expressions = {name: pl.col(name).sum() for name in flags}
    if len(rules) > 1:
        expressions[f"{prefix} any"] = pl.any_horizontal(list(flags)).sum()

    def figure(row: _Row) -> Estimate:
        rows = row["rows"] + batch.refused
        if not rows:
            return _nothing()
        counts = {rule.reason: int(row[f"{prefix} {index}"] or 0) for index, rule in enumerate(rules)}
        accepted = int(row[f"{prefix} any"] or 0) if len(rules) > 1 else sum(counts.values())
        reasons = []
        if accepted:
            worst = max(counts, key=lambda reason: counts[reason])
            reasons.append(f"{counts[worst]:,} rows: {worst}")
        if refused:
            most = _most(batch.quarantined)
            reasons.append(f"{refused:,} rows {told}" + (f", most of them: {most}" if most else ""))
        return Estimate(figure=1 - (accepted + refused) / rows, rows=rows, reason="; ".join(reasons))

    return _Check(expressions, figure, flags)


def _uniqueness(requirement: Requirement, batch: _Batch) -> _Check:  # noqa: ARG001 - one shape for every metric
    key = batch.spec.key
    _present(key, batch)
    distinct = pl.col(key[0]).n_unique() if len(key) == 1 else pl.struct(key).n_unique()

    def figure(row: _Row) -> Estimate:
        refused = batch.refused_for(DUPLICATE)
        rows = row["rows"] + batch.refused
        if not rows:
            return _nothing()
        repeated = row["rows"] - row["distinct keys"] + refused
        reason = f"{repeated:,} of {rows:,} rows have a key that came before ({', '.join(key)})" if repeated else ""
        return Estimate(figure=1 - repeated / rows, rows=rows, reason=reason)

    return _Check({"distinct keys": distinct}, figure)


def _freshness(requirement: Requirement, batch: _Batch) -> _Check:  # noqa: ARG001 - one shape for every metric
    spec = batch.spec
    _present((spec.time,), batch)

    def figure(row: _Row) -> Estimate:
        newest = row["newest"] or batch.newest
        if newest is None:
            return _nothing()
        could_be = min(batch.now, known_until(batch.now, spec))
        age = max(0.0, (could_be - newest).total_seconds())
        return Estimate(figure=age, rows=row["rows"], reason=f"the newest {spec.time} is {newest:%Y-%m-%d %H:%M} UTC")

    return _Check({"newest": pl.col(spec.time).max()}, figure)


def _rows(requirement: Requirement, batch: _Batch) -> _Check:  # noqa: ARG001 - one shape for every metric
    return _Check({}, lambda row: Estimate(figure=float(row["rows"]), rows=row["rows"]))


_METRICS: Mapping[str, Callable[[Requirement, _Batch], _Check]] = {
    "data.completeness": _completeness,
    "data.validity": _validity,
    "data.uniqueness": _uniqueness,
    "data.consistency": _consistency,
    "data.freshness": _freshness,
    "data.rows": _rows,
}


def _nothing() -> Estimate:
    return Estimate(figure=None, reason="there is no row")


def _most(counts: Mapping[str, int]) -> str:
    return max(sorted(counts), key=lambda reason: counts[reason]) if counts else ""


def _present(columns: Sequence[str], batch: _Batch) -> None:
    for name in columns:
        if name not in batch.schema:
            raise DataError(
                f"dataset {batch.spec.name!r} has no column {name!r}, which a requirement names",
                hint=f"its columns are {', '.join(batch.schema)}",
            )
