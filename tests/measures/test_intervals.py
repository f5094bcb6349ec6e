"""Quantiles and intervals against SciPy and statsmodels' definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trimtab.measures.arrays import block_index, block_sums
from trimtab.measures.intervals import block_error, normal_quantile, row_error, t_quantile, wilson


@given(p=st.floats(0.0005, 0.9995), df=st.one_of(st.integers(1, 400), st.floats(1, 60)))
def test_t_quantile_is_scipys(p: float, df: float) -> None:
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=0.05 if df < 2 else 2e-3, abs=1e-3)


@pytest.mark.parametrize("df", [1, 2, 3, 4, 6, 13, 29, 100])
def test_the_quantile_of_95_percent_intervals_is_exact_enough(df: int) -> None:
    assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-4)


@given(n=st.integers(1, 2000), share=st.floats(0, 1))
def test_wilson_is_scipys(n: int, share: float) -> None:
    hits = round(share * n)
    want = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits / n, n, normal_quantile(0.975)) == pytest.approx((want.low, want.high), abs=1e-9)


def test_row_error_is_the_standard_error_of_a_mean() -> None:
    x = np.random.default_rng(0).normal(size=50)
    assert row_error((x - x.mean()) / 50) == pytest.approx(x.std(ddof=1) / np.sqrt(50))


def test_block_error_of_equal_blocks_is_the_error_of_block_means() -> None:
    x = np.random.default_rng(0).normal(size=60)
    means = x.reshape(6, 10).mean(axis=1)
    index, count = block_index(np.repeat([3, 9, 4, 1, 20, 7], 10))
    assert count == 6
    assert block_error((x - x.mean()) / 60, index, count) == pytest.approx(means.std(ddof=1) / np.sqrt(6))


@given(st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**40), 2**40)), max_size=50))
def test_blocks_are_numbered_as_numpy_does(blocks: list[int]) -> None:
    index, count = block_index(np.array(blocks, dtype=np.int64))
    distinct, want = np.unique(blocks, return_inverse=True)
    assert count == distinct.size
    assert index.tolist() == want.tolist()


def test_blocks_may_be_names() -> None:
    index, count = block_index(np.array(["b", "a", "b"]))
    assert (index.tolist(), count) == ([1, 0, 1], 2)


def test_sums_by_block() -> None:
    columns = np.arange(8.0).reshape(4, 2)
    assert block_sums(columns, np.array([0, 1, 0, 1]), 2).tolist() == [[4, 6], [8, 10]]
