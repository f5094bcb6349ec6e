"""Is the challenger better than the champion on the same rows? A paired difference with its interval."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats, Ints, block_index, block_sums
from trimtab.measures.intervals import block_error, normal_quantile, row_error, t_quantile
from trimtab.measures.metrics.declared import better_when, statistic_of
from trimtab.measures.metrics.losses import MEANS
from trimtab.measures.metrics.resample import draw_weights, without_each_block
from trimtab.measures.metrics.statistic import Statistic, Undefined
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Value


class Paired(Record, frozen=True, kw_only=True):
    """Challenger against champion on the same rows, above zero is better for the challenger.

    `low`..`high` is the 95% interval of `difference`; `verdict` is `better` or `worse` only where it leaves zero out.
    `smallest_detectable` is the true difference that this much evidence would find four times in five (None where no
    difference could be found); `method` says how the interval was made, `reason` why there is none. `error` is the
    standard error of the difference.
    """

    difference: float
    low: float
    high: float
    rows: int
    verdict: Literal["better", "worse", "no_difference"]
    smallest_detectable: float | None
    blocks: int = 0
    method: str = ""
    reason: str = ""
    error: float | None = None


def paired_difference(
    metric: str,
    *,
    y: NDArray[Any],
    champion: NDArray[Any],
    challenger: NDArray[Any],
    threshold_champion: float,
    threshold_challenger: float,
    value: Value | None,
    task: Task,
    blocks: NDArray[Any] | None,
    resamples: int = 2000,
    seed: int = 0,
) -> Paired:
    """Difference of one metric between two models' scores of the same labelled rows.

    `y` [n]; `champion` and `challenger` scores [n] or [n, K]; `blocks` [n] says which rows may move together (the day).

    Metrics that are means of a figure per row: the blocks are drawn with replacement `resamples` times, on block sums,
    and the percentile interval is stretched by t(B-1)/z * sqrt(B/(B-1)), because with few blocks the plain one is too
    narrow (Hesterberg 2015, The American Statistician 69(4)); it is never made narrower than the t interval on block
    sums. Other metrics: difference plus or minus Student's quantile times the standard error by leaving out each block
    in turn (jackknife, Efron & Stein 1981: errs on the wide side). Without blocks: the standard error of the rows'
    difference of influence, for the area under the ROC curve DeLong's paired test (DeLong et al. 1988). A single block
    cannot show how days differ: never a decision.
    """

    def made(one: tuple[NDArray[Any], float]) -> Statistic:
        return statistic_of(metric, y=y, score=one[0], threshold=one[1], value=value, task=task)

    models = (champion, threshold_champion), (challenger, threshold_challenger)
    return paired_statistics(metric, made, models, int(np.shape(y)[0]), blocks=blocks, resamples=resamples, seed=seed)


_Model = TypeVar("_Model")


def paired_statistics(
    metric: str,
    made: Callable[[_Model], Statistic],
    models: tuple[_Model, _Model],
    rows: int,
    *,
    blocks: NDArray[Any] | None,
    resamples: int = 2000,
    seed: int = 0,
) -> Paired:
    """`paired_difference` of what `made` tells of the champion and the challenger in `models`, on the same `rows`."""
    try:
        old, new = (made(one) for one in models)
    except Undefined as undefined:
        return _incomparable(rows, str(undefined))
    if rows < 2:
        return _incomparable(rows, f"{rows} rows cannot be compared")
    sign = 1.0 if better_when(metric) == "higher" else -1.0
    difference = sign * (new.figure - old.figure)
    influence = sign * (new.influence - old.influence)
    if blocks is None:
        error = row_error(influence)
        wide, power = normal_quantile(0.975), normal_quantile(0.8)
        method = "paired DeLong" if metric == "quality.roc_auc" else "normal interval over rows"
        return _paired(difference, (wide * error,) * 2, (wide + power) * error, rows, method, error=error)
    index, count = block_index(blocks)
    if count < 2:
        return _incomparable(rows, "one block only: how much days differ cannot be seen")
    additive = metric in MEANS
    error = block_error(influence, index, count) if additive else _jackknife_error(new, old, index, count)
    wide = t_quantile(0.975, count - 1)
    found = (wide + t_quantile(0.8, count - 1)) * error
    if not additive or error == 0.0:
        method = f"t interval over {count} blocks"
        return _paired(difference, (wide * error,) * 2, found, rows, method, count, error=error)
    units = block_sums(np.stack([sign * _per_row(new, old), np.ones(rows)], axis=1), index, count)
    weights = draw_weights(np.random.default_rng(seed), resamples, count)
    sums = weights @ units
    low, high = np.quantile(sums[:, 0] / sums[:, 1] - difference, [0.025, 0.975])
    stretch = wide / normal_quantile(0.975) * sqrt(count / (count - 1))
    sides = (max(wide * error, -stretch * float(low)), max(wide * error, stretch * float(high)))
    method = f"bootstrap of {count} blocks, stretched for their number"
    return _paired(difference, sides, found, rows, method, count, error=error)


def _per_row(new: Statistic, old: Statistic) -> Floats:
    if new.columns is None or old.columns is None:
        raise AssertionError("an additive metric is a mean of its first column")
    return np.asarray(new.columns[:, 0] - old.columns[:, 0])


def _jackknife_error(new: Statistic, old: Statistic, index: Ints, count: int) -> float:
    """Standard error of the difference by leaving out each block; blocks whose loss leaves no figure are passed over,
    and where that leaves fewer than two, or blocks are very many, the influences are used."""
    if count <= 400:
        left = without_each_block(new, index, count) - without_each_block(old, index, count)
        left = left[np.isfinite(left)]
        if left.size > 1:
            return float(np.sqrt((left.size - 1) * left.var()))
    return block_error(new.influence - old.influence, index, count)


def _paired(  # noqa: PLR0917 - one caller's results, in order
    difference: float,
    sides: tuple[float, float],
    detectable: float,
    rows: int,
    method: str,
    blocks: int = 0,
    *,
    error: float,
) -> Paired:
    """`sides` are the lengths of the interval below and above the difference. Plain numbers: they are shown as JSON."""
    low, high = float(difference - sides[0]), float(difference + sides[1])
    verdict: Literal["better", "worse", "no_difference"] = (
        "better" if low > 0 else "worse" if high < 0 else "no_difference"
    )
    return Paired(
        difference=float(difference),
        low=low,
        high=high,
        rows=rows,
        verdict=verdict,
        smallest_detectable=float(detectable),
        blocks=blocks,
        method=method,
        error=float(error),
    )


def _incomparable(rows: int, reason: str) -> Paired:
    return Paired(
        difference=0.0, low=0.0, high=0.0, rows=rows, verdict="no_difference", smallest_detectable=None, reason=reason
    )
