"""Drift of a window that moves on day by day: a day that has passed is counted once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats
from trimtab.monitoring.drift import Counted, EffectThresholds, count, judge
from trimtab.monitoring.profile import Profile
from trimtab.records.facts import ColumnDrift

_DAY = 86_400_000_000
_SETTLED = 3_600_000_000
"""A day's rows may still come in for this long after it ended (microseconds); until then it is counted anew."""

Rows = Callable[[datetime, datetime], tuple[NDArray[np.float32], NDArray[np.int64]]]
"""The matrix [n, F] of a span [since, until), and the moments [n] of its rows in microseconds since 1970, in order."""


class MovingDrift:
    """`measure` gives what `drift(profile, rows of the window, blocks=their days)` gives, to the last bit, and reads
    and counts only the days that are new or cut by the window's ends."""

    def __init__(self, profile: Profile) -> None:
        self._references = profile.features
        self._days: dict[int, Counted] = {}

    def measure(
        self, rows: Rows, since: datetime, until: datetime, thresholds: EffectThresholds | None = None
    ) -> tuple[ColumnDrift, ...]:
        """Drift of the rows in [since, until), a day of UTC being a block. `rows` is asked for the spans that are
        missing."""
        low, high = _micros(since), _micros(until)
        days = range(low // _DAY, -(-high // _DAY))
        counted = {day: found for day in days if (found := self._days.get(day)) is not None and _within(day, low, high)}
        for _, run in groupby((day for day in days if day not in counted), key=_consecutive()):
            missing = list(run)
            first, last = max(low, missing[0] * _DAY), min(high, (missing[-1] + 1) * _DAY)
            matrix, moments = rows(_moment(first), _moment(last))
            at = moments // _DAY
            for day in missing:
                begin, end = np.searchsorted(at, [day, day + 1])
                counted[day] = count(self._references, matrix[begin:end], None) if end > begin else Counted(0, ())
        settled = {day for day in days if _within(day, low, high) and (day + 1) * _DAY + _SETTLED <= high}
        self._days = {day: counted[day] for day in settled}
        return judge(self._references, _together([counted[day] for day in days]), thresholds or EffectThresholds())


def _within(day: int, low: int, high: int) -> bool:
    """Whether the whole day lies in [low, high)."""
    return low <= day * _DAY and (day + 1) * _DAY <= high


def _consecutive() -> Callable[[int], int]:
    """A key that days in a row share."""
    seen = iter(range(2**62))
    return lambda day: day - next(seen)


def _together(days: list[Counted]) -> Counted:
    """Days as the blocks of one window; a day without rows is none."""
    filled = [day for day in days if day.rows]
    if not filled:
        return Counted(0, ())
    columns: tuple[Floats, ...] = tuple(
        np.concatenate(arrays) for arrays in zip(*(d.columns for d in filled), strict=True)
    )
    return Counted(sum(day.rows for day in filled), columns)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
