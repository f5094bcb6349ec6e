"""Whether one policy was worth more than another, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.intervals import normal_quantile, t_quantile
from trimtab.records.requirement import Estimate

_WEEK = 7


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
