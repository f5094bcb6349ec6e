"""ADWIN against river's, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.measures.drift.adwin import Adwin


@pytest.mark.parametrize("rise", [0.02, 0.05, 0.1, 0.3, -0.1])
def test_a_change_is_seen_when_river_sees_it(rise: float) -> None:
    drift = pytest.importorskip("river.drift")
    stream = 0.3 + np.random.default_rng(0).random(20_000) * 0.4
    stream[10_000:] += rise
    ours = Adwin(delta=0.002)
    ours.feed(stream)
    theirs = drift.ADWIN(delta=0.002)
    seen = []
    for place, x in enumerate(stream):
        theirs.update(x)
        if theirs.drift_detected:
            seen.append(place + 1)
    assert abs(ours.cuts[0][0] - seen[0]) <= 64
    assert np.sign(ours.cuts[0][1]) == np.sign(rise)


def test_no_cut_in_streams_that_do_not_change() -> None:
    cuts = 0
    for seed in range(40):
        adwin = Adwin(delta=0.002)
        adwin.feed(np.random.default_rng(seed).random(8000) < 0.2)
        cuts += len(adwin.cuts)
        assert adwin.width == 8000
        assert 0.18 < adwin.mean < 0.22
    assert cuts == 0


def test_after_a_change_the_window_holds_what_came_since() -> None:
    adwin = Adwin()
    r = np.random.default_rng(1)
    adwin.feed(r.normal(0.3, 0.1, 6400))
    adwin.feed(r.normal(0.6, 0.1, 6400))
    assert adwin.seen == 12_800
    assert 6000 <= adwin.width <= 6700
    assert adwin.mean == pytest.approx(0.6, abs=0.02)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), parts=st.lists(st.integers(0, 1500), max_size=6))
def test_portions_do_not_matter(seed: int, parts: list[int]) -> None:
    stream = np.random.default_rng(seed).random(3000)
    stream[2000:] += 0.5
    whole, portioned = Adwin(), Adwin()
    whole.feed(stream)
    for part in np.split(stream, sorted(parts)):
        portioned.feed(part)
    assert whole.cuts == portioned.cuts
    assert (whole.width, whole.mean, whole.seen) == (portioned.width, portioned.mean, portioned.seen)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), n=st.integers(0, 4000))
def test_the_window_is_the_newest_values(seed: int, n: int) -> None:
    stream = np.random.default_rng(seed).random(n) * (1 + (np.arange(n) > n // 2))
    adwin = Adwin()
    adwin.feed(stream)
    held = stream[adwin.seen - adwin.width : adwin.seen]
    assert n - adwin.seen < 32
    assert held.size == adwin.width
    if held.size:
        assert adwin.mean == pytest.approx(held.mean())
