"""Rows to the model's float32 matrix and back. Frames and plain dicts give the same floats for the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.mistakes import UnfitCellError, mistaken, read_cell
from trimtab.inference.signature import takes_rows_as_they_are
from trimtab.records.model import Column, Signature

if TYPE_CHECKING:
    import polars as pl

Matrix = NDArray[np.float32]
_NAN = float("nan")
_UNFIT = (AttributeError, KeyError, OverflowError, TypeError, UnfitCellError)


def encode_frame(frame: pl.DataFrame, signature: Signature) -> Matrix:
    """The matrix [rows, features] of a frame that has every feature column (others are not looked at).

    Null numbers are NaN; null or unknown categories are -1. Raises PermanentError naming a column that is missing or
    has a type that does not fit.
    """
    import polars as pl  # here: a server that is sent plain rows never needs it

    matrix = np.empty((frame.height, len(signature.features)), dtype=np.float32)
    for position, feature in enumerate(signature.features):
        if feature.name not in frame.columns:
            raise PermanentError(f"column {feature.name!r} is missing", hint=f"found {', '.join(frame.columns)}")
        column = frame.get_column(feature.name)
        dtype = column.dtype
        if feature.kind == "number":
            if not (dtype.is_numeric() or dtype == pl.Null):
                raise PermanentError(f"column {feature.name!r} is {dtype}; expected a number")
            # Through float64, as a plain Python number goes: a 64-bit integer is then rounded the same way.
            with np.errstate(over="ignore"):  # beyond float32 is infinite, as in a row
                matrix[:, position] = column.cast(pl.Float64).to_numpy()
        elif dtype == pl.Null or not feature.vocabulary:
            matrix[:, position] = -1.0
        elif dtype == pl.Boolean or isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
            codes = column.cast(pl.String).replace_strict(
                list(feature.vocabulary),
                list(range(len(feature.vocabulary))),
                default=-1,
                return_dtype=pl.Int32,
            )
            matrix[:, position] = codes.fill_null(-1).to_numpy()
        else:
            raise PermanentError(f"column {feature.name!r} is {dtype}; expected strings, categories or booleans")
    return matrix


def normalise(frame: pl.DataFrame, inputs: Sequence[Column]) -> pl.DataFrame:
    """The input columns in the types that the user's `features(rows)` always sees, in training as in serving:
    Float64, String, Boolean and Datetime (microseconds, UTC). Raises PermanentError naming a column that is missing."""
    import polars as pl

    missing = [c.name for c in inputs if c.name not in frame.columns]
    if missing:
        raise PermanentError(f"column {missing[0]!r} is missing", hint=f"found {', '.join(frame.columns)}")
    types = {"number": pl.Float64, "category": pl.String, "boolean": pl.Boolean}
    chosen = []
    for column in inputs:
        if column.kind == "time":
            cast = pl.col(column.name).cast(pl.Datetime("us", _zone(frame.schema[column.name])))
            chosen.append(
                cast.dt.convert_time_zone("UTC")
                if _zone(frame.schema[column.name])
                else cast.dt.replace_time_zone("UTC")
            )
        else:
            chosen.append(pl.col(column.name).cast(types[column.kind]))
    return frame.select(chosen)


def _zone(dtype: pl.DataType) -> str | None:
    return getattr(dtype, "time_zone", None)


def decode_matrix(matrix: Matrix, signature: Signature) -> pl.DataFrame:
    """The matrix as a frame again: numbers as Float32 (NaN is null), categories as String (-1 is null)."""
    import polars as pl

    if matrix.ndim != 2 or matrix.shape[1] != len(signature.features):
        raise PermanentError(f"a matrix of shape {matrix.shape} does not have {len(signature.features)} features")
    columns = []
    for position, feature in enumerate(signature.features):
        cells = np.ascontiguousarray(matrix[:, position])
        if feature.kind == "number":
            columns.append(pl.Series(feature.name, cells, nan_to_null=True))
        else:
            codes = pl.Series(feature.name, cells.astype(np.int32))
            known = codes.set(codes < 0, None).cast(pl.UInt32)
            words = pl.Series(feature.name, list(feature.vocabulary), dtype=pl.String)
            columns.append(words.gather(known).alias(feature.name))
    return pl.DataFrame(columns)


class RowEncoder:
    """Plain dicts to the matrix, with everything looked up beforehand; for bundles without `features_code`."""

    def __init__(self, signature: Signature) -> None:
        if not takes_rows_as_they_are(signature):
            raise PermanentError("this model derives features: its rows must go through features(rows)")
        self._columns = signature.inputs
        self._names = [column.name for column in signature.inputs]
        self._pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*self._names) if len(self._names) > 1 else _single(self._names[0])
        )
        self._numbers = [i for i, f in enumerate(signature.features) if f.kind == "number"]
        self._codes: list[tuple[int, dict[str | None, float]]] = []
        self._flags: list[tuple[int, float, float]] = []
        for position, (column, feature) in enumerate(zip(signature.inputs, signature.features, strict=True)):
            if feature.kind == "category":
                codes: dict[str | None, float] = {word: float(code) for code, word in enumerate(feature.vocabulary)}
                if column.kind == "boolean":
                    self._flags.append((position, codes.get("true", -1.0), codes.get("false", -1.0)))
                else:
                    self._codes.append((position, {**codes, None: -1.0}))

    def matrix(self, rows: Sequence[Mapping[str, Any]]) -> Matrix:
        """The matrix [rows, features]. Raises MistakenRowsError naming the row (from 0), the column and what was
        expected, for columns that are missing, unknown or of the wrong type."""
        try:
            return self._encode(rows)
        except _UNFIT as error:
            wrong = mistaken(rows, self._columns)
            if wrong is None:  # a fault of ours
                raise
            raise wrong from error

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> Matrix:
        width = len(self._names)
        table = []
        for row in rows:
            cells = list(self._pick(row))
            if len(row) != width:
                raise KeyError
            for position, codes in self._codes:
                try:
                    cells[position] = codes[cells[position]]
                except KeyError:
                    cells[position] = _unknown(cells[position])
            for position, yes, no in self._flags:
                cell = cells[position]
                cells[position] = yes if cell is True else no if cell is False else _null(cell)
            for position in self._numbers:
                if type(cells[position]) is not float:
                    cells[position] = _number(cells[position])
            table.append(cells)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, as in a frame
            return np.array(table, dtype=np.float64).reshape(len(table), width).astype(np.float32)


def _unknown(cell: object) -> float:
    if type(cell) is not str:
        raise TypeError
    return -1.0


def _null(cell: object) -> float:
    if cell is not None:
        raise TypeError
    return -1.0


def _number(cell: object) -> float:
    if cell is None:
        return _NAN
    if type(cell) is int:
        return float(cell)
    raise TypeError


def frame_of_rows(rows: Sequence[Mapping[str, Any]], signature: Signature) -> pl.DataFrame:
    """Plain dicts as the frame that `features(rows)` sees (types as in `normalise`).

    Raises MistakenRowsError naming the row, the column and what was expected.
    """
    import polars as pl

    types: dict[str, Any] = {
        "number": pl.Float64,
        "category": pl.String,
        "boolean": pl.Boolean,
        "time": pl.Datetime("us", "UTC"),
    }
    names = [column.name for column in signature.inputs]
    cells: dict[str, list[Any]] = {name: [] for name in names}
    try:
        for row in rows:
            if row.keys() != cells.keys():
                raise KeyError
            for column in signature.inputs:
                cells[column.name].append(read_cell(column, row[column.name]))
    except _UNFIT as error:
        wrong = mistaken(rows, signature.inputs)
        if wrong is None:  # a fault of ours
            raise
        raise wrong from error
    return pl.DataFrame([pl.Series(c.name, cells[c.name], dtype=types[c.kind]) for c in signature.inputs])


def _single(name: str) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    return lambda row: (row[name],)
