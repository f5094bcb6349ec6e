"""The values of a tensor, whatever form they came in: JSON, base64 or the protocol's binary form."""

from __future__ import annotations

import binascii
from array import array
from base64 import b64decode
from collections.abc import Mapping, Sequence
from itertools import chain
from math import nan, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.execution.questions import brief
from trimtab.serving.open_inference.binary import NUMBERS, elements
from trimtab.serving.refusals import RefusalError

_BOOL = np.dtype("?")
_MOST_DIMENSIONS = 16
NOT_ALL_NUMBERS = frozenset(name for name in NUMBERS if name not in ("FP16", "FP32", "FP64"))
"""Datatypes that not every number of JSON is one of."""


def values_of(tensor: Mapping[str, Any], where: str) -> NDArray[Any] | list[bytes | memoryview]:
    """An array of the tensor's shape, little-endian and read-only, or for BYTES its elements in order.

    What came in binary form is a view into the request and not copied. Numbers in JSON may be nested or flat; null is
    NaN in floats. A JSON string stands for its UTF-8 bytes, or, where the tensor's parameters have the `content_type`
    base64, for what it encodes. Raises RefusalError (422) naming `where`, what was found and what was expected.
    """
    shape = shape_of(tensor, where)
    datatype = tensor.get("datatype")
    raw = tensor.get("raw")
    raw = raw if isinstance(raw, bytes | memoryview) else None  # anything else was in the JSON of a caller
    if datatype == "BYTES":
        return elements(raw, prod(shape), where) if raw is not None else _strings(tensor, shape, where)
    form = "?" if datatype == "BOOL" else NUMBERS.get(datatype) if isinstance(datatype, str) else None
    if form is None:
        raise RefusalError(422, f"{where}: datatype {brief(datatype)} is none of the protocol's")
    dtype = np.dtype(form)
    if raw is None:
        return _numbers(list_of(tensor, where), str(datatype), dtype, shape, where)
    need = prod(shape) * dtype.itemsize
    if len(raw) != need:
        raise RefusalError(422, f"{where}: {len(raw):,} bytes; shape {list(shape)} of {datatype} needs {need:,}")
    found = np.frombuffer(raw, dtype)
    if datatype == "BF16":  # the upper half of an FP32
        found = (found.astype("<u4") << 16).view("<f4")
    elif dtype == _BOOL and found.view("u1").max(initial=0) > 1:
        raise RefusalError(422, f"{where}: a BOOL is a byte of 0 or 1")
    return found.reshape(shape)


def shape_of(tensor: Mapping[str, Any], where: str) -> tuple[int, ...]:
    """The shape of a tensor. Raises RefusalError (422) unless it is a list of sizes."""
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= _MOST_DIMENSIONS
        or not all(type(size) is int and 0 <= size < 2**48 for size in shape)
    ):
        raise RefusalError(422, f"{where}: shape {brief(shape)}; expected a list of sizes, rows first")
    return tuple(shape)


