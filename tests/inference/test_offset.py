"""Probabilities shifted by one number: the order stays, the shift can be taken back, and the server gives the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimtab.inference.offset import shifted

PROBABILITIES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)


@given(PROBABILITIES, st.floats(-5, 5))
def test_the_log_odds_move_by_the_offset_and_nothing_else_changes(scores: list[float], offset: float) -> None:
    p = np.array(scores, dtype=np.float32)
    moved = shifted(p, offset)
    assert moved.dtype == np.float32
    assert ((moved >= 0) & (moved <= 1)).all()
    assert (np.diff(moved[np.argsort(p, kind="stable")]) >= 0).all()
    inner = (p > 1e-3) & (p < 1 - 1e-3)
    wanted = np.log(p[inner].astype(float) / (1 - p[inner].astype(float))) + offset
    np.testing.assert_allclose(moved[inner], 1 / (1 + np.exp(-wanted)), atol=1e-6)


@given(PROBABILITIES, st.floats(-3, 3))
def test_a_shift_is_taken_back_by_its_opposite(scores: list[float], offset: float) -> None:
    p = np.array(scores)
    np.testing.assert_allclose(shifted(shifted(p, offset), -offset), p, atol=1e-12)


def test_what_is_certain_stays_certain() -> None:
    p = np.array([0.0, 1.0], dtype=np.float32)
    assert shifted(p, 2.5).tolist() == [0.0, 1.0]
    assert shifted(p, 0.0) is p
