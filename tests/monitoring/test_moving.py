"""A window that moves on says what the whole window says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.monitoring.drift import drift
from trimtab.monitoring.moving import MovingDrift
from trimtab.monitoring.profile import Profile, build
from trimtab.records.model import Feature, Signature

START = datetime(2024, 2, 25, 7, 30, tzinfo=UTC)
DAY = 86_400_000_000
SIGNATURE = Signature(
    task="regression",
    inputs=(),
    features=(Feature(name="n", kind="number"), Feature(name="c", kind="category", vocabulary=("a", "b", "c"))),
)


def drawn(seed: int, n: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    matrix = np.stack([random.normal(size=n), random.integers(0, 3, n)], axis=1).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    return matrix


class Telemetry:
    """Rows in order of time; counts how many were read."""

    def __init__(self, moments: NDArray[np.int64], matrix: NDArray[np.float32]) -> None:
        self.moments = moments
        self.matrix = matrix
        self.read = 0

    def __call__(self, since: datetime, until: datetime) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        low, high = np.searchsorted(self.moments, [round(m.timestamp() * 1e6) for m in (since, until)])
        self.read += int(high - low)
        return self.matrix[low:high], self.moments[low:high]

    def whole(self, profile: Profile, since: datetime, until: datetime) -> object:
        matrix, moments = self(since, until)
        return drift(profile, matrix, blocks=moments // DAY)


PROFILE = build(drawn(0, 5000), SIGNATURE)


@given(
    st.integers(0, 2**20),
    st.integers(0, 400),
    st.lists(st.timedeltas(timedelta(0), timedelta(days=3)), min_size=1, max_size=8),
    st.timedeltas(timedelta(hours=1), timedelta(days=6)),
)
@settings(max_examples=150)
def test_a_moving_window_is_the_whole_window(seed: int, n: int, steps: list[timedelta], span: timedelta) -> None:
    begin = round(START.timestamp() * 1e6)
    moments = np.sort(np.random.default_rng(seed).integers(begin - 6 * DAY, begin + 20 * DAY, n))
    telemetry = Telemetry(moments, drawn(seed + 1, n))
    moving, now = MovingDrift(PROFILE), START
    for step in steps:
        now += step
        assert moving.measure(telemetry, now - span, now) == telemetry.whole(PROFILE, now - span, now)


def test_days_that_have_passed_are_not_read_again() -> None:
    begin = round(START.timestamp() * 1e6)
    moments = begin + np.arange(0, 30 * DAY, DAY // 100)
    telemetry = Telemetry(moments, drawn(3, len(moments)))
    moving, now = MovingDrift(PROFILE), START + timedelta(days=15)
    moving.measure(telemetry, now - timedelta(days=14), now)
    first, telemetry.read = telemetry.read, 0
    moving.measure(telemetry, now - timedelta(days=13), now + timedelta(days=1))
    assert first == 1400
    assert telemetry.read < 210  # the day the window begins in, and the two newest


def test_rows_that_come_late_in_a_day_just_passed_count() -> None:
    midnight = datetime(2024, 3, 1, tzinfo=UTC)
    at = round(midnight.timestamp() * 1e6)
    moments = np.array([at - 5 * DAY, at - 2, at - 1])
    matrix = drawn(4, 3)
    moving = MovingDrift(PROFILE)
    since = midnight - timedelta(days=6)
    early = Telemetry(moments[:2], matrix[:2])
    moving.measure(early, since, midnight + timedelta(minutes=5))
    late = Telemetry(moments, matrix)
    until = midnight + timedelta(minutes=10)
    assert moving.measure(late, since, until) == late.whole(PROFILE, since, until)
