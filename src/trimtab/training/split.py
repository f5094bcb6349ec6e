"""The time-ordered split: validate on the newest rows, train only on what was known before the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from trimtab.errors import PermanentError
from trimtab.records.metric import Task

if TYPE_CHECKING:
    import polars as pl

LEAST_TRAIN = 20
LEAST_VALID = 10
_MOMENT = "__trimtab_moment"


class LabelledDataset(Protocol):
    """The parts of a dataset's declaration that a split needs (times in seconds)."""

    @property
    def key(self) -> tuple[str, ...]: ...
    @property
    def time(self) -> str: ...
    @property
    def label(self) -> str | None: ...
    @property
    def label_delay(self) -> float: ...
    @property
    def predict_before(self) -> float: ...


@dataclass(frozen=True)
class Split:
    """`train` and `valid` in order of time and key. Every other row is accounted for: `gap` rows lie between the two,
    their truth not yet known at the first validation moment; `dropped` counts the rest by reason."""

    train: pl.DataFrame
    valid: pl.DataFrame
    gap: int
    dropped: dict[str, int]


def split(
    frame: pl.DataFrame,
    *,
    spec: LabelledDataset,
    now: datetime,
    window: float | None,
    holdout: float,
    task: Task | None = None,
) -> Split:
    """Split labelled rows as they could be known at `now`.

    A row's moment is its time less `predict_before`; its truth is known `label_delay` seconds later. Of the rows whose
    truth is known at `now` and whose moment lies within `window` seconds before `now`, the newest `holdout` seconds
    are for validation; those whose truth was known at or before the first validation moment are for training.
    Raises PermanentError when either has too few rows, or (for classes) only one class.
    """
    import polars as pl  # here: the worker and the loop need it, a look at the split's limits does not

    label = spec.label
    if label is None:
        raise PermanentError("the dataset has no label to learn from")
    for name in (label, spec.time, *spec.key):
        if name not in frame.columns:
            raise PermanentError(
                f"column {name!r} is missing", hint=f"found {', '.join(n for n in frame.columns if n[0] != '_')}"
            )
    if getattr(frame.schema[spec.time], "time_zone", None) is None:
        raise PermanentError(f"column {spec.time!r} is {frame.schema[spec.time]}; expected moments with a time zone")
    dropped: dict[str, int] = {}

    def keep(rows: pl.DataFrame, reason: str, condition: pl.Expr) -> pl.DataFrame:
        kept = rows.filter(condition.fill_null(value=False))
        if rows.height != kept.height:
            dropped[reason] = rows.height - kept.height
        return kept

    has_label = pl.col(label).is_not_null()
    if frame.schema[label].is_float():
        has_label &= pl.col(label).is_not_nan()
    moment = pl.col(spec.time).dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
    delay = timedelta(seconds=spec.label_delay)
    rows = keep(frame, "no time", pl.col(spec.time).is_not_null())
    rows = keep(rows, "no label", has_label)
    rows = rows.with_columns((moment - timedelta(seconds=spec.predict_before)).alias(_MOMENT))
    rows = keep(rows, "truth not yet known", pl.col(_MOMENT) + delay <= now)
    if window is not None:
        rows = keep(rows, "before the window", pl.col(_MOMENT) >= now - timedelta(seconds=window))
    rows = rows.sort(_MOMENT, *spec.key, maintain_order=True)
    _enough(rows.height, LEAST_TRAIN + LEAST_VALID, "labelled", dropped)
    newest = rows[_MOMENT][-1]
    valid = rows.filter(pl.col(_MOMENT) > newest - timedelta(seconds=holdout))
    _enough(valid.height, LEAST_VALID, "validation", dropped)
    earlier = rows.head(rows.height - valid.height)
    train = earlier.filter(pl.col(_MOMENT) + delay <= valid[_MOMENT][0])
    _enough(train.height, LEAST_TRAIN, "training", dropped)
    if task is None or task.endswith("classification"):
        for name, part in (("training", train), ("validation", valid)):
            _several(part.get_column(label), name)
    return Split(
        train=train.drop(_MOMENT), valid=valid.drop(_MOMENT), gap=earlier.height - train.height, dropped=dropped
    )


def moments(frame: pl.DataFrame, time: str, predict_before: float) -> pl.Series:
    """The moments of prediction, in UTC and microseconds."""
    import polars as pl

    column = frame.get_column(time).dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
    return column - timedelta(seconds=predict_before)


def _enough(found: int, least: int, which: str, dropped: dict[str, int]) -> None:
    if found < least:
        left_out = "; left out: " + ", ".join(f"{n} {reason}" for reason, n in dropped.items()) if dropped else ""
        raise PermanentError(
            f"too few {which} rows: {found}, need {least}{left_out}",
            hint="wait for more labelled rows, or change `window` or `holdout` in [model]",
        )


def _several(labels: pl.Series, which: str) -> None:
    found: Sequence[object] = labels.unique().to_list()
    if len(found) < 2:
        raise PermanentError(
            f"the {which} rows hold one class only: {labels.name} = {found[0]}",
            hint="a longer `window` or `holdout` in [model] may hold both",
        )
