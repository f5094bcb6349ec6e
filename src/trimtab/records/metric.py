"""What is known about a metric before anything is measured."""

from __future__ import annotations

from typing import Literal

from trimtab.records.base import Record

Task = Literal[
    "binary_classification",
    "multiclass_classification",
    "regression",
    "detection",
    "segmentation",
    "recognition",
    "transcription",
]
ScoredTask = Literal["binary_classification", "multiclass_classification", "regression"]
"""Tasks whose answer is a score, of a row of columns."""
Place = Literal["data", "release", "shadow", "canary", "live"]
Option = Literal["quantile", "distance"]
UnitFamily = Literal["ratio", "number", "time", "size", "rate", "money"]


PART = "class"
"""What `by` is called where a figure is told of each class of boxes or pixels."""


def is_answered(task: str) -> bool:
    """Whether a task's answers are no scores, but boxes, masks, identities or texts, about images and sounds."""
    return task in ("detection", "segmentation", "recognition", "transcription")


class Metric(Record, kw_only=True):
    """A metric that some stage can measure.

    `name` is dotted (`quality.roc_auc`); limits are kept in the base unit of `unit`: ratio and number as they are,
    time in seconds, size in bytes, rate per second, money in the declared currency.
    `places` says where the figure can be had; `tasks` is empty when it fits every task. `takes_columns` may be limited
    to `one_column`; `options` are further keys that a requirement on it may have.
    """

    name: str
    unit: UnitFamily
    better: Literal["higher", "lower"]
    places: tuple[Place, ...]
    meaning: str
    tasks: tuple[Task, ...] = ()
    sliceable: bool = False
    takes_columns: bool = False
    one_column: bool = False
    options: tuple[Option, ...] = ()
