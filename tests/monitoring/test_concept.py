"""Concept drift: seen when the loss rises for good, not for a bad day, and the same however it is fed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import PermanentError
from trimtab.monitoring.concept import ConceptDetector, detect
from trimtab.records.requirement import Estimate

DAY = 86_400_000_000
START = 15_700 * DAY  # 2012-12-26


def losses(
    seed: int, days: int, rows: int = 200, *, shock: float = 0.03, rise: float = 0.0, since: int = 10**6
) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each row and its moment: every day has a level of its own; `rise` is added from day `since`."""
    r = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    level = np.clip(0.4 + r.normal(0, shock, days) + rise * (np.arange(days) >= since), 0.02, None)
    moments = START + day * DAY + np.sort(r.integers(0, DAY, (days, rows)), axis=1).ravel()
    return r.gamma(1.0, level[day]), moments


def test_a_lasting_rise_is_found_and_dated() -> None:
    stream, moments = losses(1, 60, rise=0.15, since=30)
    held, held_at = losses(2, 7)
    got = detect(stream, moments, reference=held, reference_moments=held_at)
    assert got.detected
    assert got.since is not None
    change = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START + 30 * DAY)
    assert abs(got.since - change) < timedelta(days=4)
    assert got.low is not None and got.high is not None and got.difference is not None
    assert 0 < got.low < 0.15 < got.high
    assert got.difference == pytest.approx(0.15, abs=0.05)
    assert "since 2013-01-2" in got.reason


def test_equal_streams_are_left_alone_day_after_day() -> None:
    alarms = 0
    for seed in range(12):
        stream, moments = losses(seed, 100, rows=60, shock=0.06)
        held = moments < START + 7 * DAY
        detector = ConceptDetector(reference=stream[held], reference_moments=moments[held])
        for day in range(7, 100):
            today = (moments >= START + day * DAY) & (moments < START + (day + 1) * DAY)
            detector.feed(stream[today], moments[today])
            alarms += detector.state().detected
    assert alarms <= 12  # of 1,116 looks


def test_a_storm_of_one_day_is_no_drift_and_a_fall_is_none() -> None:
    stream, moments = losses(3, 40)
    held, held_at = losses(4, 7)
    storm = stream + 1.5 * (moments // DAY == START // DAY + 20)
    assert not detect(storm, moments, reference=held, reference_moments=held_at).detected
    fallen = detect(stream * 0.5, moments, reference=held, reference_moments=held_at)
    assert not fallen.detected
    assert fallen.difference is not None and fallen.difference < 0
    assert fallen.reason.endswith("no higher")


def test_a_model_that_is_worse_from_its_first_day_is_found() -> None:
    stream, moments = losses(5, 20, rise=0.2, since=0)
    held, held_at = losses(6, 7)
    assert detect(stream, moments, reference=held, reference_moments=held_at).detected


def test_the_reference_may_be_an_estimate_or_what_came_before() -> None:
    stream, moments = losses(7, 60, rise=0.2, since=30)
    known = detect(stream, moments, reference=Estimate(figure=0.4, low=0.37, high=0.43, rows=1400))
    assert known.detected
    minutes = detect(stream * 50, moments, reference=Estimate(figure=20.0, low=18.5, high=21.5, rows=1400))
    assert minutes.detected
    alone = detect(stream, moments, scale=5.0)
    assert alone.detected
    assert alone.difference == pytest.approx(0.2, abs=0.08)


@settings(max_examples=15)
@given(seed=st.integers(0, 50), cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_portions_do_not_matter(seed: int, cuts: list[int]) -> None:
    stream, moments = losses(seed, 20, rise=0.2, since=10)
    held, held_at = losses(seed + 1, 7)
    detector = ConceptDetector(reference=held, reference_moments=held_at)
    for part in np.split(np.arange(4000), sorted(cuts)):
        detector.feed(stream[part], moments[part])
    assert detector.state() == detect(stream, moments, reference=held, reference_moments=held_at)


def test_nothing_to_go_by() -> None:
    assert detect(np.empty(0), np.empty(0, dtype=np.int64)).reason == "no labelled row yet"
    one = detect(np.array([0.3]), np.array([START]))
    assert (one.detected, one.rows, one.reason) == (False, 1, "the loss has kept its level")


def test_bad_streams_are_refused() -> None:
    with pytest.raises(PermanentError, match="in the order"):
        detect(np.ones(2), np.array([5, 3]))
    with pytest.raises(PermanentError, match="1 of 2 losses are not finite"):
        detect(np.array([1.0, np.inf]), np.array([1, 2]))
    with pytest.raises(PermanentError, match="2 losses but 1 moments"):
        detect(np.ones(2), np.array([1]))
    detector = ConceptDetector()
    detector.feed(np.ones(1), np.array([9]))
    with pytest.raises(PermanentError, match="in the order"):
        detector.feed(np.ones(1), np.array([8]))


def test_no_heavy_library_is_loaded() -> None:
    script = (
        "import sys, trimtab.monitoring.concept, trimtab.monitoring.drift, trimtab.monitoring.live;"
        "print([m for m in ('river', 'pandas', 'scipy', 'sklearn', 'polars') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
