"""Units are told apart from drift: every known conversion is found, and what only moves is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.measures.drift.units import AT, CONVERSIONS, Conversion, unit_shift


def blocks_of(draw: np.random.Generator, count: int, *, level: float, season: float) -> NDArray[np.float64]:
    """Quantiles of blocks of rows whose level moves slowly, and by itself from block to block."""
    path = level + season * level * np.sin(np.arange(count) / 58.0) + draw.normal(0, 0.01 * abs(level), count)
    return np.array([np.quantile(draw.gamma(9.0, abs(mean) / 9.0, 400), AT) for mean in path])


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=lambda conversion: conversion.name)
def test_every_known_conversion_is_found(conversion: Conversion) -> None:
    draw = np.random.default_rng(5)
    found = 0
    for _ in range(10):
        level = draw.uniform(250, 300) if conversion.name.startswith("K ") else draw.uniform(40, 90)
        blocks = blocks_of(draw, 31, level=level, season=0.0)
        new = conversion.factor * blocks[-1] + conversion.offset
        found += unit_shift(blocks[:-1], new) is not None
    assert found >= 7


@given(
    seed=st.integers(0, 2**32 - 1), level=st.floats(0.01, 1e6), season=st.floats(0.0, 0.6), start=st.integers(0, 300)
)
def test_what_moves_with_the_season_is_no_change(seed: int, level: float, season: float, start: int) -> None:
    draw = np.random.default_rng(seed)
    path = blocks_of(draw, start + 31, level=level, season=season)[start:]
    assert unit_shift(path[:-1], path[-1]) is None


def test_false_alarms_are_rare_where_levels_jump() -> None:
    """Days that differ by a third of their level among themselves, as rain or traffic do."""
    draw = np.random.default_rng(3)
    alarms = 0
    for _ in range(1_000):
        levels = 50 * np.exp(draw.normal(0, 0.35, 31))
        blocks = np.array([np.quantile(draw.gamma(4.0, level / 4.0, 150), AT) for level in levels])
        alarms += unit_shift(blocks[:-1], blocks[-1]) is not None
    assert alarms <= 2


@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([1.2, 0.85, 1.3, 5.0, 1 / 5.0, 300.0]))
def test_a_factor_that_is_no_unit_is_drift(seed: int, factor: float) -> None:
    draw = np.random.default_rng(seed)
    blocks = blocks_of(draw, 31, level=1000.0, season=0.0)
    assert unit_shift(blocks[:-1], blocks[-1] * factor) is None


def test_what_cannot_be_judged() -> None:
    draw = np.random.default_rng(1)
    blocks = blocks_of(draw, 12, level=10.0, season=0.0)
    assert unit_shift(blocks[:5], blocks[5] * 1000) is None, "too few blocks"
    assert unit_shift(np.full((12, 5), 3.0), np.full(5, 3000.0)) is None, "all numbers are one"
    assert unit_shift(blocks, np.full(5, np.nan)) is None
    assert unit_shift(blocks, blocks[0] * 1000) is not None


def test_conversions_undo_each_other() -> None:
    there = {conversion.name: conversion for conversion in CONVERSIONS}
    assert len(there) == len(CONVERSIONS)
    for old, new in (("°F to °C", "°C to °F"), ("°C to K", "K to °C"), ("°F to K", "K to °F")):
        numbers = np.array([-40.0, 0.0, 451.0])
        one, other = there[old], there[new]
        back = other.factor * (one.factor * numbers + one.offset) + other.offset
        assert np.allclose(back, numbers)
    assert np.allclose(there["°F to °C"].back(np.array([0.0, 100.0])), [32.0, 212.0])