def _numbers(data: list[Any], datatype: str, dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> NDArray[Any]:
    if datatype == "BF16":
        raise _without_form(where)
    flat = _flat(data, shape, where)
    if len(flat) != prod(shape):
        raise RefusalError(422, f"{where}: {len(flat):,} values; shape {list(shape)} needs {prod(shape):,}")
    if dtype == _BOOL:
        wrong = next((place for place, one in enumerate(flat) if type(one) is not bool), None)
        if wrong is not None:
            raise _odd(flat, wrong, "true or false", where)
        found = np.array(flat, _BOOL)
    elif dtype.kind == "f":
        found = _floats(flat, dtype, where)
    else:
        found = _integers(flat, datatype, dtype, where)
    found = found.reshape(shape)
    found.flags.writeable = False
    return found


def _floats(flat: Sequence[Any], dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    try:
        cells = array("d", flat)
    except (TypeError, OverflowError):  # null is there, or what is no number
        wrong = next((n for n, one in enumerate(flat) if one is not None and not isinstance(one, float | int)), None)
        if wrong is not None:
            raise _odd(flat, wrong, "a number or null", where) from None
        cells = array("d", [nan if one is None else one for one in flat])
    with np.errstate(over="ignore"):  # beyond the type is infinite
        return np.frombuffer(cells, "f8").astype(dtype)


def _integers(flat: Sequence[Any], datatype: str, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    """As they are: none is changed by the type."""
    limits = np.iinfo(dtype)
    try:
        found = np.frombuffer(array("q" if dtype.kind == "i" else "Q", flat), dtype.kind + "8")
    except (TypeError, OverflowError):
        found = np.zeros(0, dtype)
    if len(found) == len(flat) and (not len(flat) or limits.min <= found.min() <= found.max() <= limits.max):
        return found.astype(dtype)
    wrong = next(
        (n for n, one in enumerate(flat) if not isinstance(one, int) or not limits.min <= one <= limits.max), 0
    )
    raise _odd(flat, wrong, f"a whole number from {limits.min} to {limits.max} ({datatype})", where)


def _odd(flat: Sequence[Any], place: int, expected: str, where: str) -> RefusalError:
    return RefusalError(422, f"{where}, element {place}: expected {expected}, got {brief(flat[place])}")


def check_numbers(data: Sequence[Any], datatype: str, where: str) -> None:
    """Raises RefusalError (422) for a number in JSON that is none of that datatype, one of `NOT_ALL_NUMBERS`; whatever
    is no number at all is left to whoever reads the rows."""
    if datatype == "BF16":
        raise _without_form(where)
    limits = np.iinfo(NUMBERS[datatype])
    for place, one in enumerate(data):
        if (type(one) is int and not limits.min <= one <= limits.max) or type(one) is float:
            raise _odd(data, place, f"a whole number from {limits.min} to {limits.max} ({datatype})", where)


def list_of(tensor: Mapping[str, Any], where: str) -> list[Any]:
    """The `data` of a tensor in JSON. Raises RefusalError (422) where it is no list."""
    data = tensor.get("data")
    if isinstance(data, list):
        return data
    parameters = tensor.get("parameters")
    if data is None and isinstance(parameters, Mapping):
        if "shared_memory_region" in parameters:
            raise without_shared_memory(where)
        if "binary_data_size" in parameters:
            hint = "the header inference-header-content-length tells where the bytes of tensors begin"
            raise RefusalError(422, f"{where}: its bytes are not there", hint=hint)
    raise RefusalError(422, f"{where}: `data` must be a list, got {brief(data)}")


def without_shared_memory(where: str) -> RefusalError:
    """What whoever sends or wants a tensor in shared memory is told."""
    return RefusalError(422, f"{where}: shared memory is not offered", hint="send its bytes, or its values as `data`")


def _without_form(where: str) -> RefusalError:
    return RefusalError(422, f"{where}: BF16 has no form in JSON", hint="send its bytes, with binary_data_size")


def _strings(tensor: Mapping[str, Any], shape: tuple[int, ...], where: str) -> list[bytes | memoryview]:
    data = _flat(list_of(tensor, where), shape, where)
    if len(data) != prod(shape):
        raise RefusalError(422, f"{where}: {len(data):,} values; shape {list(shape)} needs {prod(shape):,}")
    parameters = tensor.get("parameters")
    kind = parameters.get("content_type") if isinstance(parameters, Mapping) else None
    if kind not in (None, "str", "base64"):
        raise RefusalError(422, f"{where}: content_type {brief(kind)}; expected str or base64")
    found: list[bytes | memoryview] = []
    for place, one in enumerate(data):
        if isinstance(one, bytes | memoryview):
            found.append(one)
        elif not isinstance(one, str):
            raise RefusalError(422, f"{where}, element {place}: expected a string, got {brief(one)}")
        elif kind == "base64":
            try:
                found.append(b64decode(one, validate=True))
            except (binascii.Error, ValueError) as error:
                raise RefusalError(422, f"{where}, element {place}: not base64: {error}") from error
        else:
            found.append(one.encode("utf-8", "surrogatepass"))
    return found


def _flat(data: list[Any], shape: tuple[int, ...], where: str) -> Sequence[Any]:
    """The values of `data`, nested as `shape` says or not. Raises RefusalError (422) where it is nested otherwise."""
    level, sizes = data, [len(data)]
    while level and isinstance(level[0], list):
        size = len(level[0])
        if not all(isinstance(part, list) and len(part) == size for part in level):
            raise RefusalError(422, f"{where}: `data` is not nested evenly")
        level = list(chain.from_iterable(level))
        sizes.append(size)
    if len(sizes) > 1 and tuple(sizes) != shape:
        raise RefusalError(422, f"{where}: `data` is nested as {sizes}; its shape says {list(shape)}")
    return level
