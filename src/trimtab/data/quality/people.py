"""Figures of what rows tell of people: patterns where none may be, columns that must not be, and who is in them."""

from __future__ import annotations

from itertools import product

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.privacy.patterns import KINDS, forbidden, tells
from trimtab.data.privacy.sealing import sealed_columns
from trimtab.data.quality.check import Answer, Batch, Check, nothing
from trimtab.measures.intervals import normal_quantile, wilson
from trimtab.records.requirement import Estimate, Requirement

_SURE = normal_quantile(0.975)
_MOST_COMBINATIONS = 100_000
_NAMED = 3


def personal_patterns(requirement: Requirement, batch: Batch) -> Check:
    """Cells that hold an e-mail address, a phone number or another kind of `[privacy] scan` (none named: every kind),
    in the named columns, or in all of texts that are not declared personal."""
    batch.present(requirement.columns)
    sealed = sealed_columns(batch.spec)
    columns = requirement.columns or tuple(name for name in batch.columns if name not in sealed)
    texts = [name for name in columns if isinstance(batch.schema[name], (pl.String, pl.Categorical, pl.Enum))]
    kinds = batch.spec.privacy.scan or KINDS
    found = {f"{kind} in {name}": tells(pl.col(name).cast(pl.String), kind) for name in texts for kind in kinds}

    def figure(row: Answer) -> Estimate:
        counts = {name: int(row[name] or 0) for name in found}
        worst = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])[:_NAMED]
        reason = "; ".join(f"{counts[name]:,} cells with {name}" for name in worst)
        return Estimate(figure=float(sum(counts.values())), rows=row["rows"], reason=reason)

    return Check({name: pl.col(f"_{name}").sum() for name in found}, figure, {f"_{n}": e for n, e in found.items()})


def forbidden_columns(requirement: Requirement, batch: Batch) -> Check:  # noqa: ARG001 - one shape for every metric
    """Columns whose names `[privacy] forbid` forbids."""
    there = forbidden(batch.columns, batch.spec.privacy.forbid)
    reason = f"there is {', '.join(there)}" if there else ""
    return Check({}, lambda row: Estimate(figure=float(len(there)), rows=row["rows"], reason=reason))


def coverage(requirement: Requirement, batch: Batch) -> Check:
    """Share of the combinations of the columns' values, each value seen anywhere, that have `min_rows` rows or more."""
    columns = requirement.columns
    batch.present(columns)
    name = f"combinations {','.join(columns)}"
    least = max(1, requirement.min_rows)

    def figure(row: Answer) -> Estimate:
        counts = {tuple(item["value"].values()): int(item["count"]) for item in row[name]}
        values = [sorted({key[place] for key in counts}) for place in range(len(columns))]
        whole = 1
        for each in values:
            whole *= len(each)
        if not whole or whole > _MOST_COMBINATIONS:
            return nothing(f"{', '.join(columns)} make {whole:,} combinations" if whole else "there is no row")
        lacking = [key for key in product(*values) if counts.get(key, 0) < least]
        told = "; ".join(f"{', '.join(key)} has {counts.get(key, 0):,} rows" for key in lacking[:_NAMED])
        return Estimate(figure=1 - len(lacking) / whole, rows=row["rows"], reason=told)

    return Check({name: _combinations(columns)}, figure)


def label_gap(requirement: Requirement, batch: Batch) -> Check:
    """The greatest difference between the shares that a class has in two slices of the column, among slices of
    `min_rows` rows at least. The 95% interval is what the Wilson intervals of the two shares leave open."""
    (column,) = requirement.columns
    label = batch.spec.label
    if label is None:
        raise DataError(f"dataset {batch.spec.name!r} has no label, so {requirement.metric} says nothing of it")
    batch.present((column, label))
    name = f"labels by {column}"

    def figure(row: Answer) -> Estimate:
        counts: dict[str, dict[str, int]] = {}
        for item in row[name]:
            value, said = item["value"].values()
            counts.setdefault(value, {})[said] = int(item["count"])
        large = {value: of for value, of in counts.items() if sum(of.values()) >= max(1, requirement.min_rows)}
        if len(large) < 2:
            return nothing(f"fewer than two slices of {column} have {requirement.min_rows:,} rows")
        found = max(
            (_gap(large, said) for said in sorted({said for of in large.values() for said in of})),
            key=lambda each: each[0],
        )
        gap, low, high, told = found
        return Estimate(figure=gap, low=low, high=high, rows=row["rows"], reason=told)

    return Check({name: _combinations((column, label), skip=label)}, figure)


def representation(requirement: Requirement, batch: Batch) -> Check:
    """How far the shares of a column's values lie from those of `population`: half the sum of their differences (total
    variation), 0 where they are the same."""
    (column,) = requirement.columns
    batch.present((column,))
    wanted = batch.spec.population.get(column)
    if wanted is None:
        raise DataError(
            f"dataset {batch.spec.name!r} declares no population of {column!r} to compare with",
            hint=f"write population = {{ {column} = {{ ... }} }} in its [[data]] table",
        )
    name = f"shares {column}"

    def figure(row: Answer) -> Estimate:
        counts = {next(iter(item["value"].values())): int(item["count"]) for item in row[name]}
        rows = sum(counts.values())
        if not rows:
            return nothing()
        apart = {v: counts.get(v, 0) / rows - wanted.get(v, 0.0) for v in sorted({*counts, *wanted})}
        worst = max(apart, key=lambda value: abs(apart[value]))
        told = f"{worst} is {counts.get(worst, 0) / rows:.1%} of the rows and {wanted.get(worst, 0.0):.1%} of them all"
        return Estimate(figure=sum(map(abs, apart.values())) / 2, rows=rows, reason=told)

    return Check({name: _combinations((column,))}, figure)


def _gap(counts: dict[str, dict[str, int]], said: str) -> tuple[float, float, float, str]:
    """The gap of one class: figure, interval, and the two slices in words."""
    shares = {value: (of.get(said, 0), sum(of.values())) for value, of in counts.items()}
    most = max(shares, key=lambda value: shares[value][0] / shares[value][1])
    least = min(shares, key=lambda value: shares[value][0] / shares[value][1])
    (high, of_high), (low, of_low) = shares[most], shares[least]
    top, bottom = wilson(high / of_high, of_high, _SURE), wilson(low / of_low, of_low, _SURE)
    told = f"{said} is {high / of_high:.1%} of {most} and {low / of_low:.1%} of {least}"
    return high / of_high - low / of_low, max(0.0, top[0] - bottom[1]), top[1] - bottom[0], told


def _combinations(columns: tuple[str, ...], skip: str = "") -> pl.Expr:
    cells = [pl.col(name).cast(pl.String).fill_null("null").alias(f"_{place}") for place, name in enumerate(columns)]
    whole = pl.struct(cells)
    whole = whole.filter(pl.col(skip).is_not_null()) if skip else whole
    return whole.value_counts(name="count").struct.rename_fields(["value", "count"]).implode()
