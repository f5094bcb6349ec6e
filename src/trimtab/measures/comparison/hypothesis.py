"""Is a hypothesis about two ways of training true? An effect over folds and seeds, with its error, and a verdict.

The effect is the mean over folds of the mean over seeds of one metric's difference between the changed and the
reference model, both trained from the same seed and scored on the same test rows. Its variance has two parts:

- of the test rows: blocks (days, or whatever rows share) are drawn with replacement, the same draws for both models and
  for all seeds of a fold, and the differences' variance is taken times B/(B-1) (paired cluster bootstrap);
- of the seeds: the variance of the difference between seeds, over their number.

Folds have test rows of their own, so their variances add up. Student's t is used with Welch-Satterthwaite's degrees of
freedom. What is not in it: other rows to train on than the folds had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats, block_index
from trimtab.measures.intervals import block_error, t_quantile
from trimtab.measures.metrics.declared import statistic_of
from trimtab.measures.metrics.resample import resampled
from trimtab.measures.metrics.statistic import Statistic, Undefined
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Value

Answer = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Fold:
    """The test rows of one period: `y` [n], `blocks` [n] (rows that may move together), and for each seed the scores
    [n] or [n, K] of the reference and of the changed model. Thresholds turn scores into answers."""

    y: NDArray[Any]
    blocks: NDArray[Any]
    reference: Sequence[NDArray[Any]]
    changed: Sequence[NDArray[Any]]
    threshold_reference: float = 0.5
    threshold_changed: float = 0.5


class Effect(Record, kw_only=True):
    """Changed less reference, as the metric counts. `row_error` and `seed_error` are the two parts of the standard
    error, `df` its degrees of freedom. Without an error (one block, or a metric that is not defined) nothing can be
    concluded, and `reason` says why."""

    difference: float
    row_error: float
    seed_error: float
    df: float
    rows: int
    blocks: int
    folds: int
    reference: float
    changed: float
    reason: str = ""

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return sqrt(self.row_error**2 + self.seed_error**2)


class Look(Record, kw_only=True):
    """What one look at an effect says at its level: the interval of the difference, the answer, and the smallest true
    difference from the margin that such a look would find four times in five (None where it could find none)."""

    low: float
    high: float
    answer: Answer
    smallest_detectable: float | None


def effect_of(
    metric: str, folds: Sequence[Fold], *, value: Value | None, task: Task, resamples: int = 400, seed: int = 0
) -> Effect:
    """The effect over `folds` (one at least, each with one seed at least) in `metric`."""
    parts = []
    for position, fold in enumerate(folds):
        try:
            parts.append(_of_fold(metric, fold, value=value, task=task, resamples=resamples, seed=seed + position))
        except Undefined as undefined:
            return _nothing(folds, str(undefined))
    count = len(parts)
    rows_variance = sum(part.row_variance for part in parts) / count**2
    seed_variance = sum(part.seed_variance for part in parts) / count**2
    total = rows_variance + seed_variance
    free = sum(part.row_variance**2 / max(part.blocks - 1, 1) for part in parts)
    free += sum(part.seed_variance**2 / max(part.seeds - 1, 1) for part in parts)
    few = any(part.blocks < 2 for part in parts)
    return Effect(
        difference=float(np.mean([part.difference for part in parts])),
        row_error=sqrt(rows_variance),
        seed_error=sqrt(seed_variance),
        df=total**2 * count**4 / free if free > 0 and isfinite(total) else 1.0,
        rows=sum(len(fold.y) for fold in folds),
        blocks=sum(part.blocks for part in parts),
        folds=count,
        reference=float(np.mean([part.reference for part in parts])),
        changed=float(np.mean([part.changed for part in parts])),
        reason="one block of rows only: how much blocks differ cannot be seen" if few else "",
    )


def look(effect: Effect, *, at_least: float | None = None, at_most: float | None = None, level: float) -> Look:
    """Judge `difference >= at_least`, or `difference <= at_most`, with an error of at most `level` either way.

    Supported where the whole two-sided interval of confidence 1 - `level` lies where the hypothesis says, refuted where
    all of it lies outside.
    """
    margin = at_least if at_least is not None else at_most
    if margin is None or (at_least is not None and at_most is not None):
        raise ValueError("give one of at_least and at_most")
    if effect.reason or not isfinite(effect.error):
        return Look(low=-inf, high=inf, answer="inconclusive", smallest_detectable=None)
    wide = t_quantile(1.0 - level / 2, effect.df)
    low, high = effect.difference - wide * effect.error, effect.difference + wide * effect.error
    above, below = low >= margin, high < margin
    if at_most is not None:
        above, below = high <= margin, low > margin
    return Look(
        low=low,
        high=high,
        answer="supported" if above else "refuted" if below else "inconclusive",
        smallest_detectable=(wide + t_quantile(0.8, effect.df)) * effect.error,
    )


@dataclass(frozen=True)
class _Part:
    difference: float
    reference: float
    changed: float
    row_variance: float
    seed_variance: float
    blocks: int
    seeds: int


def _of_fold(metric: str, fold: Fold, *, value: Value | None, task: Task, resamples: int, seed: int) -> _Part:
    pairs = [
        (
            statistic_of(metric, y=fold.y, score=old, threshold=fold.threshold_reference, value=value, task=task),
            statistic_of(metric, y=fold.y, score=new, threshold=fold.threshold_changed, value=value, task=task),
        )
        for old, new in zip(fold.reference, fold.changed, strict=True)
    ]
    differences = np.array([new.figure - old.figure for old, new in pairs])
    seeds = len(pairs)
    index, count = block_index(fold.blocks)
    return _Part(
        difference=float(differences.mean()),
        reference=float(np.mean([old.figure for old, _ in pairs])),
        changed=float(np.mean([new.figure for _, new in pairs])),
        row_variance=_row_variance(pairs, index, count, resamples, seed) if count > 1 else inf,
        seed_variance=float(differences.var(ddof=1)) / seeds if seeds > 1 else 0.0,
        blocks=count,
        seeds=seeds,
    )


def _row_variance(
    pairs: Sequence[tuple[Statistic, Statistic]], index: NDArray[np.intp], count: int, resamples: int, seed: int
) -> float:
    """Variance of the seeds' mean difference under other draws of the blocks; by influence where most draws leave no
    figure."""
    drawn: Floats = np.mean(
        [
            resampled(new, index, count, resamples, seed) - resampled(old, index, count, resamples, seed)
            for old, new in pairs
        ],
        axis=0,
    )
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < resamples / 2:
        influence = np.mean([new.influence - old.influence for old, new in pairs], axis=0)
        return block_error(influence, index, count) ** 2
    return float(drawn.var(ddof=1)) * count / (count - 1)


def _nothing(folds: Sequence[Fold], reason: str) -> Effect:
    return Effect(
        difference=0.0,
        row_error=inf,
        seed_error=0.0,
        df=1.0,
        rows=sum(len(fold.y) for fold in folds),
        blocks=0,
        folds=len(folds),
        reference=0.0,
        changed=0.0,
        reason=reason,
    )
