"""The protocol's binary form of a tensor: little-endian, row-major; a BYTES element behind its length, four bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.refusals import RefusalError

NUMBERS = {
    "FP16": "<f2", "BF16": "<u2", "FP32": "<f4", "FP64": "<f8",
    "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
_LENGTH = 4


def unpack(raw: bytes | memoryview, datatype: str, count: int, where: str) -> NDArray[Any] | list[bytes]:
    """The `count` values of a tensor: an array of numbers or booleans that is not copied, or bytes. Raises RefusalError
    (422) naming `where` when the bytes are more or fewer than the values need."""
    if datatype == "BYTES":
        return [bytes(one) for one in elements(raw, count, where)]
    dtype = np.dtype(NUMBERS.get(datatype, "?"))
    if len(raw) != count * dtype.itemsize:
        raise RefusalError(422, f"{where}: {len(raw)} bytes; {count} of {datatype} need {count * dtype.itemsize}")
    values = np.frombuffer(raw, dtype)
    if datatype == "BF16":  # the upper half of an FP32
        values = (values.astype("<u4") << 16).view("<f4")
    return values


def pack(elements: Sequence[bytes]) -> bytes:
    """BYTES elements in their binary form."""
    return b"".join([len(one).to_bytes(_LENGTH, "little") + one for one in elements])


def elements(raw: bytes | memoryview, count: int, where: str) -> list[bytes | memoryview]:
    """The `count` elements of a BYTES tensor, as views that are not copied. Raises RefusalError (422) naming `where`
    when the bytes are more or fewer than the elements need."""
    view = memoryview(raw)
    found: list[bytes | memoryview] = []
    offset = 0
    for place in range(count):
        start = offset + _LENGTH
        offset = start + int.from_bytes(view[offset:start], "little")
        if offset > len(view) or start > len(view):
            raise RefusalError(422, f"{where}: the bytes end within element {place} of {count}")
        found.append(view[start:offset])
    if offset != len(view):
        raise RefusalError(422, f"{where}: {len(view) - offset} bytes are left after {count} elements")
    return found
