"""Whether the user's own functions work from the code that is stored with a model: tried before it is relied on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.errors import PermanentError, TrimtabError
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import FeaturesFunction, derive, load_features
from trimtab.inference.postprocess_code import Named, PostprocessFunction, load_postprocess, postprocess
from trimtab.records.model import Column, Signature

WHOLE = "code.zip"
_ALONE = 16


class StoredCode:
    """The zips in a job's `folder`: what one function needs, and all of the user's code. `entry` is dotted."""

    def __init__(self, folder: Path, entry: str) -> None:
        self._folder = folder
        self._entry = entry

    def features(self, raw: pl.DataFrame, made: pl.DataFrame, signature: Signature, columns: Sequence[Column]) -> str:
        """The smallest stored code whose `features` gives what the user's `made` of `raw`, for a row alone as among
        others. Raises PermanentError where none does."""
        wanted = encode_frame(made, signature)
        problem = ""
        for name in ("features.zip", WHOLE):
            try:
                function = load_features(self._read(name), self._entry)
                found = encode_frame(derive(function, raw, columns), signature)
            except TrimtabError as error:
                problem = error.message
                continue
            if np.array_equal(found, wanted, equal_nan=True):
                _check_alone(function, raw, wanted, signature=signature, columns=columns)
                return name
            problem = "it gives other values when it is called again"
        raise PermanentError(
            f"features(rows) does not work from its stored code: {problem}",
            hint="make it depend on its rows and on the modules beside model.py alone",
        )

    def postprocess(self, own: PostprocessFunction, outputs: Mapping[str, NDArray[Any]]) -> str:
        """The smallest stored code whose `postprocess` gives what the user's `own` does for these outputs [rows, ...],
        for a row alone as among others. Raises PermanentError where none does."""
        rows = len(next(iter(outputs.values())))
        wanted = _postprocessed(own, outputs, slice(0, rows))
        problem = ""
        for name in ("postprocess.zip", WHOLE):
            try:
                function = load_postprocess(self._read(name), self._entry)
                found = _postprocessed(function, outputs, slice(0, rows))
            except TrimtabError as error:
                problem = error.message
                continue
            if all(map(_same, found, wanted)):
                for row in _some(rows):
                    if not _same(_postprocessed(function, outputs, slice(row, row + 1))[0], wanted[row]):
                        raise PermanentError(
                            "postprocess(outputs) makes something else of a row alone than among other rows",
                            hint="a server sees one row at a time: derive each row's answer from the row itself",
                        )
                return name
            problem = "it gives other values when it is called again"
        raise PermanentError(
            f"postprocess(outputs) does not work from its stored code: {problem}",
            hint="make it depend on the outputs and on the modules beside model.py alone",
        )

    def _read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()


def _check_alone(
    function: FeaturesFunction,
    raw: pl.DataFrame,
    wanted: NDArray[np.float32],
    *,
    signature: Signature,
    columns: Sequence[Column],
) -> None:
    """Refuse features that a row gets from its neighbours: a server sees it alone."""
    for row in _some(raw.height):
        found = encode_frame(derive(function, raw.slice(row, 1), columns), signature)
        same = np.isclose(found[0], wanted[row], rtol=1e-5, atol=1e-6, equal_nan=True)
        if not same.all():
            name = signature.features[int(np.flatnonzero(~same)[0])].name
            raise PermanentError(
                f"features(rows) gives column {name!r} another value for a row alone than among other rows",
                hint="a server sees one row at a time: derive features from the row itself, or use a feature view",
            )


def _some(rows: int) -> list[int]:
    found: list[int] = np.linspace(0, rows - 1, min(_ALONE, rows)).astype(int).tolist()
    return found


def _postprocessed(function: Callable[..., Any], outputs: Mapping[str, NDArray[Any]], rows: slice) -> Named:
    part = {name: values[rows].copy() for name, values in outputs.items()}
    return postprocess(function, part, rows.stop - rows.start)


def _same(one: Any, other: Any) -> bool:
    """Equal, floats within their rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray | np.generic | float) and isinstance(other, np.ndarray | np.generic | float):
        left, right = np.asarray(one), np.asarray(other)
        if left.dtype.kind == "f":
            return left.shape == right.shape and bool(np.allclose(left, right, rtol=1e-5, atol=1e-6, equal_nan=True))
        return bool(np.array_equal(left, right))
    return bool(one == other)
