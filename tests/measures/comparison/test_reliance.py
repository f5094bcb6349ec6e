"""Permutation importance and partial dependence against what is known of linear models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.comparison.reliance import dependence, grid, permutation_loss

ROWS = 2000


def linear(weights: list[float]):
    return lambda x: (x @ np.array(weights, dtype=np.float32)).astype(np.float64)


def matrix(seed: int, features: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, features)).astype(np.float32)


def lost(seed: int, feature: int):
    x, score = matrix(seed), linear([1.0, 0.5, 0.0])
    y = score(x) + np.random.default_rng(seed + 1).normal(size=ROWS)
    return permutation_loss(
        "quality.r2", score, x, feature, y=y, known=score(x), threshold=0.5, value=None, task="regression",
        blocks=np.arange(ROWS) % 30, repeats=4, seed=seed,
    )  # fmt: skip


def test_what_shuffling_costs_is_twice_what_the_feature_explains() -> None:
    """The mean square error grows by 2 w^2 Var(x); of R^2 that is so much over Var(y) = 1 + 0.25 + 1."""
    for feature, weight in ((0, 1.0), (1, 0.5)):
        found = lost(5, feature)
        assert found.low < 2 * weight**2 / 2.25 < found.high
        assert found.low > 0.1


def test_what_the_model_does_not_use_costs_nothing() -> None:
    found = lost(5, 2)
    assert (found.figure, found.low, found.high) == (0.0, 0.0, 0.0)


@given(st.lists(st.floats(-3, 3, width=32), min_size=3, max_size=3), st.integers(0, 2))
def test_dependence_on_a_linear_feature_is_its_line(weights: list[float], feature: int) -> None:
    x, score = matrix(1), linear(weights)
    values = grid(x[:, feature], category=False)
    points = dependence(score, x, feature, values, blocks=np.arange(ROWS) % 25, category=False)
    rest = score(x) - weights[feature] * x[:, feature]
    for point in points:
        assert point.figure == pytest.approx(weights[feature] * point.value + float(rest.mean()), abs=1e-3)
        assert point.low <= point.figure <= point.high
    shares = [point.share for point in points]
    assert shares == sorted(shares)


def test_a_grid_is_of_values_that_are_there() -> None:
    cells = np.array([1, 1, 1, 2, 2, 3, np.nan], dtype=np.float32)
    assert grid(cells, category=True).tolist() == [1, 2, 3]
    assert grid(cells, category=False).tolist() == [1, 2, 3]
    assert set(grid(np.arange(1000, dtype=np.float32), category=False, most=7)) <= set(range(1000))
    assert len(grid(np.full(3, np.nan, dtype=np.float32), category=False)) == 0
