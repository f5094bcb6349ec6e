"""Who is served better, and who worse: each group against all other rows, as a difference and as a ratio.

Both come with intervals that hold for all groups of a column together (Bonferroni). Blocks of rows (days) are drawn
with replacement, the same draws for the group and for the others, because a bad day is bad for both; the standard error
is the spread of the draws times sqrt(B/(B-1)), or that of independent rows where it is larger, with Student's t of
B - 1 degrees of freedom, for the ratio on the logarithmic scale.

Shares of answers are the field's criteria: `selected` equal in all groups is demographic parity, `true_positive_rate`
equal is equality of opportunity, both rates equal are equalised odds (Hardt, Price & Srebro 2016, NeurIPS 29).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, hypot, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats, Ints, block_index
from trimtab.measures.intervals import row_error, t_quantile, wilson
from trimtab.measures.metrics.declared import statistic_of
from trimtab.measures.metrics.resample import resampled
from trimtab.measures.metrics.statistic import Statistic, Undefined
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Value

SHARES = ("selected", "true_positive_rate", "false_positive_rate")
MEAN_ERROR = "mean_error"
LEAST_ROWS = 30
"""Rows below which a group is not compared: hardly anything could be seen."""
_RESAMPLES = 800


class Compared(Record, kw_only=True):
    """One group's figure beside that of all other rows: `difference` is the group's less theirs, `ratio` the group's
    over theirs (None where it has no meaning), each with the ends of its interval. `apart` tells whether the difference
    lies beyond chance."""

    group: str
    rows: int
    figure: float
    others: float
    difference: float
    low: float
    high: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None

    @property
    def apart(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.low > 0 or self.high < 0


def compare_groups(
    metric: str,
    groups: NDArray[Any],
    *,
    y: NDArray[Any],
    score: NDArray[Any],
    threshold: float,
    value: Value | None,
    task: Task,
    blocks: NDArray[Any],
    seed: int = 0,
) -> tuple[Compared, ...]:
    """Each group of at least LEAST_ROWS rows against the others, in order of the groups' names.

    `groups` [n] says which group a row is of, `blocks` [n] which rows may move together; the rest as in `statistic_of`.
    `metric` is one of those, of SHARES (binary tasks) or MEAN_ERROR (regression: prediction less truth). Groups for
    which the figure does not exist are left out.
    """
    index, count = block_index(blocks)
    names, sizes = np.unique(groups, return_counts=True)
    large = [name for name, size in zip(names.tolist(), sizes.tolist(), strict=True) if size >= LEAST_ROWS]
    if count < 2 or len(large) < 1 or len(names) < 2:
        return ()
    wide = t_quantile(1 - 0.025 / len(large), count - 1) * sqrt(count / (count - 1))

    def of(mask: NDArray[np.bool_]) -> tuple[Statistic, Ints]:
        found = _statistic(metric, y=y[mask], score=score[mask], threshold=threshold, value=value, task=task)
        return found, index[mask]

    compared = []
    for name in large:
        mask = groups == name
        try:
            (ours, here), (theirs, there) = of(mask), of(~mask)
        except Undefined:
            continue
        drawn = [resampled(s, i, count, _RESAMPLES, seed) for s, i in ((ours, here), (theirs, there))]
        least = hypot(_alone(ours), _alone(theirs))
        half = wide * max(_spread(drawn[0] - drawn[1]), least)
        difference = ours.figure - theirs.figure
        ratio = {} if metric in (MEAN_ERROR, "value.per_1000") else _ratio(ours, theirs, drawn, wide)
        compared.append(
            Compared(
                group=name,
                rows=int(mask.sum()),
                figure=ours.figure,
                others=theirs.figure,
                difference=difference,
                low=difference - half,
                high=difference + half,
                **ratio,
            )
        )
    return tuple(compared)


def criteria(task: Task, required: Sequence[str]) -> tuple[str, ...]:
    """What groups are compared by: the field's criteria for the task, then what is required of it."""
    own = {"binary_classification": SHARES, "regression": (MEAN_ERROR, "quality.mae")}
    found = own.get(task, ("quality.accuracy",))
    return tuple(dict.fromkeys((*found, *required)))


def _spread(draws: Floats) -> float:
    kept = draws[np.isfinite(draws)]
    return float(kept.std(ddof=1)) if kept.size > _RESAMPLES / 2 else float("inf")


def _alone(found: Statistic) -> float:
    """The standard error of a figure were its rows independent: days never make it surer than that. Of a share it is
    half of Wilson's interval at one standard error, which is not nothing where the share is 0 or 1."""
    error = row_error(found.influence) if found.influence.size > 1 else 0.0
    if found.trials is None:
        return error
    low, high = wilson(found.figure, found.trials, 1.0)
    return max(error, (high - low) / 2)


def _ratio(ours: Statistic, theirs: Statistic, drawn: Sequence[Floats], wide: float) -> dict[str, float]:
    """The ratio with its interval; nothing where it does not exist."""
    if ours.figure <= 0 or theirs.figure <= 0:
        return {}
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = _spread(np.log(drawn[0]) - np.log(drawn[1]))
    error = wide * max(spread, hypot(_alone(ours) / ours.figure, _alone(theirs) / theirs.figure))
    ratio = ours.figure / theirs.figure
    if not error < 700:
        return {"ratio": ratio}
    return {"ratio": ratio, "ratio_low": exp(log(ratio) - error), "ratio_high": exp(log(ratio) + error)}


def _statistic(
    metric: str, *, y: NDArray[Any], score: NDArray[Any], threshold: float, value: Value | None, task: Task
) -> Statistic:
    own: dict[str, Callable[[Floats, Floats], Statistic]] = {
        "selected": lambda _, said: _share(said, np.ones(said.size)),
        "true_positive_rate": lambda truth, said: _share(said * truth, truth),
        "false_positive_rate": lambda truth, said: _share(said * (1 - truth), 1 - truth),
    }
    if metric in own:
        return own[metric](np.asarray(y, dtype=np.float64), (score >= threshold).astype(np.float64))
    if metric == MEAN_ERROR:
        return _share(np.asarray(score - y, dtype=np.float64), np.ones(len(y)), bounded=False)
    return statistic_of(metric, y=y, score=score, threshold=threshold, value=value, task=task)


def _share(hits: Floats, trials: Floats, *, bounded: bool = True) -> Statistic:
    total = float(trials.sum())
    if total == 0:
        raise Undefined("no row counts")
    figure = float(hits.sum()) / total
    return Statistic(
        figure,
        (hits - figure * trials) / total,
        np.stack([hits, trials], axis=1),
        _quotient,
        trials=total if bounded else None,
    )


def _quotient(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])
