"""The figures of a model on its validation rows, overall, by slice, and of the baseline beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.metrics.declared import decision_threshold, estimate, measurable
from trimtab.records.metric import Task
from trimtab.records.requirement import Estimate, Requirement, Value

_BASELINES = {"majority", "prior", "mean", "median"}


def threshold_of(task: Task, value: Value | None, rule: str | float = "break_even") -> float:
    """The decision threshold before anything is measured: the break-even of `value`, 0.5 where nothing has one; or the
    number that `rule` is."""
    if task != "binary_classification":
        return 0.5
    if not isinstance(rule, str):
        return float(rule)
    return decision_threshold(value) if value is not None else 0.5


def check_measurable(task: Task, requirements: Sequence[Requirement], baseline: str, columns: Sequence[str]) -> None:
    """Before anything is trained: raises PermanentError for a slice's column or a baseline that is not there."""
    if baseline not in _BASELINES:
        raise PermanentError(f"no baseline {baseline!r}", hint=f"use one of {', '.join(sorted(_BASELINES))}")
    for requirement in requirements:
        if requirement.by is not None and requirement.metric in measurable(task) and requirement.by not in columns:
            raise PermanentError(
                f"column {requirement.by!r} of requirement {requirement.metric} is missing",
                hint=f"found {', '.join(columns)}",
            )


class Evaluation:
    """Measures scores on one set of labelled rows. `day` [n] groups rows that may move together. `threshold` is the
    model's own; what it is compared with answers by the one that is declared."""

    def __init__(
        self,
        *,
        task: Task,
        y: NDArray[Any],
        day: NDArray[np.int64],
        value: Value | None,
        requirements: Sequence[Requirement],
        bootstrap: int,
        seed: int,
        threshold: float | None = None,
    ) -> None:
        self._task = task
        self._y = y
        self._day = day
        self._value = value
        self._declared = threshold_of(task, value)
        self._threshold = self._declared if threshold is None else threshold
        self._bootstrap = bootstrap
        self._seed = seed
        known = [name for name in measurable(task) if name != "value.per_1000" or value is not None]
        self._required = [r for r in requirements if r.metric in known]
        self._names = known

    def metrics(self, scores: NDArray[Any]) -> dict[str, Estimate]:
        """Every metric of the task; those that a requirement names with bootstrap intervals, the rest analytic.

        Raises PermanentError when a required metric is not a number.
        """
        required = {r.metric for r in self._required}
        found = {}
        for name in self._names:
            made = self._estimate(name, scores, None, self._bootstrap if name in required else 0)
            if name in required and (made.figure is None or not np.isfinite(made.figure)):
                raise PermanentError(f"{name} is not a number on {made.rows} validation rows: {made.reason}")
            found[name] = made
        return found

    def slices(self, scores: NDArray[Any], rows: pl.DataFrame) -> dict[str, Estimate]:
        """`metric|column=value` for every requirement with `by`; `rows` holds those columns, a row for each score."""
        found: dict[str, Estimate] = {}
        for requirement in self._required:
            if requirement.by is None:
                continue
            values = rows.get_column(requirement.by).cast(pl.String).fill_null("null").to_numpy()
            for value in sorted(set(values.tolist())):
                mask = values == value
                few = int(mask.sum()) < requirement.min_rows
                key = f"{requirement.metric}|{requirement.by}={value}"
                found[key] = self._estimate(requirement.metric, scores, mask, 0 if few else self._bootstrap)
        return found

    def baseline(self, kind: str, y_train: NDArray[Any], classes: int) -> dict[str, Estimate]:
        """The same metrics for answers that look at no feature: the classes' shares, the mean or the median."""
        return {
            name: self._estimate(name, scores, None, 0, threshold=self._declared)
            for scores in [baseline_scores(kind, self._task, y_train, classes, len(self._y))]
            for name in self._names
        }

    def _estimate(
        self,
        name: str,
        scores: NDArray[Any],
        mask: NDArray[np.bool_] | None,
        bootstrap: int,
        *,
        threshold: float | None = None,
    ) -> Estimate:
        chosen = slice(None) if mask is None else mask
        return estimate(
            name,
            y=self._y[chosen],
            score=scores[chosen],
            threshold=self._threshold if threshold is None else threshold,
            value=self._value,
            task=self._task,
            blocks=self._day[chosen],
            bootstrap=bootstrap,
            seed=self._seed,
        )


def baseline_scores(kind: str, task: Task, y_train: NDArray[Any], classes: int, count: int) -> NDArray[np.float64]:
    """Scores [count] or [count, classes] of the baseline."""
    if task == "regression":
        middle = np.median(y_train) if kind == "median" else y_train.mean()
        return np.full(count, float(middle))
    shares = np.bincount(y_train, minlength=classes) / len(y_train)
    return np.full(count, float(shares[1])) if task == "binary_classification" else np.tile(shares, (count, 1))


def days_of(moments: pl.Series) -> NDArray[np.int64]:
    """The day number of each moment, in UTC."""
    return moments.dt.epoch("d").cast(pl.Int64).to_numpy()


def labelled_metrics(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Estimates in one order, for a fact."""
    return dict(sorted(estimates.items()))
