"""What a model relies on: how much worse it gets without a feature, and how its answers move with one.

Both ask the model about rows that nobody observed: where features go together (a destination and its distance) these
may be rows that cannot exist, and neither figure says what would happen if the world changed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import block_index
from trimtab.measures.comparison.paired import paired_difference
from trimtab.measures.intervals import block_error, t_quantile
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Value

Matrix = NDArray[np.float32]
Score = Callable[[Matrix], NDArray[Any]]
"""A matrix [n, features] to scores [n] or [n, classes]."""


class Loss(Record, kw_only=True):
    """How much worse a metric gets when one feature's values are shuffled among the rows (above zero: the model uses
    it), with the ends of its 95% interval (equal to it where there is none)."""

    figure: float
    low: float
    high: float


class Point(Record, kw_only=True):
    """The mean answer where a feature has one value for every row, with its 95% interval. `share` is that of the rows
    that really have the value, of a number: those up to it."""

    value: float
    figure: float
    low: float
    high: float
    share: float


def permutation_loss(
    metric: str,
    score: Score,
    x: Matrix,
    feature: int,
    *,
    y: NDArray[Any],
    known: NDArray[Any],
    threshold: float,
    value: Value | None,
    task: Task,
    blocks: NDArray[Any],
    repeats: int = 3,
    seed: int = 0,
) -> Loss:
    """Permutation importance of column `feature` of `x` [n, features] (Breiman 2001, Machine Learning 45; Fisher, Rudin
    & Dominici 2019, JMLR 20): `known` are the scores of `x` as it is.

    The figure is the mean over `repeats` shuffles; its variance is that of the rows, as in `paired_difference`, and
    that of the shuffles over their number.
    """
    found, sides = [], []
    generator = np.random.default_rng([seed, feature])
    for _ in range(repeats):
        other = x.copy()
        other[:, feature] = x[generator.permutation(len(x)), feature]
        told = paired_difference(
            metric,
            y=y,
            champion=score(other),
            challenger=known,
            threshold_champion=threshold,
            threshold_challenger=threshold,
            value=value,
            task=task,
            blocks=blocks,
            resamples=200,
            seed=seed,
        )
        found.append(told.difference)
        sides.append((told.high - told.low) / 2)
    figure = float(np.mean(found))
    shuffles = float(np.var(found, ddof=1)) / repeats if repeats > 1 else 0.0
    half = sqrt(float(np.mean(sides)) ** 2 + 4 * shuffles)
    return Loss(figure=figure, low=figure - half, high=figure + half)


def dependence(
    score: Score,
    x: Matrix,
    feature: int,
    values: NDArray[Any],
    *,
    blocks: NDArray[Any],
    category: bool,
    output: int | None = None,
) -> tuple[Point, ...]:
    """The partial dependence of the answer on column `feature` of `x` [n, features], at each of `values` (Friedman
    2001, Annals of Statistics 29): the mean over the rows of the answer with that value in place of their own. `output`
    is the class of which it is, where there are several. The interval is of the rows, blocks moving together."""
    index, count = block_index(blocks)
    cells = x[:, feature]
    points = []
    for value in values.tolist():
        other = x.copy()
        other[:, feature] = value
        scores = score(other)
        answers = np.asarray(scores if output is None else scores[:, output], dtype=np.float64)
        figure = float(answers.mean())
        half = 0.0
        if count > 1:
            half = t_quantile(0.975, count - 1) * block_error((answers - figure) / answers.size, index, count)
        held = cells == np.float32(value) if category else cells <= np.float32(value)
        points.append(
            Point(value=value, figure=figure, low=figure - half, high=figure + half, share=float(held.mean()))
        )
    return tuple(points)


def grid(cells: NDArray[np.float32], *, category: bool, most: int = 12) -> NDArray[np.float32]:
    """Values worth asking about, in order: quantiles from 2% to 98% of a number, the commonest codes of a category."""
    known = cells[np.isfinite(cells)]
    if not known.size:
        return known
    if category:
        codes, counts = np.unique(known, return_counts=True)
        return np.asarray(codes[np.argsort(-counts, kind="stable")][:most])
    distinct = np.unique(known)
    if distinct.size <= most:
        return distinct
    return np.unique(np.quantile(known, np.linspace(0.02, 0.98, most), method="nearest"))
