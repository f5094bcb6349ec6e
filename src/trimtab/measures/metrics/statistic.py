"""Each metric as a statistic of rows: its figure, each row's influence on it, and its figure under other weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf, sqrt

import numpy as np

from trimtab.measures.arrays import Floats, inner
from trimtab.measures.metrics import ranking

Combine = Callable[[Floats], Floats]


class Undefined(Exception):  # noqa: N818 - not a failure: the figure does not exist for these rows
    """The figure does not exist for these rows; the message says why."""


@dataclass(frozen=True)
class Statistic:
    """A figure of n rows.

    `influence` [n] is the derivative of the figure by each row's weight; its spread gives the standard error.
    `columns` [n, m] and `combine` ([..., m] sums to [...] figures) say the figure as a function of sums;
    `weighted` ([R, n] weights to [R] figures) is there where it is none. `trials` is the denominator of a proportion
    (Wilson's interval then), `floor` and `ceiling` the range of the figure.
    """

    figure: float
    influence: Floats
    columns: Floats | None = None
    combine: Combine | None = None
    weighted: Combine | None = None
    trials: float | None = None
    floor: float = -inf
    ceiling: float = inf


@dataclass(frozen=True)
class Answers:
    """Rows to measure: `y` [n] and `score` [n] or [n, K] as float64, and the decision threshold."""

    y: Floats
    score: Floats
    threshold: float
    smallest: float

    @property
    def said_yes(self) -> Floats:
        return (self.score >= self.threshold).astype(np.float64)


def mean(per_row: Floats, *, scale: float = 1.0, floor: float = -inf, ceiling: float = inf) -> Statistic:
    """`scale` times the mean of a figure per row [n]."""
    n = per_row.size
    figure = scale * float(per_row.mean())
    columns = np.stack([scale * per_row, np.ones(n)], axis=1)
    return Statistic(figure, (columns[:, 0] - figure) / n, columns, _ratio, floor=floor, ceiling=ceiling)


def accuracy(answers: Answers) -> Statistic:
    said = np.argmax(answers.score, axis=1) if answers.score.ndim == 2 else answers.said_yes
    right = said == answers.y
    return _proportion(right.astype(np.float64), np.ones(answers.y.size))


def precision(answers: Answers) -> Statistic:
    yes = answers.said_yes
    if not yes.any():
        raise Undefined(f"no score reaches the threshold {answers.threshold:.6g}, so nothing was answered positive")
    return _proportion(yes * answers.y, yes)


def recall(answers: Answers) -> Statistic:
    if not answers.y.any():
        raise Undefined("no row is positive")
    return _proportion(answers.said_yes * answers.y, answers.y)


def f1(answers: Answers) -> Statistic:
    """2 TP / (2 TP + FP + FN); for several classes the mean over those that occur in labels or answers."""
    if answers.score.ndim == 1:
        if not answers.y.any() and not answers.said_yes.any():
            raise Undefined("no row is positive and none was answered positive")
        return _f1_of([answers.y], [answers.said_yes])
    said = np.argmax(answers.score, axis=1)
    classes = np.union1d(answers.y, said)
    truths = [(answers.y == c).astype(np.float64) for c in classes]
    return _f1_of(truths, [(said == c).astype(np.float64) for c in classes])


def log_loss(answers: Answers) -> Statistic:
    return mean(log_losses(answers), floor=0.0)


def log_losses(answers: Answers) -> Floats:
    """Negative log-likelihood of each row [n]; probabilities are kept from 0 and 1 by the score type's epsilon."""
    if answers.score.ndim == 2:
        chosen = answers.score[np.arange(answers.y.size), answers.y.astype(np.intp)]
        return -np.log(np.clip(chosen, answers.smallest, 1.0 - answers.smallest))
    p = np.clip(answers.score, answers.smallest, 1.0 - answers.smallest)
    return -np.log(np.where(answers.y > 0, p, 1.0 - p))


def brier(answers: Answers) -> Statistic:
    return mean((answers.score - answers.y) ** 2, floor=0.0)


def calibration_error(answers: Answers) -> Statistic:
    """Sum over ten bins of equal count (equal scores never parted) of |mean score - mean label| times the bin's share.

    Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".
    """
    n = answers.y.size
    order = ranking.order_of(answers.score)
    by_place = (10 * order.starts[order.group]) // n
    bins = np.empty(n, dtype=np.intp)
    bins[order.order] = by_place
    gap = answers.score - answers.y
    sums = np.bincount(bins, weights=gap, minlength=10)
    figure = float(np.abs(sums).sum()) / n
    columns = np.zeros((n, 11))
    columns[np.arange(n), bins] = gap
    columns[:, 10] = 1.0
    influence = (np.sign(sums)[bins] * gap - figure) / n
    return Statistic(figure, influence, columns, _calibration, floor=0.0, ceiling=1.0)


def roc_auc(answers: Answers) -> Statistic:
    if answers.y.min() == answers.y.max():
        raise Undefined(f"all {answers.y.size} rows are of one class")
    order = ranking.order_of(answers.score)
    figure, influence = ranking.roc_auc(answers.y, order)
    weighted = partial(ranking.roc_auc_weighted, answers.y, order)
    return Statistic(figure, influence, weighted=weighted, floor=0.0, ceiling=1.0)


def average_precision(answers: Answers) -> Statistic:
    if not answers.y.any():
        raise Undefined("no row is positive")
    order = ranking.order_of(answers.score)
    figure, influence = ranking.average_precision(answers.y, order)
    weighted = partial(ranking.average_precision_weighted, answers.y, order)
    return Statistic(figure, influence, weighted=weighted, floor=0.0, ceiling=1.0)


def mae(answers: Answers) -> Statistic:
    return mean(np.abs(answers.y - answers.score), floor=0.0)


def rmse(answers: Answers) -> Statistic:
    squared = mean((answers.y - answers.score) ** 2, floor=0.0)
    figure = sqrt(squared.figure)
    influence = squared.influence / (2 * figure) if figure > 0 else squared.influence
    return Statistic(figure, influence, squared.columns, _root_ratio, floor=0.0)


def r2(answers: Answers) -> Statistic:
    """1 - sum of squared errors / sum of squares about the mean."""
    centred = answers.y - answers.y.mean()
    total = inner(centred, centred)
    if total == 0.0:
        raise Undefined("every row has the same label, so there is no variance to explain")
    squared = (answers.y - answers.score) ** 2
    figure = 1.0 - float(squared.sum()) / total
    columns = np.stack([squared, centred, centred**2, np.ones(centred.size)], axis=1)
    influence = -(squared - (1.0 - figure) * centred**2) / total
    return Statistic(figure, influence, columns, _explained, ceiling=1.0)


def _proportion(hits: Floats, trials: Floats) -> Statistic:
    count = float(trials.sum())
    figure = float(hits.sum()) / count
    columns = np.stack([hits, trials], axis=1)
    influence = (hits - figure * trials) / count
    return Statistic(figure, influence, columns, _ratio, trials=count, floor=0.0, ceiling=1.0)


def _f1_of(truths: list[Floats], answers: list[Floats]) -> Statistic:
    columns: list[Floats] = []
    figures: list[float] = []
    influence = np.zeros(truths[0].size)
    for truth, said in zip(truths, answers, strict=True):
        doubled, count = 2 * truth * said, truth + said
        total = float(count.sum())
        figure = float(doubled.sum()) / total
        figures.append(figure)
        influence += (doubled - figure * count) / total / len(truths)
        columns += [doubled, count]
    return Statistic(float(np.mean(figures)), influence, np.stack(columns, axis=1), _mean_ratio, floor=0.0, ceiling=1.0)


def _ratio(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _root_ratio(sums: Floats) -> Floats:
    return np.sqrt(_ratio(sums))


def _mean_ratio(sums: Floats) -> Floats:
    """Mean over classes; a class that a resample lost counts nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = sums[..., 0::2] / sums[..., 1::2]
    here = sums[..., 1::2] > 0
    kept = here.sum(axis=-1)
    return np.where(kept > 0, np.where(here, ratios, 0.0).sum(axis=-1) / np.maximum(kept, 1), np.nan)


def _explained(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - sums[..., 0] / (sums[..., 2] - sums[..., 1] ** 2 / sums[..., 3]))


def _calibration(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs(sums[..., :10]).sum(axis=-1) / sums[..., 10])
