"""From a statistic of rows to an estimate: its figure with its 95% interval, analytic or by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Ints, block_index
from trimtab.measures.intervals import block_error, normal_quantile, row_error, t_quantile, wilson
from trimtab.measures.metrics.resample import bootstrap_interval
from trimtab.measures.metrics.statistic import Statistic, Undefined
from trimtab.records.requirement import Estimate


def estimate_of(
    make: Callable[[], Statistic],
    rows: int,
    *,
    blocks: NDArray[Any] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    rarer: float = 1.0,
    shares_by_wilson: bool = False,
) -> Estimate:
    """The estimate of the statistic that `make` gives of `rows` rows; one that raises Undefined has no figure, and the
    reason.

    `blocks` [n]: rows with the same block (the day) may move together. `bootstrap` 0 gives the analytic interval; n
    resamples blocks (rows without blocks) n times from `seed`. `rarer` is how many rows the rarer class has, where that
    is all that says how sure a perfect figure is. With `shares_by_wilson` a proportion is not resampled.
    """
    try:
        statistic = make()
    except Undefined as undefined:
        return Estimate(figure=None, rows=rows, reason=str(undefined))
    index, count = (None, rows) if blocks is None else block_index(blocks)
    reason = ""
    if index is not None and count < 2:
        index, count, reason = None, rows, "one block only: the interval takes rows as independent"
    low: float | None
    high: float | None
    if bootstrap > 0 and count > 1 and not (shares_by_wilson and statistic.trials is not None):
        low, high = bootstrap_interval(statistic, index, count, bootstrap, seed)
    else:
        low, high = _interval(statistic, index, count, rarer)
    return Estimate(figure=statistic.figure, low=low, high=high, rows=rows, reason=reason)


def _interval(statistic: Statistic, index: Ints | None, count: int, rarer: float) -> tuple[float | None, float | None]:
    """The analytic 95% interval; None where one row gives no spread and the figure has no natural range."""
    influence = statistic.influence
    if influence.size < 2:
        known = np.isfinite(statistic.floor) and np.isfinite(statistic.ceiling)
        return (statistic.floor, statistic.ceiling) if known else (None, None)
    error = row_error(influence)
    quantile = normal_quantile(0.975)
    effect = 1.0
    if index is not None:
        quantile = t_quantile(0.975, count - 1)
        clustered = block_error(influence, index, count)
        effect = (clustered / error) ** 2 if clustered > error else 1.0
        error = max(error, clustered)
    if statistic.trials is not None:
        return wilson(statistic.figure, statistic.trials / effect, quantile)
    if error == 0.0 and statistic.weighted is not None:
        # Perfectly parted classes have no spread to see: as sure as the rarer class's rows are many.
        return wilson(statistic.figure, rarer, quantile)
    return (
        max(statistic.floor, statistic.figure - quantile * error),
        min(statistic.ceiling, statistic.figure + quantile * error),
    )
