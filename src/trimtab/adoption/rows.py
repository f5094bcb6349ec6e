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
    if not frame.height:
        raise PermanentError("X has no rows", hint="give the rows that the model was fitted on")
    if label in frame.columns:
        raise PermanentError(f"X has a column {label!r}, as the label is called", hint="name it otherwise: label=...")
    task = task_of(model, answers)
    answers = _told(answers, task)
    for name in (time, key):
        if name is not None and name not in frame.columns:
            raise PermanentError(f"X has no column {name!r}", hint=f"it has {', '.join(frame.columns)}")
        if name is not None and (empty := frame.get_column(name).null_count()):
            raise PermanentError(
                f"column {name!r} is empty in {empty:,} rows", hint="leave these rows out, or fill them"
            )
    if key is not None and (twice := frame.get_column(key).filter(frame.get_column(key).is_duplicated())).len():
        raise PermanentError(
            f"column {key!r} is no key: {twice.len():,} rows share theirs with others, such as {twice[0]!r}",
            hint="name a column that tells each row from all others, or leave `key` out: rows are then numbered",
        )
    inputs = _inputs(model, frame.columns, time, key)
    if moment := next((name for name in inputs if frame.schema[name] == pl.Datetime), None):
        told = f"column {moment!r} holds moments, and no model takes them as they are"
        raise PermanentError(told, hint=f"say time={moment!r} where it tells when a row was, or fit without it")
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


def _told(labels: pl.Series, task: Task) -> pl.Series:
    """The labels as they are kept: numbers for a regression, else whole numbers, truth values or texts."""
    import polars as pl

    if labels.dtype.is_float():
        labels = labels.fill_nan(None)
    if missing := labels.null_count():
        raise PermanentError(
            f"y has no value in {missing:,} of its {len(labels):,} rows", hint="give the rows that it was fitted on"
        )
    if task == "regression":
        try:
            return labels.cast(pl.Float64)
        except pl.exceptions.PolarsError as error:
            raise PermanentError(
                f"y is {labels.dtype}, and the model answers with numbers",
                hint="give the numbers that it was fitted on",
            ) from error
    if labels.dtype.is_float() and (labels == labels.round()).all():
        return labels.cast(pl.Int64)  # 1.0 is class 1, whose truth callers tell as 1
    return labels if labels.dtype.is_integer() or labels.dtype == pl.Boolean else labels.cast(pl.String)


def task_of(model: Any, labels: pl.Series) -> Task:
    """What the estimator does, by its own word. Raises PermanentError for one that answers neither with a class nor
    with a number."""
    tags = getattr(model, "__sklearn_tags__", None)
    kind = tags().estimator_type if tags is not None else None
    if kind == "classifier" or (kind is None and hasattr(model, "predict_proba")):
        return "binary_classification" if labels.n_unique() == 2 else "multiclass_classification"
    if tags is None or kind == "regressor":
        return "regression"
    raise PermanentError(
        f"{type(model).__name__} is {f'a {kind}'.replace('_', ' ') if kind else 'no model'}: it tells neither a class "
        "nor a number for a row",
        hint="adopt a classifier or a regressor; anything else that is ONNX can be served: `trimtab serve model.onnx`",
    )


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
