"""What was fitted on, as rows of a dataset: a key, a moment, the inputs and the label."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import PermanentError
from trimtab.records.metric import Task

if TYPE_CHECKING:
    import polars as pl

KEY, TIME = "row", "at"
_SPAN = timedelta(minutes=1)


@dataclass(frozen=True)
class Adopted:
    """`frame` has the key, the time, the inputs and the label. `invented_time`: the rows had none, so that their order
    stands for it."""

    frame: pl.DataFrame
    inputs: tuple[str, ...]
    key: str
    time: str
    label: str
    task: Task
    invented_time: bool


def rows_of(X: Any, y: Any, *, model: Any, time: str | None, key: str | None, label: str, now: datetime) -> Adopted:  # noqa: N803 - as everywhere
    """Take a pandas or Polars frame, or an array [n, features], and n labels.

    Without `time` rows are taken to be in order, one a minute, the last one at `now`. Raises PermanentError for what
    cannot be rows, and for a naive time.
    """
    import polars as pl

    frame = _frame(X)
    label = label or str(getattr(y, "name", None) or "label")
    answers = (
        pl.Series(label, y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y))
        if not isinstance(y, pl.Series)
        else y.alias(label)
    )
    if len(answers) != frame.height:
        raise PermanentError(f"X has {frame.height} rows and y has {len(answers)}", hint="give one label a row")
    if label in frame.columns:
        raise PermanentError(f"X has a column {label!r}, as the label is called", hint="name it otherwise: label=...")
    task = task_of(model, answers)
    if task == "regression":
        answers = answers.cast(pl.Float64)
    elif not (answers.dtype.is_integer() or answers.dtype == pl.Boolean):
        answers = answers.cast(pl.String)
    for name in (time, key):
        if name is not None and name not in frame.columns:
            raise PermanentError(f"X has no column {name!r}", hint=f"it has {', '.join(frame.columns)}")
    inputs = _inputs(model, frame.columns, time, key)
    if key is None:
        frame = frame.with_row_index(KEY)
    if time is None:
        last = now.replace(second=0, microsecond=0)
        moments = pl.datetime_range(
            last - (frame.height - 1) * _SPAN, last, interval=_SPAN, time_unit="us", time_zone="UTC", eager=True
        )
        frame = frame.with_columns(moments.alias(TIME))
    elif getattr(frame.schema[time], "time_zone", None) is None:
        raise PermanentError(
            f"column {time!r} is {frame.schema[time]}, not moments with a time zone",
            hint=f"convert it: pd.to_datetime(X[{time!r}], utc=True) in pandas (dayfirst=True for days such as "
            '18.07.2026), dt.replace_time_zone("UTC") in Polars',
        )
    frame = frame.with_columns(answers)
    return Adopted(
        frame=frame,
        inputs=inputs,
        key=key or KEY,
        time=time or TIME,
        label=label,
        task=task,
        invented_time=time is None,
    )


def _inputs(model: Any, columns: list[str], time: str | None, key: str | None) -> tuple[str, ...]:
    """The columns that the model was fitted on, in that order; where it does not tell them, all but time and key."""
    fitted = getattr(model, "feature_names_in_", None)
    inputs = tuple(name for name in columns if name not in (time, key))
    if fitted is not None and all(isinstance(name, str) for name in fitted):
        if missing := [str(name) for name in fitted if name not in columns]:
            if type(model).__module__.partition(".")[0] != "sklearn":  # LightGBM makes names of its own
                return inputs
            raise PermanentError(
                f"the model was fitted on column {missing[0]!r}, which X lacks", hint=f"X has {', '.join(columns)}"
            )
        return tuple(str(name) for name in fitted if name not in (time, key))
    count = getattr(model, "n_features_in_", len(inputs))
    if count not in (len(inputs), len(columns)):
        raise PermanentError(
            f"the model was fitted on {count} columns, and X has {len(inputs)}: {', '.join(inputs)}",
            hint="give the rows that it was fitted on, with the columns that time and key name",
        )
    return inputs


def task_of(model: Any, labels: pl.Series) -> Task:
    """What the estimator does, by its own word."""
    if hasattr(model, "predict_proba") or getattr(model, "_estimator_type", "") == "classifier":
        return "binary_classification" if labels.n_unique() == 2 else "multiclass_classification"
    return "regression"


def _frame(X: Any) -> pl.DataFrame:  # noqa: N803
    import polars as pl

    if isinstance(X, pl.DataFrame):
        return X
    if type(X).__module__.partition(".")[0] == "pandas":
        return pl.from_pandas(X)
    array = np.asarray(X)
    if array.ndim != 2:
        raise PermanentError(f"X has shape {array.shape}", hint="give a table: rows and columns")
    return pl.DataFrame(array, schema=[f"x{i}" for i in range(array.shape[1])], orient="row")
