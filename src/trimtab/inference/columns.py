"""Whole columns to the matrix, without rows in between: the same floats as `RowEncoder` gives, many times as fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.encode import Matrix
from trimtab.records.model import Signature

Cells = NDArray[Any] | Sequence[Any]
_PLAIN, _KNOWN = {float}, {float, int, type(None)}
_NAN = float("nan")


class ColumnEncoder:
    """For models that take their rows as they are. A column is an array of numbers or booleans, or a list of a row's
    cells: numbers, texts (as str, or bytes in UTF-8), booleans, None."""

    def __init__(self, signature: Signature) -> None:
        self._columns = [
            (column.name, column.kind, {word: float(code) for code, word in enumerate(feature.vocabulary)})
            for column, feature in zip(signature.inputs, signature.features, strict=True)
        ]

    def matrix(self, columns: Mapping[str, Cells], count: int) -> Matrix | None:
        """The matrix [count, features]. None where a column is missing or unknown, or a cell does not fit: then the
        rows tell what is wrong."""
        if len(columns) != len(self._columns):
            return None
        matrix = np.empty((count, len(self._columns)), np.float32)
        with np.errstate(over="ignore"):  # beyond float32 is infinite, as in a row
            for position, (name, kind, codes) in enumerate(self._columns):
                cells = columns.get(name)
                if cells is None:
                    return None
                made = _numbers(cells) if kind == "number" else _codes(cells, codes, boolean=kind == "boolean")
                if made is None:
                    return None
                matrix[:, position] = made
        return matrix


def _numbers(cells: Cells) -> Cells | None:
    if isinstance(cells, np.ndarray):
        # Through float64, as a plain Python number goes: a 64-bit integer is then rounded the same way.
        return cells.astype(np.float64) if cells.dtype.kind in "iu" else cells if cells.dtype.kind == "f" else None
    kinds = set(map(type, cells))
    if kinds <= _PLAIN:
        return cells
    if not kinds <= _KNOWN:
        return None
    try:
        return [_NAN if cell is None else float(cell) for cell in cells]
    except OverflowError:
        return None


def _codes(cells: Cells, codes: Mapping[str, float], *, boolean: bool) -> Cells | None:
    if boolean:
        yes, no = codes.get("true", -1.0), codes.get("false", -1.0)
        if isinstance(cells, np.ndarray):
            return np.where(cells, yes, no) if cells.dtype.kind == "b" else None
        found = [yes if cell is True else no if cell is False else -1.0 if cell is None else _NAN for cell in cells]
        return None if any(cell != cell for cell in found) else found  # noqa: PLR0124 - only NaN differs from itself
    if isinstance(cells, np.ndarray):
        return None
    coded = []
    for cell in cells:
        if isinstance(cell, bytes):
            try:
                text = cell.decode()
            except UnicodeDecodeError:
                return None
        elif type(cell) is str:
            text = cell
        elif cell is None:
            coded.append(-1.0)
            continue
        else:
            return None
        coded.append(codes.get(text, -1.0))
    return coded
