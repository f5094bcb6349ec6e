"""Trying again with growing pauses, and keeping to a rate, under a clock of the tests' own."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.data.sources.patience import Pace, Patience, Waiting
from trimtab.errors import PermanentError, TemporaryError


class Time:
    """A clock that moves when someone sleeps."""

    def __init__(self, draws=(1.0,)):
        self.now, self.slept, self._draws, self._drawn = 0.0, [], list(draws), 0

    def sleep(self, seconds):
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds

    def draw(self):
        self._drawn += 1
        return self._draws[(self._drawn - 1) % len(self._draws)]

    @property
    def waiting(self):
        return Waiting(sleep=self.sleep, clock=lambda: self.now, draw=self.draw)


def failing(times, error):
    """Fails so many times, then answers how often it was asked."""
    asked = []

    def question():
        asked.append(1)
        if len(asked) <= times:
            raise error
        return len(asked)

    return question


def test_pauses_double_up_to_the_longest():
    time = Time()
    patience = Patience(tries=7, first=1.0, longest=8.0, total=1000, waiting=time.waiting)
    assert patience.ask(failing(6, TemporaryError("busy", delay=0.0))) == 7
    assert time.slept == [1, 2, 4, 8, 8, 8]


@given(st.lists(st.floats(0, 1), min_size=1), st.integers(0, 9), st.floats(0, 40), st.integers(1, 8))
def test_no_pause_is_shorter_than_asked_for_nor_longer_than_both_bounds(draws, failures, delay, tries):
    time = Time(draws)
    patience = Patience(tries=tries, first=0.5, longest=30.0, total=120.0, waiting=time.waiting)
    try:
        assert patience.ask(failing(failures, TemporaryError("busy", delay=delay))) == failures + 1
    except TemporaryError as error:
        assert error.delay == delay
        assert failures >= tries or sum(time.slept) + max(delay, 30.0) > 120.0
    assert len(time.slept) < tries
    assert sum(time.slept) <= 120.0
    for number, pause in enumerate(time.slept):
        assert delay <= pause <= max(delay, min(30.0, 0.5 * 2.0**number))


def test_the_error_says_how_much_was_borne():
    patience = Patience(tries=3, first=2.0, waiting=Time().waiting)
    with pytest.raises(TemporaryError, match=r"it is busy \(3 tries, 6 s of pauses\)") as caught:
        patience.ask(failing(9, TemporaryError("it is busy", delay=0.0, hint="wait")))
    assert caught.value.hint == "wait"


def test_nothing_that_lasts_is_tried_again():
    time = Time()
    with pytest.raises(PermanentError, match="no"):
        Patience(waiting=time.waiting).ask(failing(1, PermanentError("no")))
    assert time.slept == []


@given(st.floats(0.1, 100), st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_a_rate_is_kept_however_long_each_question_takes(rate, durations):
    time = Time()
    pace, asked = Pace(rate, time.waiting), []
    for took in durations:
        pace.wait()
        asked.append(time.now)
        time.now += took
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert all(gap >= 1 / rate - 1e-9 for gap in gaps)
    assert all(gap <= max(1 / rate, took) + 1e-9 for gap, took in zip(gaps, durations, strict=False))


def test_without_a_rate_nobody_waits():
    time = Time()
    pace = Pace(None, time.waiting)
    for _ in range(3):
        pace.wait()
    assert time.slept == []
