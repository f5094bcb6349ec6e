"""Surprise: the truth against the model's own probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.monitoring.surprise import surprise, surprises

DAY = 86_400_000_000


def days(count: int, rows: int = 300) -> np.ndarray:
    return 15_700 * DAY + np.arange(count * rows) * (DAY // rows)


def test_a_calibrated_model_does_not_surprise_and_a_changed_world_does() -> None:
    r = np.random.default_rng(0)
    moments = days(14)
    false = found = 0
    for _ in range(200):
        p = r.beta(2, 5, moments.size)
        false += surprise(surprises((r.random(p.size) < p).astype(int), p), moments).detected
        changed = np.clip(p + 0.15, 0, 1)
        found += surprise(surprises((r.random(p.size) < changed).astype(int), p), moments).detected
    assert false <= 6
    assert found == 200


def test_the_surprise_of_two_classes_is_that_of_one_probability() -> None:
    r = np.random.default_rng(1)
    p, y = r.random(50), r.integers(0, 2, 50)
    assert surprises(y, p) == pytest.approx(surprises(y, np.stack([1 - p, p], axis=1)))
    certain = surprises(np.array([1, 0]), np.array([1.0, 1.0]))
    assert certain[0] == pytest.approx(0, abs=1e-5)
    assert certain[1] > 10


def test_few_days_say_nothing() -> None:
    got = surprise(np.ones(300 * 5), days(5))
    assert (got.detected, got.reason) == (False, "5 of 14 days with truth so far")
