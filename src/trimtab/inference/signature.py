"""What a model takes in: learned from the training rows once, then the same for training, gates and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.errors import PermanentError
from trimtab.records.metric import Task
from trimtab.records.model import Column, ColumnKind, Feature, Signature

if TYPE_CHECKING:
    import polars as pl

MOST_CATEGORIES = 10_000


def fit_signature(
    inputs: pl.DataFrame,
    features: pl.DataFrame,
    task: Task,
    *,
    classes: tuple[str, ...] = (),
    threshold: float = 0.5,
) -> Signature:
    """Learn the signature from the training rows: `inputs` before, `features` after the user's `features(rows)`.

    Strings, categories and booleans become codes in a sorted vocabulary; numbers stay numbers. Raises PermanentError
    that names the column when a type cannot be fed to a model or a category has over 10,000 values.
    """
    if not features.columns:
        raise PermanentError("the model has no input column", hint="name at least one in `inputs` of [model]")
    return Signature(
        task=task,
        inputs=tuple(Column(name=name, kind=column_kind(name, dtype)) for name, dtype in inputs.schema.items()),
        features=tuple(_feature(features.get_column(name)) for name in features.columns),
        classes=classes,
        threshold=threshold,
    )


def column_kind(name: str, dtype: pl.DataType) -> ColumnKind:
    """The kind of a column that a caller sends. Raises PermanentError for a type that no caller could send."""
    import polars as pl  # here: importing a signature must not cost a server its start

    if dtype == pl.Boolean:
        return "boolean"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "category"
    if dtype.is_numeric() or dtype == pl.Null:
        return "number"
    if isinstance(dtype, pl.Datetime | pl.Date):
        return "time"
    raise PermanentError(
        f"column {name!r} of type {dtype} cannot be an input of a model",
        hint="leave it out with `inputs`, or turn it into numbers, strings, booleans or times in the source",
    )


def takes_rows_as_they_are(signature: Signature) -> bool:
    """True when a row's inputs have the names and kinds of the model's features, so that nothing needs deriving."""
    plain = [(c.name, "number" if c.kind == "number" else "category") for c in signature.inputs if c.kind != "time"]
    return len(plain) == len(signature.inputs) and plain == [(f.name, f.kind) for f in signature.features]


def _feature(column: pl.Series) -> Feature:
    kind = column_kind(column.name, column.dtype)
    if kind == "time":
        raise PermanentError(
            f"column {column.name!r} is a moment and cannot be fed to a model as it is",
            hint=f"derive numbers from {column.name!r} in features(rows) and drop it, or leave it out with `inputs`",
        )
    if kind == "number":
        return Feature(name=column.name, kind="number")
    if kind == "boolean":
        return Feature(name=column.name, kind="category", vocabulary=("false", "true"))
    import polars as pl

    values = column.cast(pl.String).drop_nulls().unique().sort().to_list()
    if len(values) > MOST_CATEGORIES:
        raise PermanentError(
            f"column {column.name!r} has {len(values):,} different values, over {MOST_CATEGORIES:,}",
            hint="a column that is almost a key teaches nothing: leave it out with `inputs`, or group its values",
        )
    return Feature(name=column.name, kind="category", vocabulary=tuple(values))
