"""What the newest truth asks for: it follows a shift, keeps still where there is none, and stops where it does harm."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab.inference.offset import shifted
from trimtab.monitoring.recalibration import Recalibration, recalibration, unshifted

DAY = 86_400_000_000
NOW = 20_000 * DAY
A_DAY = 200
Stream = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def stream(seed: int, effects: NDArray[np.float64]) -> Stream:
    """Truth, probability, when it was answered and when its truth came out, a few hours later. Each day's truth has its
    own effect on the log odds, which the probabilities do not know; the last day ends now."""
    dice = np.random.default_rng(seed)
    days = len(effects)
    odds = dice.normal(-1, 1, days * A_DAY)
    p = 1 / (1 + np.exp(-odds))
    y = (dice.random(days * A_DAY) < 1 / (1 + np.exp(-(odds + np.repeat(effects, A_DAY))))).astype(np.int64)
    answered = NOW - (days - np.repeat(np.arange(days), A_DAY)) * DAY + np.tile(np.arange(A_DAY), days) * 100_000_000
    return y, p, answered, answered + DAY // 8


def asked(rows: Stream, half_life: float = 1.0, judged: float = 14.0) -> Recalibration:
    y, p, answered, told = rows
    return recalibration(y, p, answered, told, now=NOW, half_life=half_life * 86_400, judged=judged * 86_400)


def lasting(dice: np.random.Generator, days: int, keeps: float) -> NDArray[np.float64]:
    """Effects of days, each `keeps` of the one before and a new part."""
    found = np.zeros(days)
    for day in range(1, days):
        found[day] = keeps * found[day - 1] + dice.normal(0, 0.4)
    return found


@pytest.mark.parametrize("shift", [0.8, -0.8])
def test_a_shift_that_lasts_is_followed_and_a_longer_memory_comes_closer(shift: float) -> None:
    rows = [stream(seed, np.full(30, shift)) for seed in range(20)]
    short = np.array([asked(row).offset for row in rows]) / shift
    long = np.array([asked(row, half_life=7).offset for row in rows]) / shift
    assert ((short > 0.15) & (short < 0.6)).all()
    assert ((long > 0.5) & (long < 1.0)).all()
    assert all(found.low is not None and found.low > 0 for found in map(asked, rows))


def test_where_nothing_has_moved_next_to_nothing_is_shifted() -> None:
    found = [asked(stream(seed, np.zeros(30))) for seed in range(60)]
    assert max(abs(one.offset) for one in found) < 0.15
    assert np.mean([abs(one.offset) for one in found]) < 0.05
    assert all(one.gain is None or abs(one.gain) < 0.005 for one in found)


def test_where_days_resemble_each_other_the_loss_is_less_and_the_judgement_says_so() -> None:
    dice = np.random.default_rng(1)
    gains = [asked(stream(seed, lasting(dice, 30, 0.8))).gain for seed in range(30)]
    assert np.mean([gain for gain in gains if gain is not None]) > 0.002


def test_where_shifts_do_harm_nothing_is_shifted_and_it_is_told_why() -> None:
    """Days that alternate: yesterday's truth says the opposite of today's."""
    effects = np.where(np.arange(30) % 2, 1.2, -1.2)
    found = [asked(stream(seed, effects)) for seed in range(10)]
    assert all(one.offset == 0.0 for one in found)
    assert all(one.high is not None and one.high < 0 for one in found)
    assert "made answers worse" in found[0].reason


def test_each_day_is_judged_by_what_was_known_before_it() -> None:
    """Truth that comes out now changes the shift of now, but not how the past is judged on other days' answers."""
    y, p, answered, told = stream(3, np.full(30, 0.5))
    newest = answered >= NOW - DAY
    other = np.where(newest, 1 - y, y)
    a, b = asked((y, p, answered, told), judged=14.0), asked((other, p, answered, told), judged=14.0)
    assert a.offset != b.offset
    late = np.where(newest, NOW - 1, told)  # the newest truth came out a moment ago: nothing before could know it
    late_told = asked((y, p, answered, late))
    assert late_told.gain == a.gain


def test_truth_of_too_few_days_asks_for_nothing() -> None:
    found = asked(stream(0, np.full(2, 1.0)))
    assert (found.offset, found.gain) == (0.0, None)
    assert "fewer than 3 days" in found.reason
    nothing = np.empty(0)
    none = recalibration(
        nothing, nothing, nothing.astype(int), nothing.astype(int), now=NOW, half_life=86_400, judged=86_400
    )
    assert none.offset == 0.0


def test_scores_are_told_as_they_were_before_each_was_shifted() -> None:
    p = np.linspace(0.05, 0.95, 10)
    offsets = np.where(np.arange(10) < 5, 0.3, -0.2)
    served = np.where(np.arange(10) < 5, shifted(p, 0.3), shifted(p, -0.2))
    np.testing.assert_allclose(unshifted(served, offsets), p, atol=1e-12)
