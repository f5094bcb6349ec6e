"""Slices in which a model does worse: searched for on one half of the rows, confirmed on the other.

Among thousands of slices some look bad by chance. So the days (blocks) are dealt out into two halves: every value of a
column, and every pair of values of two columns, is looked at in the first; the few that stand out are tested in the
second, which had no part in choosing them. Of those, as many are reported as keep the expected share of false ones at
the declared rate (Benjamini & Hochberg 1995, JRSS B 57): where no slice is worse, none is reported but with that
probability. Intervals are widened for having been selected (Benjamini & Yekutieli 2005, JASA 100: coverage 1 - rate *
reported / tested). Kin to SliceFinder (Chung et al. 2019, TKDE 32) and SliceLine (Sagadeeva & Boehm 2021, SIGMOD),
which search the same lattice, but on one set of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats, block_index
from trimtab.measures.intervals import block_error, row_error, t_quantile
from trimtab.records.slices import WeakSlice

_BEAM = 40
"""Columns whose pairs are looked at: those with the values that stand out most."""
_TESTED = 20
_STANDS_OUT = 2.0
"""Standard errors by which a slice must stand out in the first half to be tested."""
_OVER_ITS_PARTS = 1.3
"""How many times the effect of each of its two parts a pair must have, to be told rather than the part."""
_ALIKE = 0.5
"""Shared rows of all rows of two slices, from which on they are the same one."""
_MIXED = 10


@dataclass(frozen=True)
class Coded:
    """One column: the code of each row [n], a position in `words`, which tell the values; -1 belongs to no slice."""

    name: str
    codes: NDArray[np.intp]
    words: tuple[str, ...]


@dataclass(frozen=True)
class _Slice:
    parts: tuple[tuple[int, int], ...]
    score: float
    mean: float


def weak_slices(
    columns: Sequence[Coded], worse: Floats, blocks: NDArray[np.int64], *, min_rows: int = 100, rate: float = 0.05
) -> tuple[WeakSlice, ...]:
    """Slices of one or two columns in which `worse` [n] is above zero, the surest first.

    `worse` is by how much each row is worse: than with another model, or than the mean of all. `blocks` [n] are the
    rows that may move together (the day); with fewer than four, rows count as independent. A slice has `min_rows` rows
    at least; one that mostly holds the rows of a surer one is left out. None is found where nothing is worse, but with
    probability `rate`. For 50,000 rows of 20 columns it takes a few tenths of a second.
    """
    if worse.size < 2 * min_rows or not columns:
        return ()
    index, count = block_index(blocks)
    if count < 4:
        index, count = np.arange(worse.size, dtype=np.intp), worse.size
    first = index % 2 == 0
    found = _standing_out(columns, worse, first, max(2, min_rows // 2))
    tested = [t for each in found if (t := _test(columns, each, worse, index, ~first, min_rows)) is not None]
    if not tested:
        return ()
    kept = _confirmed(tested, rate)
    level = rate * len(kept) / len(tested)
    return tuple(each.told(columns, level) for each in sorted(kept, key=lambda each: -each.low))


def _standing_out(columns: Sequence[Coded], worse: Floats, half: NDArray[np.bool_], least: int) -> list[_Slice]:
    """The slices of a half that stand out most, none much the same as one before it."""
    d = worse[half]
    codes = [np.where(column.codes[half] < 0, len(column.words), column.codes[half]) for column in columns]
    sizes = [len(column.words) + 1 for column in columns]
    singles: list[_Slice] = []
    means: list[Floats] = []
    best: list[float] = []
    for position, (code, size) in enumerate(zip(codes, sizes, strict=True)):
        scores, mean = _scores(code, size, d, least)
        scores[-1] = -np.inf  # no slice
        means.append(np.where(scores > -np.inf, mean, 0.0))
        best.append(float(scores.max()))
        places = np.flatnonzero(scores > _STANDS_OUT)
        singles += [_Slice(((position, int(v)),), float(scores[v]), float(mean[v])) for v in places]
    beam = sorted(np.argsort([-b for b in best], kind="stable")[:_BEAM].tolist())
    pairs: list[_Slice] = []
    for i, a in enumerate(beam):
        for b in beam[i + 1 :]:
            scores, mean = _scores(codes[a] * sizes[b] + codes[b], sizes[a] * sizes[b], d, least)
            table, effect = scores.reshape(sizes[a], sizes[b]), mean.reshape(sizes[a], sizes[b])
            parts = np.maximum(means[a][:, None], means[b][None, :])
            stands = (table > _STANDS_OUT) & (effect > _OVER_ITS_PARTS * parts)
            stands[-1, :] = stands[:, -1] = False
            for u, v in zip(*np.nonzero(stands), strict=True):
                made = ((a, int(u)), (b, int(v)))
                pairs.append(_Slice(made, float(table[u, v]), float(effect[u, v])))
    return _unlike(sorted([*singles, *pairs], key=lambda each: (-round(each.score, 9), each.parts)), codes)


def _scores(code: NDArray[np.intp], size: int, d: Floats, least: int) -> tuple[Floats, Floats]:
    """How many standard errors the mean of `d` is above zero for each code [size], and the mean; -inf with few rows."""
    rows = np.bincount(code, minlength=size).astype(np.float64)
    sums = np.bincount(code, weights=d, minlength=size)
    squares = np.bincount(code, weights=d * d, minlength=size)
    enough = rows >= least
    n = np.where(enough, rows, 1.0)
    mean = sums / n
    error = np.sqrt(np.maximum(squares / n - mean * mean, 1e-300) / n)
    return np.where(enough, mean / error, -np.inf), mean


def _unlike(slices: Sequence[_Slice], codes: Sequence[NDArray[np.intp]]) -> list[_Slice]:
    kept: list[_Slice] = []
    masks: list[NDArray[np.bool_]] = []
    for each in slices[: 10 * _TESTED]:
        mask = _rows_of(each.parts, codes)
        alike = any((mask & other).sum() > _ALIKE * (mask | other).sum() for other in masks)
        if not alike:
            kept.append(each)
            masks.append(mask)
        if len(kept) == _TESTED:
            break
    return kept


def _rows_of(parts: Sequence[tuple[int, int]], codes: Sequence[NDArray[np.intp]]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.logical_and.reduce([codes[column] == value for column, value in parts])
    return inside


@dataclass(frozen=True)
class _Tested:
    """A slice in the half that confirms."""

    parts: tuple[tuple[int, int], ...]
    rows: int
    share: float
    mean: float
    error: float
    df: int

    @property
    def low(self) -> float:
        """What the effect is at least, as sure as the others are told: for the order only."""
        return self.mean - t_quantile(0.975, self.df) * self.error

    def told(self, columns: Sequence[Coded], level: float) -> WeakSlice:
        wide = t_quantile(1.0 - level / 2, self.df) * self.error
        return WeakSlice(
            where=tuple((columns[column].name, columns[column].words[value]) for column, value in self.parts),
            rows=self.rows,
            share=self.share,
            effect=self.mean,
            low=self.mean - wide,
            high=self.mean + wide,
        )


def _test(  # noqa: PLR0917 - one caller
    columns: Sequence[Coded],
    found: _Slice,
    worse: Floats,
    index: NDArray[np.intp],
    half: NDArray[np.bool_],
    min_rows: int,
) -> _Tested | None:
    inside = _rows_of(found.parts, [column.codes for column in columns])
    there = inside & half
    rows = int(inside.sum())
    own, count = block_index(index[there])
    if rows < min_rows or count < 2:
        return None
    d = worse[there]
    influence = (d - d.mean()) / d.size
    # A few rows that happen to be all alike are not sure for that: ten rows of everything are mixed into their spread.
    mixed = sqrt((d.size * float(d.var()) + _MIXED * float(worse[half].var())) / (d.size + _MIXED) / (d.size - 1))
    error = max(mixed, row_error(influence), block_error(influence, own, count))
    if error == 0.0:
        return None
    share = rows / worse.size
    return _Tested(found.parts, rows, share, float(d.mean()), error, count - 1)


def _confirmed(tested: Sequence[_Tested], rate: float) -> list[_Tested]:
    """Benjamini & Hochberg: with the p-values (two-sided, as the intervals are) in order, all up to the last that is
    below rate * k / m."""
    chances = [(2 * tail(each.mean / each.error, each.df), each) for each in tested if each.mean > 0]
    chances.sort(key=lambda pair: pair[0])
    m = len(tested)
    last = max((k for k, (p, _) in enumerate(chances, start=1) if p <= rate * k / m), default=0)
    return [each for _, each in chances[:last]]


def tail(t: float, df: float) -> float:
    """The probability that Student's t is above `t`: by bisection of its quantiles, to the accuracy that those have."""
    if t <= 0:
        return 1.0 - tail(-t, df) if t < 0 else 0.5
    low, high = -34.0, np.log(0.5)
    for _ in range(50):
        middle = (low + high) / 2
        if t_quantile(1.0 - float(np.exp(middle)), df) > t:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))
