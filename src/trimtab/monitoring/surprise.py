"""Concept drift seen as a broken promise: the truth differs from what the model's own probabilities said.

Two promises of a probability p are looked at, both true on average for a calibrated model whatever rows it is asked
about, so that a hard month is no drift and a change of the concept is:

- the *gap*, truth less probability, is zero (calibration in the large, Cox 1958);
- the *surprise*, the log loss less the entropy -p ln p - (1-p) ln(1-p) that it promises, is zero (Spiegelhalter's 1986
  test of calibration by the expected score, with the logarithmic score in place of Brier's).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.intervals import t_quantile
from trimtab.records.base import Record

_DAY = 86_400_000_000
_LEAST = 1e-7


class Surprise(Record, kw_only=True):
    """Whether the model's promises are broken over the last `days` days with truth, since `since`.

    `gap` is the mean gap of a day with its 95% interval `low`..`high`; `surprise` the mean surprise of a day in nats a
    row, and `t` that mean in standard errors over days.
    """

    detected: bool
    since: datetime | None
    gap: float
    low: float
    high: float
    surprise: float
    t: float
    rows: int
    reason: str


def promises(y: NDArray[Any], score: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(gap, surprise) of each row. `y` [n] is 0/1 with `score` [n], or a class index with `score` [n, K]; the gap of
    several classes is that of the likeliest one."""
    p = np.clip(np.asarray(score, dtype=np.float64), _LEAST, 1 - _LEAST)
    truth = np.asarray(y, dtype=np.int64)
    if p.ndim == 1:
        gap = truth - p
        p = np.stack([1 - p, p], axis=1)
    else:
        gap = (p.argmax(axis=1) == truth) - p.max(axis=1)
    loss = -np.log(p[np.arange(len(p)), truth])
    return gap.astype(np.float64), np.asarray(loss + (p * np.log(p)).sum(axis=1))


def surprise(
    gaps: NDArray[np.float64],
    surprises: NDArray[np.float64],
    moments: NDArray[np.int64],
    *,
    days: int = 14,
    material: float = 0.01,
    limit: float = 3.0,
) -> Surprise:
    """Judge the last `days` days that have truth; fewer say nothing.

    `gaps` and `surprises` [n] are those of each row, `moments` [n] microseconds since 1970 in order. Rows of one day
    share their weather, so the day is the unit and Student's t gives the intervals. Detected when the 95% interval of
    the gap lies wholly more than `material` from zero, on either side, or when the truth is more than `limit` standard
    errors more surprising than promised; less surprising is no harm.
    """
    numbers = moments // _DAY
    found, starts = np.unique(numbers, return_index=True)
    if len(found) < days:
        return _nothing(len(moments), f"{len(found)} of {days} days with truth so far")
    begin = int(starts[-days])
    gap, gap_error = _by_day(gaps[begin:], starts[-days:] - begin)
    worse, worse_error = _by_day(surprises[begin:], starts[-days:] - begin)
    half = t_quantile(0.975, days - 1) * gap_error
    t = worse / worse_error if worse_error > 0 else 0.0
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(found[-days]))
    drifted, surprised = abs(gap) - half > material, t > limit
    said = [
        f"the truth is {abs(gap):.3f} {'above' if gap > 0 else 'below'} the probabilities "
        f"({gap - half:+.3f}..{gap + half:+.3f})"
    ] * drifted + [f"the loss is {worse:.3f} nats above what they promise ({t:.1f} standard errors)"] * surprised
    return Surprise(
        detected=drifted or surprised,
        since=since,
        gap=gap,
        low=gap - half,
        high=gap + half,
        surprise=worse,
        t=t,
        rows=len(moments) - begin,
        reason=f"since {since:%Y-%m-%d} {' and '.join(said)}" if said else "the probabilities keep their promise",
    )


def _by_day(values: NDArray[np.float64], starts: NDArray[np.intp]) -> tuple[float, float]:
    """Mean of the daily means, and its standard error."""
    daily = np.add.reduceat(values, starts) / np.diff(np.append(starts, len(values)))
    return float(daily.mean()), float(daily.std(ddof=1) / np.sqrt(len(daily)))


def _nothing(rows: int, reason: str) -> Surprise:
    return Surprise(
        detected=False, since=None, gap=0.0, low=0.0, high=0.0, surprise=0.0, t=0.0, rows=rows, reason=reason
    )
