"""Concept drift as broken promises: a calibrated model keeps them in any weather, a changed concept breaks them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.monitoring.surprise import Surprise, promises, surprise

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
FIRST = int(START.timestamp()) * 1_000_000
Rows = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def stream(seed: int, days: int = 14, a_day: int = 200, *, shift: float = 0.0, stir: float = 0.0) -> Rows:
    """Truth, probability and moments. Days differ much in how hard they are, as weather makes them; the probabilities
    know that. `shift` is added to the truth's log odds, `stir` blurs the probabilities' own."""
    dice = np.random.default_rng(seed)
    weather = np.repeat(dice.normal(-1, 1.0, days), a_day)
    odds = weather + dice.normal(0, 1, days * a_day)
    truth = (dice.random(days * a_day) < 1 / (1 + np.exp(-(odds + shift)))).astype(np.int64)
    score = 1 / (1 + np.exp(-(odds + dice.normal(0, 1, days * a_day) * stir)))
    moments = FIRST + np.repeat(np.arange(days), a_day) * DAY + np.tile(np.arange(a_day), days) * 300_000_000
    return truth, score, moments


def found(rows: Rows, days: int = 14) -> Surprise:
    truth, score, moments = rows
    return surprise(*promises(truth, score), moments, days=days)


def test_a_calibrated_model_is_almost_never_flagged() -> None:
    """Whatever the days are like, hard or easy: at most three in two hundred windows of 14 days."""
    flagged = [seed for seed in range(200) if found(stream(seed)).detected]
    assert len(flagged) <= 3, flagged


@pytest.mark.parametrize("shift", [0.4, -0.4])
def test_a_shifted_concept_is_flagged(shift: float) -> None:
    seen = [found(stream(seed, shift=shift)) for seed in range(40)]
    assert sum(s.detected for s in seen) >= 38
    assert all(np.sign(s.gap) == np.sign(shift) for s in seen)
    side = "above" if shift > 0 else "below"
    assert side in next(s.reason for s in seen if s.detected)


def test_probabilities_that_promise_too_much_are_flagged_though_they_are_right_on_average() -> None:
    """The gap alone would not see it: too bold on both sides cancels out."""
    seen = [found(stream(seed, stir=1.2)) for seed in range(20)]
    assert sum(s.detected for s in seen) >= 18
    only_by_surprise = [s for s in seen if s.t > 3 and abs(s.gap) < 0.03]
    assert len(only_by_surprise) >= 10


def test_probabilities_that_promise_too_little_do_no_harm() -> None:
    truth, score, moments = stream(3, a_day=500)
    timid = 0.5 + (score - 0.5) * 0.8
    gaps, surprises = promises(truth, timid)
    assert surprises.mean() < 0
    assert surprise(gaps - gaps.mean(), surprises, moments).detected is False


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), shuffled=st.integers(0, 2**32 - 1), shift=st.sampled_from([0.0, 0.3]))
def test_the_order_within_a_day_does_not_matter(seed: int, shuffled: int, shift: float) -> None:
    truth, score, moments = stream(seed, a_day=30, shift=shift)
    dice = np.random.default_rng(shuffled)
    order = np.concatenate([day * 30 + dice.permutation(30) for day in range(14)])
    there, again = found((truth, score, moments)), found((truth[order], score[order], moments))
    assert there.detected == again.detected
    for name in ("gap", "low", "high", "surprise"):
        assert getattr(there, name) == pytest.approx(getattr(again, name), abs=1e-12)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), days=st.integers(0, 13))
def test_fewer_days_say_nothing(seed: int, days: int) -> None:
    """However far from the truth, and however many rows they have."""
    truth, _, moments = stream(seed, days=max(1, days), a_day=40)
    keep = slice(0, days * 40)
    short = surprise(*promises(truth[keep], np.full(days * 40, 0.99)), moments[keep])
    assert (short.detected, short.since, short.rows) == (False, None, days * 40)
    assert short.reason == f"{days} of 14 days with truth so far"


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), before=st.integers(0, 20))
def test_only_the_last_days_count(seed: int, before: int) -> None:
    """What lies before the window, however wrong, changes nothing; days without truth are no days."""
    truth, score, moments = stream(seed, a_day=25)
    alone = found((truth, score, moments))
    wrong, sure, earlier = stream(seed + 1, days=before or 1, a_day=25, shift=5.0)
    keep = slice(0, before * 25)
    joined = (
        np.concatenate([wrong[keep], truth]),
        np.concatenate([np.full_like(sure, 0.01)[keep], score]),
        np.concatenate([earlier[keep] - 40 * DAY, moments]),
    )
    both = found(joined)
    assert both == alone
    assert both.rows == 14 * 25
    assert both.since == START


def test_a_gap_between_days_does_not_shorten_the_window() -> None:
    truth, score, moments = stream(5, a_day=50)
    apart = moments + (moments - FIRST) // DAY * DAY  # every other day
    there = found((truth, score, apart))
    assert there.gap == found((truth, score, moments)).gap
    assert there.since == START
    late = START + timedelta(days=26)
    assert apart[-1] // DAY == int(late.timestamp()) // 86_400


def test_days_weigh_the_same_however_many_rows_they_have() -> None:
    """One busy day of wrong promises is one day out of fourteen."""
    truth, score, moments = stream(11, a_day=40)
    busy = np.concatenate([moments, np.full(5000, moments[-1])])
    gaps, surprises = promises(
        np.concatenate([truth, np.ones(5000, dtype=np.int64)]), np.concatenate([score, np.full(5000, 0.5)])
    )
    seen = surprise(gaps, surprises, busy)
    daily = [gaps[busy // DAY == day].mean() for day in np.unique(busy // DAY)]
    assert seen.gap == pytest.approx(np.mean(daily))
    assert abs(seen.gap) < 0.1 < gaps.mean()


@settings(max_examples=30)
@given(p=st.floats(0.02, 0.98), classes=st.integers(2, 5))
def test_what_a_calibrated_probability_promises_is_kept_on_average(p: float, classes: int) -> None:
    """Exactly, not by chance: the expectation over the truth that the probability itself says is zero."""
    gaps, surprises = promises(np.array([0, 1]), np.array([p, p]))
    weight = np.array([1 - p, p])
    assert (gaps * weight).sum() == pytest.approx(0, abs=1e-12)
    assert (surprises * weight).sum() == pytest.approx(0, abs=1e-12)
    several = np.full(classes, (1 - p) / (classes - 1))
    several[classes - 1] = p
    gaps, surprises = promises(np.arange(classes), np.tile(several, (classes, 1)))
    assert (gaps * several).sum() == pytest.approx(0, abs=1e-9)
    assert (surprises * several).sum() == pytest.approx(0, abs=1e-9)


def test_probabilities_of_zero_and_one_stay_finite() -> None:
    gaps, surprises = promises(np.array([1, 0, 1, 0]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert np.isfinite(surprises).all()
    np.testing.assert_allclose(gaps, [1, -1, 0, 0], atol=1e-6)
    assert surprises[0] == pytest.approx(-np.log(1e-7), rel=1e-3)
