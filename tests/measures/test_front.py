"""Fronts and what one more trial may bring."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.front import expected_gain, pareto

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20)


@given(POINTS)
def test_nothing_beats_the_front_and_all_else_is_beaten(points: list[tuple[int, int]]) -> None:
    front = pareto(points)
    assert front
    for i, (x, y) in enumerate(points):
        beaten = any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
        assert (i in front) == (not beaten)


def test_the_expected_gain_is_what_more_draws_bring() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(size=(4000, 12))
    truly = (draws.max(axis=1) - draws[:, :-1].max(axis=1)).mean()
    assert np.mean([expected_gain(list(each)) for each in draws]) == pytest.approx(truly, abs=0.02)
    assert expected_gain([1.0]) == float("inf")
