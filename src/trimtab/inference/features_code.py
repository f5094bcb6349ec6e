"""The user's own `features(rows)`: the columns of a model from what a caller sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from trimtab.errors import PermanentError
from trimtab.inference.encode import normalise
from trimtab.inference.user_code import is_failure, load_function
from trimtab.records.model import Column, ModelBundle

if TYPE_CHECKING:
    import polars as pl

    from trimtab.records.blobs import Blobs

FeaturesFunction = Callable[["pl.DataFrame"], "pl.DataFrame"]


def load_features(code: bytes, entry: str) -> FeaturesFunction:
    """The function `features` of module `entry` (dotted) in a zip of modules. Loaded once per content.

    Raises PermanentError when the code cannot be imported or has no such function.
    """
    return load_function(code, entry, "features", "rows")


def derive(function: FeaturesFunction | None, rows: pl.DataFrame, inputs: Sequence[Column]) -> pl.DataFrame:
    """The feature frame of `rows`: its input columns, through the user's function where there is one.

    Raises PermanentError when a column is missing, the function raises, or it does not give one row for each row.
    """
    import polars as pl  # here: a server without features() never needs it

    frame = normalise(rows, inputs)
    if function is None:
        return frame
    try:
        made: object = function(frame)
    except BaseException as error:
        if not is_failure(error):
            raise
        raise PermanentError(f"features(rows) raised {type(error).__name__}: {error}") from error
    if not isinstance(made, pl.DataFrame):
        raise PermanentError(f"features(rows) returned {type(made).__name__}; expected a Polars DataFrame")
    if made.height != frame.height:
        raise PermanentError(f"features(rows) returned {made.height} rows for {frame.height}", hint="keep every row")
    return made


def apply_features(blobs: Blobs, bundle: ModelBundle, rows: pl.DataFrame) -> pl.DataFrame:
    """The feature frame that `encode_frame` takes, for any bundle."""
    function = load_features(blobs.get(bundle.features_code), bundle.entry) if bundle.features_code else None
    return derive(function, rows, bundle.signature.inputs)
