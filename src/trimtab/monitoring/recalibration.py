"""How far the newest truth shifts the answers of a model that stays as it is: one number, added to their log odds.

Between two trainings the world moves: a storm lasts for days, a season has fewer late flights than the last. What is
known late is known all the same, and the share of yesterday's answers that came true says something about today's.

The shift is the intercept of a logistic regression whose other part is the model's own log odds (Cox 1958), found by
one step of Fisher scoring from no shift, with two measures against noise. Truth counts half as much for each
`half_life` of its age. And it is drawn towards zero by a normal prior that weighs as much as `PRIOR_DAYS` ordinary days
(Firth or ridge would do the same): rows of one day share their weather, so a day with a thousand rows is no thousand
pieces of evidence.

Whether it helps is judged as it goes: every earlier day is shifted by what was known before it, and compared with
itself unshifted by its log loss, days being the blocks. Where that is beyond chance worse, nothing is shifted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.comparison.paired import Paired, paired_difference
from trimtab.records.base import Record

PRIOR_DAYS = 4.0
REACH = 8
"""Half-lives after which truth is left out: it would count for less than 1/256."""
_DAY = 86_400_000_000
_DIGITS = 6  # what lies beyond is how telemetry rounds scores
_FEWEST_DAYS = 3


class Recalibration(Record, kw_only=True):
    """The shift that the newest truth asks for, in log odds; `reason` says how it came about, or why it is none.

    `gain` is by how much the log loss of a row is less for such shifts, over the days they were judged on, with its
    95% interval `low`..`high`; None where too few days were.
    """

    offset: float
    rows: int
    reason: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None


def recalibration(
    y: NDArray[Any],
    score: NDArray[Any],
    answered: NDArray[np.int64],
    told: NDArray[np.int64],
    *,
    now: int,
    half_life: float,
    judged: float,
) -> Recalibration:
    """What the truth known at `now` asks for.

    `y` [n] is 0/1 and `score` [n] the probability before any shift; `answered` and `told` [n] are when the row was
    answered and its truth came out, in microseconds as `now`. `half_life` and `judged`, the span over which such shifts
    are judged, are in seconds. Days are counted back from `now`.
    """
    p = np.asarray(score, dtype=np.float64)
    truth = np.asarray(y, dtype=np.float64)
    age = (now - told) // _DAY
    if np.unique(age).size < _FEWEST_DAYS:
        return Recalibration(offset=0.0, rows=len(p), reason=f"truth of fewer than {_FEWEST_DAYS} days is known")
    offsets = _offsets(truth, p, age, half_life=half_life / 86_400)
    back = (now - answered) // _DAY  # a row was answered with what was known on the day before
    judge = (back < judged / 86_400) & (back + 1 < len(offsets))
    found = _judged(truth[judge], p[judge], offsets[back[judge] + 1], back[judge])
    offset = round(float(offsets[0]), _DIGITS)
    said = f"{offset:+.3f} in log odds, from {len(p):,} rows with truth"
    if found is None:
        return Recalibration(offset=offset, rows=len(p), reason=said)
    gained = f"the log loss is {found.difference:+.4f} less ({found.low:+.4f}..{found.high:+.4f}, {found.rows:,} rows)"
    worse = found.verdict == "worse"
    return Recalibration(
        offset=0.0 if worse else offset,
        rows=len(p),
        reason=f"none, as shifts by the newest truth made answers worse: {gained}" if worse else f"{said}; {gained}",
        gain=round(float(found.difference), _DIGITS),
        low=round(float(found.low), _DIGITS),
        high=round(float(found.high), _DIGITS),
    )


def _offsets(
    y: NDArray[np.float64], p: NDArray[np.float64], age: NDArray[np.int64], *, half_life: float
) -> NDArray[np.float64]:
    """[days] The shift as it was to be on each day back, from now on: 0 where the truth of too few days was known."""
    days = int(age.max()) + 1
    gap = np.bincount(age, y - p, minlength=days)
    information = np.bincount(age, p * (1 - p), minlength=days)
    reach = int(np.ceil(REACH * half_life))
    weight = 0.5 ** (np.arange(reach) / half_life)
    offsets = np.zeros(days)
    for back in range(days):
        seen = information[back : back + reach]
        there = int((seen > 0).sum())
        if there >= _FEWEST_DAYS:
            w = weight[: len(seen)]
            prior = PRIOR_DAYS * seen.sum() / there
            offsets[back] = (w * gap[back : back + reach]).sum() / ((w * seen).sum() + prior)
    return offsets


def _judged(
    y: NDArray[np.float64], p: NDArray[np.float64], offsets: NDArray[np.float64], day: NDArray[np.int64]
) -> Paired | None:
    """The log loss with the shifts against that without; above zero is better with them."""
    if np.unique(day[offsets != 0.0]).size < _FEWEST_DAYS:
        return None
    odds = p * np.exp(offsets)
    return paired_difference(
        "quality.log_loss",
        y=y,
        champion=p,
        challenger=odds / (1 - p + odds),
        threshold_champion=0.5,
        threshold_challenger=0.5,
        value=None,
        task="binary_classification",
        blocks=day,
    )


def unshifted(score: NDArray[Any], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities [n] as they were before each was shifted by its own of `offsets` [n]."""
    p = np.asarray(score, dtype=np.float64)
    odds = p * np.exp(-offsets)
    return odds / (1 - p + odds)
