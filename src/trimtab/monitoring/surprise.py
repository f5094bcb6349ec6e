"""Concept drift seen as surprise: the truth differs from what the model's own probabilities promised.

A model that gives probability p promises a log loss of its entropy, -p ln p - (1-p) ln(1-p), on average. The surprise of a
row is its log loss less that promise: zero on average for a calibrated model, whatever rows it is asked about. So a
hard month is no surprise, and a change of the concept is. (This is Spiegelhalter's 1986 idea of testing calibration by
the expected score, with the logarithmic score in place of Brier's.)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.records.base import Record

_DAY = 86_400_000_000
_LEAST = 1e-7


class Surprise(Record, kw_only=True):
    """Whether the truth surprises: `mean` is the surprise of a day on average over `days` days since `since`, in nats a
    row, and `t` that mean in standard errors over days."""

    detected: bool
    since: datetime | None
    mean: float
    t: float
    days: int
    rows: int
    reason: str


def surprises(y: NDArray[Any], score: NDArray[Any]) -> NDArray[np.float64]:
    """The surprise of each row, in nats. `y` [n] is 0/1 with `score` [n], or a class index with `score` [n, K]."""
    p = np.clip(np.asarray(score, dtype=np.float64), _LEAST, 1 - _LEAST)
    if p.ndim == 1:
        p = np.stack([1 - p, p], axis=1)
    loss = -np.log(p[np.arange(len(p)), np.asarray(y, dtype=np.int64)])
    return np.asarray(loss + (p * np.log(p)).sum(axis=1))


def surprise(
    values: NDArray[np.float64], moments: NDArray[np.int64], *, days: int = 14, limit: float = 3.0
) -> Surprise:
    """Judge the last `days` days that have rows.

    `values` [n] are surprises, `moments` [n] microseconds since 1970 in order. Rows of one day share their weather, so
    the day is the unit: detected when the mean of the daily means lies more than `limit` standard errors from zero. Too
    many quiet days are as much a broken promise as too many loud ones, so both sides count. Fewer days say nothing.
    """
    numbers = moments // _DAY
    found, starts = np.unique(numbers, return_index=True)
    if len(found) < days:
        return _nothing(len(values), f"{len(found)} of {days} days with truth so far")
    begin = int(starts[-days])
    sums = np.add.reduceat(values[begin:], starts[-days:] - begin)
    counts = np.diff(np.append(starts[-days:], len(values)))
    daily = sums / counts
    mean, spread = float(daily.mean()), float(daily.std(ddof=1))
    t = mean / (spread / np.sqrt(days)) if spread > 0 else 0.0
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(found[-days]))
    side = "worse" if mean > 0 else "better"
    said = f"since {since:%Y-%m-%d} the loss is {abs(mean):.3f} nats {side} than the model's own probabilities promise"
    return Surprise(
        detected=abs(t) > limit,
        since=since,
        mean=mean,
        t=t,
        days=days,
        rows=len(values) - begin,
        reason=f"{said} ({t:+.1f} standard errors over {days} days)",
    )


def _nothing(rows: int, reason: str) -> Surprise:
    return Surprise(detected=False, since=None, mean=0.0, t=0.0, days=0, rows=rows, reason=reason)
