"""Distances: zero for the same, symmetric, in range, and honest about noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trimtab.measures.drift.distance import Distance, Sample, design_effect, ks, psi, tv

Z = 1.959964
counts = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(lambda c: sum(c) >= 2)


def sample(c: list[int] | np.ndarray) -> Sample:
    values = np.asarray(c, dtype=np.float64)
    return Sample(values, float(values.sum()))


@given(a=counts, seed=st.integers(0, 100), k=st.integers(1, 5))
def test_in_range_symmetric_and_zero_for_equal_shares(a: list[int], seed: int, k: int) -> None:
    b = np.random.default_rng(seed).permutation(a) + k
    for distance in (ks, tv, psi):
        there, back = distance(sample(a), sample(b), Z), distance(sample(b), sample(a), Z)
        assert there.effect == pytest.approx(back.effect)
        assert (there.low, there.high) == (pytest.approx(back.low), pytest.approx(back.high))
        assert 0 <= there.low <= there.effect <= there.high
        assert there.effect <= there.raw + 1e-12
        if distance is not psi:
            assert there.high <= 1
        same = distance(sample(a), sample(np.array(a) * k), Z)
        assert (same.raw, same.effect, same.low) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12), 0)


@given(a=counts, b=counts)
def test_raw_distances_by_their_definitions(a: list[int], b: list[int]) -> None:
    size = max(len(a), len(b))
    x, y = (np.array(c + [0] * (size - len(c)), dtype=float) for c in (a, b))
    p, q = x / x.sum(), y / y.sum()
    assert ks(sample(x), sample(y), Z).raw == pytest.approx(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    assert tv(sample(x), sample(y), Z).raw == pytest.approx(np.abs(p - q).sum() / 2)
    assert tv(sample(x), sample(y), Z).raw >= ks(sample(x), sample(y), Z).raw - 1e-12
    cells = np.repeat(np.arange(size), x.astype(int)), np.repeat(np.arange(size), y.astype(int))
    assert ks(sample(x), sample(y), Z).raw == pytest.approx(stats.ks_2samp(*cells, method="asymp").statistic)


def test_psi_by_its_definition_where_no_cell_is_small() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    got = psi(sample(p * 1e7), sample(q * 1e7), Z)
    assert got.raw == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=1e-4)


@pytest.mark.parametrize("distance", [ks, tv, psi])
def test_noise_alone_leaves_hardly_an_effect(distance: object) -> None:
    assert callable(distance)
    r = np.random.default_rng(0)
    p = r.dirichlet(np.full(30, 3.0))
    found: list[Distance] = [
        distance(sample(r.multinomial(20_000, p)), sample(r.multinomial(400, p)), Z) for _ in range(300)
    ]
    effects, raws = np.array([d.effect for d in found]), np.array([d.raw for d in found])
    assert effects.mean() < 0.4 * raws.mean()
    assert np.median(effects) < 0.3 * np.median(raws)
    assert np.mean([d.low > 0 for d in found]) < 0.05


@pytest.mark.parametrize("distance", [ks, tv, psi])
def test_the_interval_holds_the_true_distance(distance: object) -> None:
    assert callable(distance)
    r = np.random.default_rng(1)
    p, q = np.full(10, 0.1), np.linspace(0.03, 0.17, 10)
    truth = distance(Sample(p * 1e9, 1e9), Sample(q * 1e9, 1e9), Z).raw
    inside = 0
    for _ in range(400):
        d = distance(sample(r.multinomial(5000, p)), sample(r.multinomial(2000, q)), Z)
        inside += d.low <= truth <= d.high
    assert inside >= 368  # 95% with three standard errors of the simulation


def test_empty_cells_make_no_infinite_index() -> None:
    got = psi(sample([1000, 0]), sample([500, 500]), Z)
    assert 1 < got.raw < 10
    assert psi(sample([10, 0]), sample([7, 0]), Z).effect == 0


@given(seed=st.integers(0, 200))
def test_design_effect_of_independent_rows_is_near_one(seed: int) -> None:
    r = np.random.default_rng(seed)
    by_block = r.multinomial(300, np.full(6, 1 / 6), size=60).astype(float)
    assert 1 <= design_effect(by_block, ordered=False) < 1.6
    assert 1 <= design_effect(by_block, ordered=True) < 2.2


def test_design_effect_of_blocks_of_one_value_is_the_size_of_a_block() -> None:
    by_block = 100 * np.eye(3)[np.random.default_rng(0).integers(0, 3, 200)]
    assert design_effect(by_block, ordered=False) == pytest.approx(100, rel=0.05)
    assert design_effect(by_block[:1], ordered=False) == 1.0
    assert design_effect(np.array([[5.0, 0.0], [7.0, 0.0]]), ordered=False) == 1.0
