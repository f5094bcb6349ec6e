"""Distances between two distributions, as effect sizes with the sampling noise taken off.

A distance between two samples of the same distribution is above zero by chance alone, the more so the fewer the rows.
What is given here is what remains after that expected noise, with an interval for it, so that it can be compared with a
threshold that means something ("a tenth of the rows moved") whatever the number of rows. Samples of rows that move
together within blocks (a day) count as fewer rows: their effective size.
"""

from __future__ import annotations

from math import log, pi, sqrt
from typing import NamedTuple

import numpy as np

from trimtab.measures.arrays import Floats

# Mean of Kolmogorov's distribution: sqrt(pi / 2) * ln 2 (Marsaglia, Tsang & Wang 2003, J. Stat. Software 8(18)).
_KOLMOGOROV_MEAN = sqrt(pi / 2) * log(2)


class Sample(NamedTuple):
    """Counts of rows by cell [K], and how many independent rows they are worth."""

    counts: Floats
    effective: float

    @property
    def shares(self) -> Floats:
        return np.asarray(self.counts / self.counts.sum())


class Distance(NamedTuple):
    """`raw` is the distance of the samples; `effect` what is left without noise, `low`..`high` its 95% interval."""

    effect: float
    low: float
    high: float
    raw: float


def ks(reference: Sample, window: Sample, quantile: float) -> Distance:
    """Kolmogorov-Smirnov: the largest difference of the cumulative shares over ordered cells, 0 to 1.

    Noise: mean of Kolmogorov's distribution / sqrt(effective size), scaled by the widest spread the cells allow, taken
    off in squares, since it adds to the square of a real difference. Interval: binomial errors at the widest cell.
    """
    before, now = np.cumsum(reference.shares)[:-1], np.cumsum(window.shares)[:-1]
    if before.size == 0:
        return Distance(0.0, 0.0, 0.0, 0.0)
    gaps = np.abs(now - before)
    widest = int(np.argmax(gaps))
    raw = float(gaps[widest])
    size = _joint(reference, window)
    pooled = _clip((before * reference.effective + now * window.effective) / (reference.effective + window.effective))
    noise = _KOLMOGOROV_MEAN / sqrt(size) * 2 * sqrt(float((pooled * (1 - pooled)).max()))
    b, w = float(_clip(before)[widest]), float(_clip(now)[widest])
    error = sqrt(b * (1 - b) / reference.effective + w * (1 - w) / window.effective)
    return _within_one(raw, noise, quantile * error)


def tv(reference: Sample, window: Sample, quantile: float) -> Distance:
    """Total variation: half the sum of differences of the shares, 0 to 1, the share of rows that changed cell.

    Noise: half the sum over cells of the mean of |normal| with the binomial error of that cell, taken off in squares.
    Interval: delta method with the signs of the differences held.
    """
    before, now = reference.shares, window.shares
    gap = now - before
    raw = 0.5 * float(np.abs(gap).sum())
    pooled = _clip((before * reference.effective + now * window.effective) / (reference.effective + window.effective))
    noise = 0.5 * float(np.sqrt(2 / pi * pooled * (1 - pooled) / _joint(reference, window)).sum())
    signs = np.sign(gap)
    error = 0.5 * sqrt(_variance(signs, before) / reference.effective + _variance(signs, now) / window.effective)
    return _within_one(raw, min(noise, 1.0), quantile * error)


def psi(reference: Sample, window: Sample, quantile: float) -> Distance:
    """Population stability index, sum of (now - before) * ln(now / before) over cells: 0 and up.

    Cells empty in both are dropped; shares are drawn slightly (half a row a cell) to the pooled ones so that an empty
    cell is not infinite. Noise: (K - 1) * (1/n + 1/m), the mean under no change (Yurdakul 2018, "Statistical properties
    of the population stability index"). Interval: delta method, with the variance under no change added.
    """
    kept = (reference.counts + window.counts) > 0
    cells = int(kept.sum())
    if cells < 2:
        return Distance(0.0, 0.0, 0.0, 0.0)
    pooled = (reference.counts + window.counts)[kept]
    pooled = pooled / pooled.sum()
    before = _drawn(reference.counts[kept], pooled)
    now = _drawn(window.counts[kept], pooled)
    logs = np.log(now / before)
    raw = float(((now - before) * logs).sum())
    rate = 1 / reference.effective + 1 / window.effective
    slope_now, slope_before = logs + 1 - before / now, 1 - logs - now / before
    variance = (
        _variance(slope_before, before) / reference.effective
        + _variance(slope_now, now) / window.effective
        + 2 * (cells - 1) * rate * rate
    )
    effect = max(0.0, raw - (cells - 1) * rate)
    wide = quantile * sqrt(variance)
    return Distance(effect, max(0.0, effect - wide), effect + wide, raw)


def design_effect(by_block: Floats, *, ordered: bool) -> float:
    """How many times fewer independent rows the counts are worth because rows of one block move together, at least 1.

    `by_block` [B, K]. The variance of each share between blocks over the one of independent rows, summed over cells
    (cumulative shares when `ordered`): the first-order correction of Rao & Scott 1984, Annals of Statistics 12.
    """
    blocks = by_block.shape[0]
    rows = by_block.sum(axis=1)
    total = float(rows.sum())
    if blocks < 2 or total == 0:
        return 1.0
    counts = np.cumsum(by_block, axis=1)[:, :-1] if ordered else by_block
    shares = counts.sum(axis=0) / total
    independent = float((shares * (1 - shares)).sum()) / total
    if independent <= 0:
        return 1.0
    strayed: Floats = counts - rows[:, None] * shares
    clustered = blocks / (blocks - 1) * float((strayed * strayed).sum()) / (total * total)
    return max(1.0, float(clustered / independent))


def _joint(reference: Sample, window: Sample) -> float:
    """The size n*m / (n + m) at which two samples' difference has the noise of one."""
    return reference.effective * window.effective / (reference.effective + window.effective)


def _within_one(raw: float, noise: float, wide: float) -> Distance:
    """Take the noise off the distance and off both ends of its interval, in squares."""

    def left(distance: float) -> float:
        return sqrt(max(0.0, distance * distance - noise * noise))

    return Distance(left(raw), left(max(0.0, raw - wide)), min(1.0, left(raw + wide)), raw)


def _variance(scores: Floats, shares: Floats) -> float:
    mean = float(scores @ shares)
    return max(0.0, float((scores * scores) @ shares) - mean * mean)


def _drawn(counts: Floats, pooled: Floats) -> Floats:
    weight = 0.5 * counts.size
    return np.asarray((counts + weight * pooled) / (counts.sum() + weight))


def _clip(shares: Floats) -> Floats:
    return np.clip(shares, 0.0, 1.0)
