"""Columns of rows as slices: the values of categories, and numbers in bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.comparison.weak import Coded

if TYPE_CHECKING:
    import polars as pl

_BINS = 8
_FEW = 12
"""Distinct numbers that are taken as values rather than put into bins."""
_MOST = 30
"""Values of a column that are looked at, the most frequent ones."""
_WIDTH = 40


def coded(rows: pl.DataFrame, names: Sequence[str], min_rows: int) -> list[Coded]:
    """The named columns that can be sliced by: texts and booleans by their frequent values, numbers by their few values
    or in bins of equal count, nulls as a value of their own. A value with fewer than `min_rows` rows is no slice."""
    found = []
    for name in names:
        if name not in rows.columns:
            continue
        column = rows[name]
        if column.dtype.is_numeric() and column.n_unique() > _FEW:
            found.append(_binned(column))
        elif column.dtype.is_numeric() or column.dtype.base_type() in _words():
            found.append(_valued(column, min_rows))
    return [one for one in found if len(one.words) > 1]


def _words() -> tuple[type[pl.DataType], ...]:
    import polars as pl

    return pl.String, pl.Boolean, pl.Categorical, pl.Enum


def _valued(column: pl.Series, min_rows: int) -> Coded:
    import polars as pl

    as_words = column.cast(pl.String).fill_null("missing")
    counts = as_words.value_counts(sort=True, name="rows")
    kept = counts.filter(pl.col("rows") >= min_rows).head(_MOST)[column.name].sort().to_list()
    if not kept:
        return Coded(column.name, np.full(column.len(), -1, dtype=np.intp), ())
    codes = as_words.replace_strict(kept, list(range(len(kept))), default=-1, return_dtype=pl.Int64)
    words = tuple(word if len(word) <= _WIDTH else word[: _WIDTH - 1] + "…" for word in kept)
    return Coded(column.name, codes.to_numpy().astype(np.intp), words)


def _binned(column: pl.Series) -> Coded:
    import polars as pl

    values: NDArray[np.float64] = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    there = np.isfinite(values)
    edges = np.unique(np.quantile(values[there], np.arange(1, _BINS) / _BINS)) if there.any() else np.zeros(0)
    codes = np.where(there, np.searchsorted(edges, values, side="right"), edges.size + 1)
    said = [f"{edge:.4g}" for edge in edges]
    words: tuple[str, ...] = ("any",)
    if said:
        words = (f"below {said[0]}", *(f"{a}..{b}" for a, b in pairwise(said)), f"from {said[-1]}")
    return Coded(column.name, codes.astype(np.intp), (*words, "missing"))
