"""The user's own `postprocess(outputs)`: what a model's outputs are turned into before they are answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from trimtab.errors import PermanentError
from trimtab.inference.tensors.datatypes import canonical
from trimtab.inference.user_code import is_failure, load_function

PostprocessFunction = Callable[[dict[str, Any]], Mapping[str, Any]]
Named = list[dict[str, Any]]
_LARGEST = 8  # bytes of a number that JSON and tensors can hold


def load_postprocess(code: bytes, entry: str) -> PostprocessFunction:
    """The function `postprocess` of module `entry` (dotted) in a zip of modules. Loaded once per content.

    Raises PermanentError when the code cannot be imported or has no such function.
    """
    return load_function(code, entry, "postprocess", "outputs")


def postprocess(function: PostprocessFunction, outputs: Mapping[str, Any], rows: int) -> Named:
    """What the user's function makes of the outputs, one dict a row.

    It is given a dict of arrays [rows, ...] (lists, where rows differ in length) and returns one: an array, or a list
    with a value a row that JSON can hold (numbers, texts, lists, objects, arrays). Raises PermanentError when it raises
    or returns something else.
    """
    try:
        made: object = function(dict(outputs))
    except BaseException as error:
        if not is_failure(error):
            raise
        raise PermanentError(f"postprocess(outputs) raised {type(error).__name__}: {error}") from error
    if not isinstance(made, Mapping) or not made:
        raise PermanentError(f"postprocess(outputs) returned {type(made).__name__}; expected a dict of arrays or lists")
    told = {name: _checked(name, values, rows) for name, values in made.items()}
    return [{name: values[row] for name, values in told.items()} for row in range(rows)]


def _checked(name: object, values: object, rows: int) -> Any:
    if not isinstance(name, str) or not name:
        raise PermanentError(f"postprocess(outputs) returned an output named {name!r}; expected a text")
    if not isinstance(values, np.ndarray | list | tuple):
        raise PermanentError(f"postprocess(outputs) returned {type(values).__name__} for {name!r}; expected an array")
    found = 0 if isinstance(values, np.ndarray) and values.ndim == 0 else len(values)
    if found != rows:
        raise PermanentError(f"postprocess(outputs) returned {found} values for {name!r}, and there are {rows} rows")
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf" and values.dtype.itemsize <= _LARGEST:
        return canonical(values)
    values = values.tolist() if isinstance(values, np.ndarray) else values
    try:
        orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise PermanentError(f"postprocess(outputs) returned for {name!r} what JSON cannot hold: {error}") from error
    return values
