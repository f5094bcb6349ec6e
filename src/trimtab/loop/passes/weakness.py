"""Where a model does worse than another, or than it does on the whole."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.loop.past.history import MOMENT
from trimtab.loop.past.slicing import coded
from trimtab.measures.comparison.weak import weak_slices
from trimtab.measures.metrics.losses import row_losses
from trimtab.monitoring.surprise import promises
from trimtab.records.facts import ModelTrained
from trimtab.records.requirement import Value
from trimtab.records.slices import WeakSlice, WeakSlicesFound

RATE = 0.05
"""The share of false ones among what is told."""
SURPRISE = "surprise"
_LEAST = 100
_DAY = 86_400_000_000
_TOLD = 2


def loss_metric(system: System) -> str:
    """What slices are compared by: what answers are worth where that is declared, else the task's usual loss."""
    if has_worth(system.value):
        return "value.per_1000"
    return "quality.mae" if system.task == "regression" else "quality.log_loss"


def own_metric(system: System) -> str:
    """What a model's own slices are compared by: how much more the truth surprises it than it promises, or how far off
    it is."""
    return "quality.mae" if system.task == "regression" else SURPRISE


def has_worth(value: Value | None) -> bool:
    """Whether answers have a worth at all."""
    if value is None:
        return False
    outcomes = (value.true_positive, value.false_positive, value.true_negative, value.false_negative)
    return any((*outcomes, value.correct, value.wrong, value.missed, value.absolute_error))


def losses(system: System, y: NDArray[np.float64], score: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """What each answer loses [n], in `loss_metric`: above is worse."""
    return row_losses(loss_metric(system), y=y, score=score, threshold=threshold, value=system.value, task=system.task)


def weak_where(
    system: System, rows: pl.DataFrame, worse: NDArray[np.float64], models: Iterable[ModelTrained]
) -> tuple[WeakSlice, ...]:
    """Slices of `rows` by what the models are told (and requirements are sliced by) in which `worse` [n] is above
    zero. `rows` has the moment of each."""
    names = [column.name for model in models for column in model.bundle.signature.inputs]
    names += [r.by for r in system.requirements if r.by is not None]
    days = rows[MOMENT].to_physical().to_numpy() // _DAY
    return weak_slices(coded(rows, list(dict.fromkeys(names)), _LEAST), worse, days, min_rows=_LEAST, rate=RATE)


def found(
    system: System,
    release: str,
    rows: pl.DataFrame,
    *,
    y: NDArray[np.float64],
    model: tuple[ModelTrained, NDArray[np.float64]],
    other: tuple[ModelTrained, NDArray[np.float64]] | None = None,
) -> WeakSlicesFound:
    """The fact of a candidate's weak slices, from its scores of `rows` and another model's. Alone, it is measured by
    its own promises: where no model can do well is no weakness. Raises Undefined where answers cannot be told good or
    bad one by one."""
    fact, score = model
    metric = loss_metric(system) if other is not None else own_metric(system)
    if other is not None:
        theirs = losses(system, y, other[1], other[0].bundle.signature.threshold)
        worse = losses(system, y, score, fact.bundle.signature.threshold) - theirs
    elif metric == SURPRISE:
        worse = promises(y, score)[1]
        worse -= worse.mean()
    else:
        error = np.abs(y - score)
        worse = error - error.mean()
    return WeakSlicesFound(
        release=release,
        model=fact.identity.id,
        against="" if other is None else other[0].identity.id,
        metric=metric,
        rows=rows.height,
        rate=RATE,
        slices=weak_where(system, rows, worse, [fact] if other is None else [fact, other[0]]),
    )


def warning(fact: WeakSlicesFound) -> str:
    """The worst slices in words, for the line that a gate's decision gives; empty where there are none."""
    if not fact.slices:
        return ""
    told = [f"{s.in_words} ({s.effect:.3g}, {s.low:.3g} to {s.high:.3g}, {s.rows:,} rows)" for s in fact.slices]
    more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return f"worse in {fact.metric} where {'; '.join(told[:_TOLD])}{more}"
