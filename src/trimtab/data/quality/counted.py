"""Figures that are counted over all rows: what is missing, invalid, repeated, at odds with itself, or old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from trimtab.data.quality.check import Answer, Batch, Check, nothing
from trimtab.data.quality.rules import (
    DUPLICATE,
    INCONSISTENT,
    Rule,
    consistency_rules,
    plausibility_rules,
    validity_rules,
)
from trimtab.data.values.moments import known_until
from trimtab.records.requirement import Estimate, Requirement


def completeness(requirement: Requirement, batch: Batch) -> Check:
    """Share of the cells of the columns (none named: all) that are not null."""
    columns = requirement.columns or batch.columns
    batch.present(columns)

    def figure(row: Answer) -> Estimate:
        rows = row["rows"]
        if not rows or not columns:
            return nothing()
        worst = max(columns, key=lambda name: row[f"nulls {name}"])
        nulls = row[f"nulls {worst}"]
        reason = f"{worst}: {nulls:,} of {rows:,} cells are null" if nulls else ""
        empty = sum(row[f"nulls {name}"] for name in columns)
        return Estimate(figure=1 - empty / (rows * len(columns)), rows=rows, reason=reason)

    return Check({f"nulls {name}": pl.col(name).null_count() for name in columns}, figure)


def validity(requirement: Requirement, batch: Batch) -> Check:
    """1 - share of rows that break a rule of `valid` or were refused; with `columns`, rules on those only."""
    batch.present(requirement.columns)
    rules = validity_rules(batch.spec, batch.schema)
    if requirement.columns:
        rules = [rule for rule in rules if rule.column in requirement.columns]
    prefix = f"invalid {','.join(requirement.columns)}"
    return _share_of_rules(rules, prefix, batch, batch.refused, "were refused")


def consistency(requirement: Requirement, batch: Batch) -> Check:  # noqa: ARG001 - one shape for every metric
    """1 - share of rows that break a line of `consistent`, or were refused for one."""
    rules = consistency_rules(batch.spec, batch.schema)
    refused = batch.refused_for(INCONSISTENT)
    return _share_of_rules(rules, "inconsistent", batch, refused, "were refused as inconsistent")


def plausibility(requirement: Requirement, batch: Batch) -> Check:  # noqa: ARG001 - one shape for every metric
    """1 - share of rows that break a line of `plausible`. An implausible row is wrong; a plausible one may be."""
    accepted = replace(batch, quarantined={})
    return _share_of_rules(plausibility_rules(batch.spec, batch.schema), "implausible", accepted, 0, "")


def _share_of_rules(rules: Sequence[Rule], prefix: str, batch: Batch, refused: int, told: str) -> Check:
    """1 - share of rows that break any rule. Rules are counted one by one; rows that break several are counted once
    only where there is more than one rule."""
    flags = {f"{prefix} {index}": rule.broken for index, rule in enumerate(rules)}
    expressions = {name: pl.col(name).sum() for name in flags}
    if len(rules) > 1:
        expressions[f"{prefix} any"] = pl.any_horizontal(list(flags)).sum()

    def figure(row: Answer) -> Estimate:
        rows = row["rows"] + batch.refused
        if not rows:
            return nothing()
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

    return Check(expressions, figure, flags)


def uniqueness(requirement: Requirement, batch: Batch) -> Check:  # noqa: ARG001 - one shape for every metric
    """1 - share of rows whose key came before, or that were refused for that."""
    key = batch.spec.key
    batch.present(key)

    def figure(row: Answer) -> Estimate:
        refused = batch.refused_for(DUPLICATE)
        rows = row["rows"] + batch.refused
        if not rows:
            return nothing()
        repeated = row["rows"] - row["distinct keys"] + refused
        reason = f"{repeated:,} of {rows:,} rows have a key that came before ({', '.join(key)})" if repeated else ""
        return Estimate(figure=1 - repeated / rows, rows=rows, reason=reason)

    return Check({}, figure, distinct={"distinct keys": pl.col(key[0]) if len(key) == 1 else pl.struct(key)})


def freshness(requirement: Requirement, batch: Batch) -> Check:  # noqa: ARG001 - one shape for every metric
    """Seconds from the newest row to the newest `time` that could be known at `now`, never below zero."""
    spec = batch.spec
    batch.present((spec.time,))

    def figure(row: Answer) -> Estimate:
        newest = row["newest"] or batch.newest
        if newest is None:
            return nothing()
        could_be = min(batch.now, known_until(batch.now, spec))
        age = max(0.0, (could_be - newest).total_seconds())
        return Estimate(figure=age, rows=row["rows"], reason=f"the newest {spec.time} is {newest:%Y-%m-%d %H:%M} UTC")

    return Check({"newest": pl.col(spec.time).max()}, figure)


def rows(requirement: Requirement, batch: Batch) -> Check:  # noqa: ARG001 - one shape for every metric
    """Accepted rows."""
    return Check({}, lambda row: Estimate(figure=float(row["rows"]), rows=row["rows"]))


def _most(counts: Mapping[str, int]) -> str:
    return max(sorted(counts), key=lambda reason: counts[reason]) if counts else ""
