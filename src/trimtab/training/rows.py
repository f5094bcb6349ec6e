"""What the user's `train(train, valid, params)` is given, and how labels become numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.encode import encode_frame
from trimtab.records.metric import Task
from trimtab.records.model import Signature


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to validate on.

    `x` is the float32 matrix [rows, features] (missing numbers NaN, unknown categories -1); `y` is 0/1, the class
    index, or the number. `names` are the features, `categorical` the positions of the coded ones, `frame` the same
    features before coding (Polars), `time` the moments of prediction. `seen` is true for validation rows that the
    training rows hold as well, in the second fit of `refit`: stopping early on them would be wrong. `checkpoints` is a
    folder where `train` may keep what lets it go on after its process was killed: the same training finds it
    again, and it is removed when that has ended. It is not there before something is put into it. `signature` is
    what the model will take and answer.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    names: list[str]
    categorical: list[int]
    frame: pl.DataFrame
    time: pl.Series
    seen: bool = False
    checkpoints: str = ""
    signature: Signature | None = None

    def __len__(self) -> int:
        return len(self.y)

    def divided(self, share: float) -> tuple[Rows, Rows]:
        """The older `share` of the rows and the newer rest, as these are in order of time: to fit on the one and to
        calibrate, stop or choose on the other. Raises PermanentError when one of them would be empty."""
        count = round(share * len(self))
        if not 0 < count < len(self):
            raise PermanentError(f"{len(self)} rows cannot be divided at {share:g}", hint="use a share such as 0.8")
        return self._part(slice(0, count)), self._part(slice(count, len(self)))

    def _part(self, rows: slice) -> Rows:
        return replace(
            self, x=self.x[rows], y=self.y[rows], frame=self.frame[rows], time=self.time[rows], checkpoints=""
        )

    def coded(self) -> NDArray[np.float32]:
        """A copy of `x` in which unknown categories are missing (NaN) as well: for libraries without a code for them,
        as XGBoost is."""
        x = self.x.copy()
        x[:, self.categorical] = np.where(x[:, self.categorical] < 0, np.nan, x[:, self.categorical])
        return x

    @property
    def feature_types(self) -> list[str]:
        """What XGBoost calls each feature: "c" for a category, "q" for a number."""
        return ["c" if i in self.categorical else "q" for i in range(len(self.names))]


def rows_of(
    features: pl.DataFrame,
    y: NDArray[Any],
    time: pl.Series,
    signature: Signature,
    *,
    seen: bool,
    checkpoints: str = "",
) -> Rows:
    """Rows as the user's code sees them."""
    return Rows(
        x=encode_frame(features, signature),
        y=y,
        names=[feature.name for feature in signature.features],
        categorical=[i for i, feature in enumerate(signature.features) if feature.kind == "category"],
        frame=features,
        time=time,
        seen=seen,
        checkpoints=checkpoints,
        signature=signature,
    )


def classes_of(labels: Sequence[pl.Series], task: Task) -> tuple[str, ...]:
    """The classes, in order; for binary tasks the last is the positive one. Numbers order by value (0 before 1), false
    before true, strings by alphabet. Raises PermanentError when a binary task has not two."""
    if task == "regression":
        return ()
    values = pl.concat([column.drop_nulls().unique() for column in labels]).unique().sort()
    found = tuple(values.cast(pl.String).to_list())
    if values.dtype.is_float():
        found = tuple(f"{value:g}" for value in values.to_list())
    if task == "binary_classification" and len(found) != 2:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise PermanentError(
            f"column {labels[0].name!r} holds {len(found)} classes ({shown}); binary classification needs two"
        )
    if len(found) < 2:
        raise PermanentError(f"column {labels[0].name!r} holds one class only: {found[0] if found else 'none'}")
    return found


def encode_labels(labels: pl.Series, classes: Sequence[str], task: Task) -> NDArray[Any]:
    """Labels as numbers: float64 for regression, int64 positions in `classes` otherwise."""
    if task == "regression":
        if not (labels.dtype.is_numeric() or labels.dtype == pl.Boolean):
            raise PermanentError(f"label {labels.name!r} is {labels.dtype}; regression needs numbers")
        numbers = labels.cast(pl.Float64).to_numpy().astype(np.float64)
        if not np.isfinite(numbers).all():
            raise PermanentError(f"label {labels.name!r} holds values that are not finite numbers")
        return numbers
    words = (
        pl.Series([f"{value:g}" for value in labels.to_list()]) if labels.dtype.is_float() else labels.cast(pl.String)
    )
    codes = words.replace_strict(list(classes), list(range(len(classes))), return_dtype=pl.Int64)
    return codes.to_numpy().astype(np.int64)
