"""Figures that are functions of sums over rows, as statistics: a bootstrap of them never asks a library again."""

from __future__ import annotations

from functools import partial
from math import inf

import numpy as np

from trimtab.measures.arrays import Floats
from trimtab.measures.metrics.statistic import Statistic, Undefined


def proportion(hits: Floats, trials: Floats, nothing: str) -> Statistic:
    """The share of `trials` [n] that are `hits` [n], with Wilson's interval. Raises Undefined with the reason `nothing`
    where there is no trial."""
    count = float(trials.sum())
    if count == 0.0:
        raise Undefined(nothing)
    figure = float(hits.sum()) / count
    columns = np.stack([hits, trials], axis=1)
    influence = (hits - figure * trials) / count
    return Statistic(figure, influence, columns, _ratio, trials=count, floor=0.0, ceiling=1.0)


def ratio(tops: Floats, bottoms: Floats, nothing: str, *, ceiling: float = inf) -> Statistic:
    """The sum of `tops` [n] over the sum of `bottoms` [n]. Raises Undefined with the reason `nothing` where the latter
    is zero."""
    total = float(bottoms.sum())
    if total == 0.0:
        raise Undefined(nothing)
    figure = float(tops.sum()) / total
    columns = np.stack([tops, bottoms], axis=1)
    influence = (tops - figure * bottoms) / total
    trials = _rows_of_perfect(figure, influence)
    return Statistic(figure, influence, columns, _ratio, trials=trials, floor=0.0, ceiling=ceiling)


def mean_of_ratios(tops: Floats, bottoms: Floats, nothing: str) -> Statistic:
    """The mean over columns of [n, k] of the ratio of their sums; those whose `bottoms` sum to zero count nothing.
    Raises Undefined with the reason `nothing` where all do."""
    totals = bottoms.sum(axis=0)
    here = totals > 0
    if not here.any():
        raise Undefined(nothing)
    tops, bottoms, totals = tops[:, here], bottoms[:, here], totals[here]
    ratios = tops.sum(axis=0) / totals
    influence = ((tops - ratios * bottoms) / totals).mean(axis=1)
    columns = np.concatenate([tops, bottoms], axis=1)
    combine = partial(_mean_ratio, width=tops.shape[1])
    figure = float(ratios.mean())
    trials = _rows_of_perfect(figure, influence)
    return Statistic(figure, influence, columns, combine, trials=trials, floor=0.0, ceiling=1.0)


def _rows_of_perfect(figure: float, influence: Floats) -> float | None:
    """How many rows a figure of 0 or 1 has behind it where they have no spread to see: it is as sure as they are
    many."""
    return float(influence.size) if figure in (0.0, 1.0) and not influence.any() else None


def _ratio(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _mean_ratio(sums: Floats, *, width: int) -> Floats:
    tops, bottoms = sums[..., :width], sums[..., width:]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = tops / bottoms
    here = bottoms > 0
    kept = here.sum(axis=-1)
    return np.where(kept > 0, np.where(here, ratios, 0.0).sum(axis=-1) / np.maximum(kept, 1), np.nan)
