"""Rules and requirements that a sample suggests, with room enough that the next rows of the same kind hold them.

Every limit is one that the next batch misses with a small chance only, worked out from the sample's size and the size
of the batch; the chance of any false alarm is shared out among them (Bonferroni). What the sample itself does not meet
is not suggested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor, log10, sqrt

import msgspec
import numpy as np
import polars as pl

from trimtab.data.quality.check import Others
from trimtab.data.quality.forms import allowed_rule, form_rule, range_rule
from trimtab.data.quality.measure import alone, measure
from trimtab.data.quality.profile import ColumnProfile, Profile, profile
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.measures.arrays import Floats, Ints
from trimtab.measures.intervals import normal_quantile
from trimtab.measures.predictive import most_failures, most_outside
from trimtab.records.base import Record
from trimtab.records.requirement import Requirement

_RISK = 0.01
_FEWEST = 100
_SURE = normal_quantile(0.975)
_DAY = 86_400.0
_UNITS = (("d", 86_400.0), ("h", 3600.0), ("min", 60.0))
_FEW_DAYS = 8
_CLASSES = 20
_LONG_TAIL = 12.0
_TIMES = 6


class Suggested(Record, kw_only=True):
    """What could be declared: rules, comparisons and requirements. `left_out` are columns that nothing is said of."""

    valid: tuple[ColumnRule, ...]
    consistent: tuple[str, ...]
    requirements: tuple[Requirement, ...]
    left_out: tuple[str, ...]


@dataclass
class _Sample:
    frame: pl.DataFrame
    spec: DatasetSpec
    told: Profile
    coming: int
    checks: int = 1
    days: Ints | None = None

    @property
    def risk(self) -> float:
        """The chance of a false alarm that each check may have."""
        return _RISK / max(1, self.checks)


def suggest(
    frame: pl.DataFrame,
    spec: DatasetSpec,
    *,
    now: datetime,
    coming: int | None = None,
    have: Sequence[Requirement] = (),
    hidden: Sequence[str] = (),
    others: Others = alone,
) -> Suggested:
    """What `frame`, accepted rows of the dataset, suggests beyond what is declared and required (`have`) already.

    `coming` is how many rows will be judged at a time (None: as many as these). Of `hidden` columns nothing is said,
    and nothing is suggested from fewer than 100 rows.
    """
    told = profile(frame.drop(hidden, strict=False), spec.name)
    if told.rows < _FEWEST:
        return Suggested(valid=(), consistent=(), requirements=(), left_out=tuple(c.name for c in told.columns))
    sample = _Sample(frame, spec, told, max(_FEWEST, coming or told.rows))
    sample.days = _days(sample)
    rules, blocks, left_out = _rules(sample)
    lines = _order_of_times(sample)
    numbers = [column for column in told.columns if _averaged(column, sample)]
    sample.checks = 4 + len(told.columns) + 2 * len(numbers)
    wanted = [
        *_completeness(sample),
        *_validity(sample, rules, blocks),
        *_consistency(sample, lines),
        *_uniqueness(sample),
        *_timeliness(sample),
        *_freshness(sample),
        *_balance(sample),
        *(line for column in numbers for line in _mean(column, sample)),
    ]
    known = {(one.metric, one.columns, one.comparison[0]) for one in have}
    news = [one for one in wanted if (one.metric, one.columns, one.comparison[0]) not in known]
    new_lines = tuple(line for line in lines if line not in spec.consistent)
    richer = msgspec.structs.replace(spec, valid=(*spec.valid, *rules), consistent=(*spec.consistent, *new_lines))
    verdicts = measure(frame, richer, news, now=now, quarantined={}, others=others)
    met = tuple(one for one, verdict in zip(news, verdicts, strict=True) if verdict.status == "met")
    return Suggested(valid=tuple(rules), consistent=new_lines, requirements=met, left_out=tuple(left_out))


def _rules(sample: _Sample) -> tuple[list[ColumnRule], int, list[str]]:
    """Rules for columns that have none, how many blocks of values they cut off, and the columns without."""
    ruled = {rule.column for rule in sample.spec.valid}
    aside = {sample.spec.time, sample.spec.label, sample.spec.recorded}
    found, blocks, left_out = list[ColumnRule](), 0, list[str]()
    for column in sample.told.columns:
        if column.name in ruled or column.name in aside or column.kind in ("time", "boolean"):
            continue
        cells = sample.frame.get_column(column.name).drop_nulls()
        rule, cut = None, 0
        if column.kind == "number" and not _counts_up(column, sample):
            rule, cut = range_rule(column), 2
        elif column.kind == "text":
            rule, cut = allowed_rule(column, cells), 1
            if rule is None:
                rule = form_rule(column, cells)
        if rule is None:
            left_out.append(column.name)
        else:
            found.append(rule)
            blocks += cut
    return found, blocks, left_out


def _counts_up(column: ColumnProfile, sample: _Sample) -> bool:
    """Whether a number is a name: different in each row, or part of the key."""
    return column.name in sample.spec.key or (column.distinct == column.present and "Int" in column.type)


def _completeness(sample: _Sample) -> list[Requirement]:
    """One line for all columns without a gap, one for each that has some."""
    whole = tuple(c.name for c in sample.told.columns if not c.nulls and c.name != sample.spec.label)
    found = []
    if whole:
        most = most_failures(0, sample.told.rows, sample.coming, sample.risk)
        found.append(_least("data.completeness", most, sample, whole))
    for column in sample.told.columns:
        if 0 < column.nulls < column.rows and column.name != sample.spec.label:
            worth = _effective(sample, sample.frame.get_column(column.name).is_null().to_numpy().astype(np.float64))
            coming = max(1, round(sample.coming * worth))
            most = most_failures(column.nulls * worth, column.rows * worth, coming, sample.risk)
            found.append(_least("data.completeness", ceil(most / coming * sample.coming), sample, (column.name,)))
    return [line for line in found if line is not None]


def _validity(sample: _Sample, rules: Sequence[ColumnRule], blocks: int) -> list[Requirement]:
    if not rules and not sample.spec.valid:
        return []
    fewest = min((sample.told.column(rule.column).present for rule in rules), default=sample.told.rows)
    most = most_outside(blocks + len(sample.spec.valid), fewest, sample.coming, sample.risk)
    line = _least("data.validity", most, sample)
    return [line] if line is not None else []


def _consistency(sample: _Sample, lines: Sequence[str]) -> list[Requirement]:
    count = len(set(lines) | set(sample.spec.consistent))
    line = _least("data.consistency", most_outside(count, sample.told.rows, sample.coming, sample.risk), sample)
    return [line] if count and line is not None else []


def _uniqueness(sample: _Sample) -> list[Requirement]:
    key = list(sample.spec.key)
    repeated = sample.told.rows - sample.frame.select(pl.struct(key).n_unique()).item()
    line = _least("data.uniqueness", most_failures(repeated, sample.told.rows, sample.coming, sample.risk), sample)
    return [line] if line is not None else []


def _order_of_times(sample: _Sample) -> list[str]:
    """Pairs of columns of times of which one never lies before the other."""
    names = [c.name for c in sample.told.columns if c.kind == "time" and c.present][:_TIMES]
    found = []
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            told = sample.frame.select(
                up=(pl.col(one) <= pl.col(other)).all(), down=(pl.col(one) >= pl.col(other)).all(),
                same=(pl.col(one) == pl.col(other)).all(), both=(pl.col(one) <= pl.col(other)).count(),
            ).row(0, named=True)  # fmt: skip
            if told["both"] >= _FEWEST and not told["same"] and (told["up"] or told["down"]):
                found.append(f"{one} {'<=' if told['up'] else '>='} {other}")
    return found


def _timeliness(sample: _Sample) -> list[Requirement]:
    spec = sample.spec
    if spec.recorded is None or spec.recorded not in sample.frame.columns:
        return []
    late = sample.frame.select((pl.col(spec.recorded) - pl.col(spec.time)).dt.total_microseconds()).to_series()
    late = late.drop_nulls().clip(lower_bound=0).sort() / 1e6
    if len(late) < _FEWEST:
        return []
    p = 0.95
    spread = sqrt(p * (1 - p))
    reach = normal_quantile(1 - sample.risk) * sqrt(1 / len(late) + 1 / sample.coming) + _SURE / sqrt(sample.coming)
    at = p + spread * reach + 2 / min(len(late), sample.coming)
    value = float(late[min(len(late) - 1, ceil(at * len(late)))]) * (1.0 if at < 1 else 1.5)
    return [_at_most("data.timeliness", value)]


def _freshness(sample: _Sample) -> list[Requirement]:
    """Three times the longest time without a row; what is older than that already is no suggestion."""
    found = sample.told.column(sample.spec.time)
    if found.gap is None or found.gap <= 0:
        return []
    return [_at_most("data.freshness", 3 * found.gap)]


def _balance(sample: _Sample) -> list[Requirement]:
    label = sample.spec.label
    if label is None or label not in {column.name for column in sample.told.columns}:
        return []
    column = sample.told.column(label)
    if not 2 <= column.distinct <= _CLASSES or "Float" in column.type or column.present < _FEWEST:
        return []
    cells = sample.frame.get_column(label).drop_nulls()
    share = float(cells.value_counts(name="count").get_column("count").min()) / len(cells)  # type: ignore[arg-type]
    rare = (cells == _rarest(cells)).to_numpy().astype(np.float64)
    worth = _effective(sample, rare, cells=sample.frame.get_column(label).is_not_null())
    spread = sqrt(share * (1 - share))
    sure = normal_quantile(1 - 0.025 / column.distinct)
    seen, coming = len(cells) * worth, sample.coming * worth
    reach = normal_quantile(1 - sample.risk) * sqrt(1 / seen + 1 / coming) + sure / sqrt(sample.coming)
    limit = floor((share - spread * reach) * 1000) / 1000
    return [Requirement(metric="data.balance", comparison=">=", limit=limit)] if limit > 0 else []


def _rarest(cells: pl.Series) -> object:
    return cells.value_counts(name="count").sort("count")[cells.name][0]


def _averaged(column: ColumnProfile, sample: _Sample) -> bool:
    """Whether the mean of a column says something: a number, not a name, without a few values far from all others."""
    if column.kind != "number" or _counts_up(column, sample) or not column.deviation or column.mean is None:
        return False
    if column.name == sample.spec.label or column.present < _FEWEST:
        return False
    far = max(abs(column.high - column.mean), abs(column.low - column.mean))
    return bool(far < _LONG_TAIL * column.deviation)


def _mean(column: ColumnProfile, sample: _Sample) -> list[Requirement]:
    """A mean no lower and no higher than chance, and the change from day to day, would have it."""
    assert column.mean is not None
    assert column.deviation is not None
    cells = sample.frame.get_column(column.name)
    there = cells.is_not_null()
    worth = _effective(sample, cells.drop_nulls().cast(pl.Float64).to_numpy(), cells=there)
    seen = column.present * worth
    coming = sample.coming * column.present / column.rows * worth
    apart = normal_quantile(1 - sample.risk) * column.deviation * sqrt(1 / seen + 1 / coming)
    apart += _SURE * column.deviation / sqrt(coming / worth)
    step = 10.0 ** (floor(log10(apart)) - 1)
    low, high = floor((column.mean - apart) / step) * step, ceil((column.mean + apart) / step) * step
    digits = max(0, 1 - floor(log10(apart)))
    return [
        Requirement(metric="data.mean", comparison=sign, limit=round(limit, digits), columns=(column.name,))  # type: ignore[arg-type]
        for sign, limit in ((">=", low), ("<=", high))
    ]


def _days(sample: _Sample) -> Ints | None:
    """The day of each row, where there are enough of them to see how they differ."""
    if sample.spec.time not in sample.frame.columns or sample.told.column(sample.spec.time).nulls:
        return None
    days = sample.frame.get_column(sample.spec.time).dt.timestamp("us").to_numpy() // int(_DAY * 1e6)
    _, index = np.unique(days, return_inverse=True)
    return index if index.max() + 1 >= _FEW_DAYS else None


def _effective(sample: _Sample, values: Floats, *, cells: pl.Series | None = None) -> float:
    """How many independent rows one row is worth, 0 to 1: rows of one day move together (Kish 1965, design effect)."""
    if sample.days is None or values.size < 2:
        return 1.0
    index = sample.days if cells is None else sample.days[cells.to_numpy()]
    count = np.bincount(index)
    sums = np.bincount(index, weights=values - values.mean())
    kept = count > 0
    blocks = int(kept.sum())
    alone_ = float(np.sum((values - values.mean()) ** 2))
    if alone_ <= 0 or blocks < _FEW_DAYS:
        return 1.0
    together = float(np.sum(sums[kept] ** 2)) * blocks / (blocks - 1)
    return min(1.0, max(1.0 / values.size * blocks, alone_ / together)) if together > 1.5 * alone_ else 1.0


def _least(metric: str, failures: int, sample: _Sample, columns: tuple[str, ...] = ()) -> Requirement | None:
    """At most so many of the coming rows fail, as a share with four digits; None where that says nothing."""
    limit = floor((1 - failures / sample.coming) * 1e4) / 1e4
    return Requirement(metric=metric, comparison=">=", limit=limit, columns=columns) if limit > 0 else None


def _at_most(metric: str, seconds: float) -> Requirement:
    """A limit on a time, rounded up to a whole unit: no less than said, and easy to read."""
    unit, scale = next(((unit, scale) for unit, scale in _UNITS if seconds > 3 * scale), ("s", 1.0))
    limit = max(1, ceil(seconds / scale)) * scale
    return Requirement(metric=metric, comparison="<=", limit=limit, unit=unit, scale=scale)
