"""Estimates of the declared metrics with their 95% intervals, analytic or by bootstrap.

Analytic intervals come from each row's influence on the figure (the delta method), so every metric has one rule:
the figure plus or minus a quantile times its standard error. With `blocks` (the day of each row) rows of one block may
move together: influences are summed by block before squaring and Student's t with blocks - 1 degrees of freedom is
used. Blocks are taken never to make an estimate surer than independent rows would (design effect >= 1).
Proportions use Wilson's interval on the effective number of trials (trials / design effect, after Korn & Graubard
1998); the area under the ROC curve DeLong's variance, or Obuchowski's with blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.metrics import statistic as of
from trimtab.measures.metrics.answered.families import answered_metrics, better_when_answered
from trimtab.measures.metrics.estimates import estimate_of
from trimtab.measures.metrics.statistic import Answers, Statistic, Undefined
from trimtab.measures.metrics.worth import decision_threshold, value_of
from trimtab.records.metric import Task, is_answered
from trimtab.records.requirement import Estimate, Value

__all__ = ["better_when", "decision_threshold", "estimate", "estimates", "measurable", "statistic_of", "value_of"]

_BINARY: dict[str, Callable[[Answers], Statistic]] = {
    "quality.roc_auc": of.roc_auc,
    "quality.average_precision": of.average_precision,
    "quality.precision": of.precision,
    "quality.recall": of.recall,
    "quality.f1": of.f1,
    "quality.accuracy": of.accuracy,
    "quality.log_loss": of.log_loss,
    "quality.brier": of.brier,
    "quality.calibration_error": of.calibration_error,
}
_SEVERAL: dict[str, Callable[[Answers], Statistic]] = {
    "quality.f1": of.f1,
    "quality.accuracy": of.accuracy,
    "quality.log_loss": of.log_loss,
}
_NUMBER: dict[str, Callable[[Answers], Statistic]] = {
    "quality.mae": of.mae,
    "quality.rmse": of.rmse,
    "quality.r2": of.r2,
}
_BY_TASK: dict[Task, dict[str, Callable[[Answers], Statistic]]] = {
    "binary_classification": _BINARY,
    "multiclass_classification": _SEVERAL,
    "regression": _NUMBER,
}
_WORTH = "value.per_1000"
_LOWER = frozenset(f"quality.{name}" for name in ("log_loss", "brier", "calibration_error", "mae", "rmse"))


def measurable(task: Task) -> tuple[str, ...]:
    """The metrics that are measured for a task, `value.per_1000` last: by `estimate`, or where its answers are no
    scores by `estimate_of_answers`."""
    return answered_metrics(task) if is_answered(task) else (*_BY_TASK[task], _WORTH)


def estimate(
    metric: str,
    *,
    y: NDArray[Any],
    score: NDArray[Any],
    threshold: float,
    value: Value | None = None,
    task: Task,
    blocks: NDArray[Any] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> Estimate:
    """Measure one `quality.*` metric, or `value.per_1000`, on labelled rows.

    `y` [n]: 0/1, a class index, or a number; `score` [n]: P(positive) or the predicted number, or [n, K] class
    probabilities. `blocks` [n]: rows with the same block (the day) may move together. `bootstrap` 0 gives the analytic
    interval; n resamples blocks (rows without blocks) n times from `seed`. A figure that does not exist (no rows, one
    class, a score that is not finite) is None with the reason. Raises PermanentError for a metric the task has not.
    """

    def made() -> Statistic:
        return statistic_of(metric, y=y, score=score, threshold=threshold, value=value, task=task)

    rows = int(np.shape(y)[0])
    return estimate_of(made, rows, blocks=blocks, bootstrap=bootstrap, seed=seed, rarer=_rarer(y))


def estimates(
    metrics: Sequence[str],
    *,
    y: NDArray[Any],
    score: NDArray[Any],
    threshold: float,
    value: Value | None = None,
    task: Task,
    blocks: NDArray[Any] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict[str, Estimate]:
    """`estimate` for several metrics of the same rows, by name."""
    return {
        metric: estimate(
            metric,
            y=y,
            score=score,
            threshold=threshold,
            value=value,
            task=task,
            blocks=blocks,
            bootstrap=bootstrap,
            seed=seed,
        )
        for metric in metrics
    }


def statistic_of(
    metric: str, *, y: NDArray[Any], score: NDArray[Any], threshold: float, value: Value | None, task: Task
) -> Statistic:
    """The metric as a statistic of these rows: its figure and each row's influence on it.

    Raises Undefined where the figure does not exist for these rows, PermanentError for a metric the task has not.
    """
    measures = _BY_TASK[task]
    if metric not in measures and metric != _WORTH:
        raise PermanentError(f"{metric} cannot be measured for {task}", hint=f"it has {', '.join(measurable(task))}")
    answers = _answers(np.asarray(y), np.asarray(score), threshold, task)
    return measures[metric](answers) if metric in measures else _worth(answers, value, task)


def better_when(metric: str) -> Literal["higher", "lower"]:
    """The side on which a metric of `measurable` is better."""
    return "lower" if metric in _LOWER else better_when_answered(metric)


def _worth(answers: Answers, value: Value | None, task: Task) -> Statistic:
    if value is None:
        raise Undefined("no [value] is declared")
    return of.mean(value_of(answers.y, answers.score, answers.threshold, value, task), scale=1000.0)


def _answers(y: NDArray[Any], score: NDArray[Any], threshold: float, task: Task) -> Answers:
    """The rows as float64, refused with a reason when there are none or a cell is not a finite number."""
    if score.shape[0] != y.shape[0]:
        raise PermanentError(f"{y.shape[0]} labels but {score.shape[0]} scores", hint="give one score for each label")
    if (score.ndim == 2) != (task == "multiclass_classification"):
        raise PermanentError(f"scores of shape {score.shape} do not fit {task}", hint="[n, K] for several classes")
    if y.shape[0] == 0:
        raise Undefined("there are no labelled rows")
    kept = Answers(
        y=y.astype(np.float64),
        score=score.astype(np.float64),
        threshold=threshold,
        smallest=float(np.finfo(score.dtype).eps if score.dtype.kind == "f" else np.finfo(np.float64).eps),
    )
    for name, cells in (("scores", kept.score), ("labels", kept.y)):
        # A sum is finite only if every term is; the slow count is for the message.
        if not np.isfinite(cells.sum()) and (bad := int((~np.isfinite(cells)).sum())):
            raise Undefined(f"{bad} of {cells.size} {name} are not finite numbers")
    return kept


def _rarer(y: NDArray[Any]) -> float:
    positive = float(np.sum(y))
    return max(1.0, min(positive, np.size(y) - positive))
