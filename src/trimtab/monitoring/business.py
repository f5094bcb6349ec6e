"""What the answers were worth, day by day, and whether one policy was worth more than another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats, block_index
from trimtab.measures.intervals import normal_quantile, t_quantile
from trimtab.measures.worth import value_of
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Estimate, Value

_DAY = 86_400_000_000
_WEEK = 7


class DayValue(Record, frozen=True, kw_only=True):
    """What one release's labelled answers of one day (UTC, ISO) were worth, in the declared currency."""

    day: str
    release: str
    predictions: int
    value: float


def daily_values(
    *,
    moments: NDArray[Any],
    releases: NDArray[Any],
    y: NDArray[Any],
    score: NDArray[Any],
    threshold: float,
    value: Value,
    task: Task,
) -> tuple[DayValue, ...]:
    """Worth of labelled answers by day and release, in that order.

    `moments` [n] in microseconds since 1970 (UTC), `releases` [n] names, `y` [n] and `score` as `value_of` takes them.
    """
    if len(moments) == 0:
        return ()
    worth = value_of(y, score, threshold, value, task)
    names, numbers = np.unique(np.asarray(releases).astype(str), return_inverse=True)
    days = np.asarray(moments, dtype=np.int64) // _DAY
    keys = days * names.size + numbers.reshape(-1)
    index, count = block_index(keys)
    first = np.zeros(count, dtype=np.int64)
    first[index] = keys
    sums, rows = np.bincount(index, weights=worth, minlength=count), np.bincount(index, minlength=count)
    return tuple(
        DayValue(
            day=(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(key // names.size))).date().isoformat(),
            release=str(names[key % names.size]),
            predictions=int(rows[place]),
            value=float(sums[place]),
        )
        for place, key in enumerate(first.tolist())
    )


def value_difference(
    daily_a: Sequence[tuple[str, int, float]],
    daily_b: Sequence[tuple[str, int, float]],
    resamples: int = 2000,
    seed: int = 0,
    *,
    block: int = _WEEK,
) -> Estimate:
    """Total value of policy a less that of policy b over the days (day, predictions, value) that both have.

    The interval is a circular block bootstrap of the daily differences in stretches of `block` days (Politis & Romano
    1992), so that days that follow each other may move together and weeks keep their shape; stretched for the number of
    blocks, b, by t(b-1)/z * sqrt(b/(b-1)) as for few clusters (Hesterberg 2015). `rows` is the number of days. Under
    four blocks there is no interval. Raises PermanentError where a day occurs twice.
    """
    a, b = _by_day(daily_a), _by_day(daily_b)
    days = sorted(a.keys() & b.keys())
    apart = len(a.keys() ^ b.keys())
    reason = f"{apart} days that only one of them has are left out" if apart else ""
    if not days:
        return Estimate(figure=None, reason="they have no day in common")
    differences = np.array([a[day] - b[day] for day in days])
    total = float(differences.sum())
    blocks = len(days) / block
    if blocks < 4:
        short = f"{len(days)} days are too few for an interval"
        return Estimate(figure=total, rows=len(days), reason="; ".join(filter(None, (short, reason))))
    sums = _resampled_sums(differences, block, resamples, seed)
    low, high = np.quantile(sums, [0.025, 0.975])
    stretch = t_quantile(0.975, blocks - 1) / normal_quantile(0.975) * sqrt(blocks / (blocks - 1))
    return Estimate(
        figure=total,
        low=total + stretch * min(0.0, float(low) - total),
        high=total + stretch * max(0.0, float(high) - total),
        rows=len(days),
        reason=reason,
    )


def _resampled_sums(values: Floats, block: int, resamples: int, seed: int) -> Floats:
    """Sums of as many days as there are, drawn in stretches on a circle; the last stretch is cut to fit [R]."""
    n = values.size
    around = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[:block]]))])
    whole, rest = divmod(n, block)
    starts = np.random.default_rng(seed).integers(0, n, size=(resamples, whole + 1))
    sums = (around[starts[:, :whole] + block] - around[starts[:, :whole]]).sum(axis=1)
    last = starts[:, whole]
    return np.asarray(sums + around[last + rest] - around[last])


def _by_day(daily: Sequence[tuple[str, int, float]]) -> dict[str, float]:
    found = {day: value for day, _, value in daily}
    if len(found) != len(daily):
        raise PermanentError("a day occurs twice in the daily values", hint="add up releases of a day first")
    return found
