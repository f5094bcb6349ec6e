"""What each answer loses: the same figures that metrics are means of, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats
from trimtab.measures.metrics.declared import better_when, statistic_of
from trimtab.records.metric import Task
from trimtab.records.requirement import Value

MEANS = frozenset({"value.per_1000", "quality.log_loss", "quality.accuracy", "quality.brier", "quality.mae"})
"""Metrics that are means of a figure per row."""


def row_losses(
    metric: str, *, y: NDArray[Any], score: NDArray[Any], threshold: float, value: Value | None, task: Task
) -> Floats:
    """By how much each row is bad [n], in one of `MEANS`; their mean is the metric, negated where higher is better.

    Raises Undefined where the metric does not exist for these rows, ValueError for one that is no mean.
    """
    if metric not in MEANS:
        raise ValueError(f"{metric} is no mean of rows")
    columns = statistic_of(metric, y=y, score=score, threshold=threshold, value=value, task=task).columns
    assert columns is not None
    sign = 1.0 if better_when(metric) == "lower" else -1.0
    return np.ascontiguousarray(sign * columns[:, 0])
