"""The threshold that earns the most: exact on rows, and taken only where it pays beyond chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.metrics.threshold import best_threshold, choose_threshold
from trimtab.measures.metrics.worth import decision_threshold, value_of
from trimtab.records.requirement import Value

VALUE = Value(true_positive=8.0, false_positive=-3.0, per_prediction=-0.001)
EVEN = decision_threshold(VALUE)


def earned(y: np.ndarray, score: np.ndarray, threshold: float) -> float:
    return float(value_of(y, score, threshold, VALUE, "binary_classification").sum())


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([i / 20 for i in range(21)])), min_size=1, max_size=60))
def test_no_threshold_earns_more(rows: list[tuple[bool, float]]) -> None:
    y, score = np.array([float(a) for a, _ in rows]), np.array([b for _, b in rows])
    found = best_threshold(y, score, VALUE, EVEN)
    most = max(earned(y, score, t) for t in np.linspace(-0.025, 1.025, 43))
    assert earned(y, score, found) == pytest.approx(most)
    assert 0.0 <= found <= 1.001


def day_of(rows: int, days: int) -> np.ndarray:
    return np.arange(rows) * days // rows


def test_probabilities_that_are_right_keep_the_break_even_nearly_always() -> None:
    taken = []
    for seed in range(150):
        generator = np.random.default_rng(seed)
        p = generator.beta(1.5, 4, 1500)
        y = (generator.random(1500) < p).astype(float)
        found = choose_threshold(y, p, VALUE, day_of(1500, 10), break_even=EVEN)
        taken.append(found.threshold != EVEN)
        assert found.threshold in (EVEN, found.best)
    assert np.mean(taken) < 0.05


def test_probabilities_that_are_wrong_get_the_one_that_pays() -> None:
    generator = np.random.default_rng(7)
    p = generator.beta(1.5, 4, 6000)
    y = (generator.random(6000) < p).astype(float)
    said = np.clip(p / 3, 0, 1)  # it promises a third of what comes true
    found = choose_threshold(y, said, VALUE, day_of(6000, 14), break_even=EVEN)
    assert found.threshold == found.best == pytest.approx(EVEN / 3, abs=0.03)
    assert found.gain is not None
    assert found.low is not None
    assert 0 < found.low < found.gain < found.high
    gain = (earned(y, said, EVEN / 3) - earned(y, said, EVEN)) / 6
    assert found.gain == pytest.approx(gain, rel=0.15)
    assert found.gain <= (earned(y, said, found.best) - earned(y, said, EVEN)) / 6, "other days than it was chosen on"


def test_too_few_days_or_one_class_choose_nothing() -> None:
    y, p = np.array([0.0, 1.0] * 50), np.linspace(0, 1, 100)
    assert choose_threshold(y, p, VALUE, day_of(100, 2), break_even=EVEN).gain is None
    assert choose_threshold(np.zeros(100), p, VALUE, day_of(100, 10), break_even=EVEN).threshold == EVEN
