"""Weak slices: what was planted is found, what is not there is not, and quickly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.measures.comparison.weak import Coded, tail, weak_slices
from trimtab.measures.intervals import t_quantile

VALUES = 8


def world(
    seed: int, *, rows: int, columns: int, days: int, planted: tuple[tuple[int, int], ...] = (), by: float = 0.0
) -> tuple[list[Coded], np.ndarray, np.ndarray]:
    """Noise that moves together within a day, and `by` more of it where all of `planted` (column, value) hold."""
    generator = np.random.default_rng(seed)
    words = tuple(f"v{i}" for i in range(VALUES))
    found = [Coded(f"c{i}", generator.integers(0, VALUES, rows).astype(np.intp), words) for i in range(columns)]
    day = np.sort(generator.integers(0, days, rows))
    worse = generator.normal(size=rows) + 0.1 * generator.normal(size=days)[day]
    if planted:
        worse[np.logical_and.reduce([found[c].codes == v for c, v in planted])] += by
    return found, worse, day


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(0, VALUES - 1), st.integers(0, VALUES - 1), st.booleans())
def test_a_planted_slice_is_found(seed: int, first: int, second: int, pair: bool) -> None:
    planted = ((1, first), (3, second)) if pair else ((1, first),)
    columns, worse, day = world(seed, rows=40_000, columns=6, days=40, planted=planted, by=1.0)
    surest = weak_slices(columns, worse, day)[0]
    assert surest.where == tuple((f"c{c}", f"v{v}") for c, v in planted)
    assert 0.2 < surest.low < surest.effect < surest.high
    assert surest.effect == pytest.approx(1.0, abs=0.5)
    assert surest.in_words == " and ".join(f"c{c}=v{v}" for c, v in planted)


def test_where_nothing_is_worse_something_is_told_no_more_often_than_declared() -> None:
    told = [bool(weak_slices(*world(seed, rows=3_000, columns=5, days=30))) for seed in range(400)]
    assert np.mean(told) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    often = [bool(weak_slices(*world(seed, rows=3_000, columns=5, days=30), rate=0.5)) for seed in range(100)]
    assert np.mean(often) < 0.5 + 2 * np.sqrt(0.25 / 100)


def test_intervals_hold_the_truth_of_what_is_told() -> None:
    held = []
    for seed in range(60):
        columns, worse, day = world(seed, rows=8_000, columns=4, days=40, planted=((0, 1),), by=0.35)
        for one in weak_slices(columns, worse, day):
            true = 0.35 if one.where == (("c0", "v1"),) else 0.35 * (("c0", "v1") in one.where)
            held.append(one.low <= true <= one.high)
    assert len(held) > 40
    assert np.mean(held) > 0.9


def test_rows_that_move_together_count_as_their_days() -> None:
    generator = np.random.default_rng(1)
    day = np.repeat(np.arange(10), 1000)
    stormy = np.array([0.0, 3.0] * 5)[day]  # one column tells stormy days, which are as bad in both halves by chance
    column = Coded("weather", (stormy > 0).astype(np.intp), ("calm", "storm"))
    told = []
    for _ in range(50):
        worse = generator.normal(size=10)[day]
        told.append(bool(weak_slices([column], worse, day)))
    assert np.mean(told) < 0.15, "ten thousand rows of ten days are ten days"


def test_what_is_too_little_to_look_at_gives_nothing() -> None:
    columns, worse, day = world(0, rows=150, columns=3, days=10)
    assert weak_slices(columns, worse, day) == ()
    assert weak_slices([], worse, day) == ()
    same = [Coded("c", np.zeros(1000, dtype=np.intp), ("one",))]
    assert weak_slices(same, np.zeros(1000), np.arange(1000) // 50) == ()
    nothing = [Coded("c", np.full(1000, -1, dtype=np.intp), ("a", "b"))]
    assert weak_slices(nothing, np.ones(1000), np.arange(1000) // 50) == ()


def test_fifty_thousand_rows_of_twenty_columns_take_less_than_a_second() -> None:
    made = world(3, rows=50_000, columns=20, days=60, planted=((3, 2), (7, 5)), by=0.6)
    started = time.process_time()
    found = weak_slices(*made)
    assert time.process_time() - started < 1.0
    assert found[0].where == (("c3", "v2"), ("c7", "v5"))


@given(st.floats(-6, 6), st.integers(2, 200))
def test_tails_are_the_inverse_of_quantiles(t: float, df: int) -> None:
    p = tail(t, df)
    assert 0 < p < 1
    assert t_quantile(1 - p, df) == pytest.approx(t, abs=2e-3 + 1e-3 * abs(t))
