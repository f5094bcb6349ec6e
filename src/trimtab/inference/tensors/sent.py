"""Rows of tensors on their way through a server: as they were sent, and as a model reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import blake3
import numpy as np
import orjson

from trimtab.inference.tensors.datatypes import DTYPES, datatype_of
from trimtab.inference.tensors.refused import InputError
from trimtab.inference.tensors.rows import Array, Given, RowReader, TensorRows

DIGEST = 16
_FORM = re.compile(
    r"(?P<name>.+?) (?:file|(?P<datatype>[A-Z0-9]+)\[(?P<shape>[0-9,]*)\])(?: of (?P<size>[0-9]+) bytes)?"
)


class Payload(NamedTuple):
    """The bytes of a row's inputs one behind the other, what they are (`image UINT8[3,128,128]`, `sound file of 20310
    bytes`; texts are told as JSON), and 16 bytes of blake3 that tell them from others."""

    data: bytes | memoryview
    form: str
    digest: bytes


class SentRow:
    """One row as it was sent: for each input its tensor [1, ...] or its file. What a model makes of it is kept, by the
    key of the encoding, so that no file is decoded twice for one."""

    __slots__ = ("_encoded", "_form", "_told", "given")

    def __init__(self, given: Mapping[str, Array | bytes | memoryview], form: str = "") -> None:
        self.given = given
        self._form = form  # of the payload, where it is known: then all inputs are tensors
        self._told: Payload | None = None
        self._encoded: dict[str, TensorRows | InputError] = {}

    @property
    def size(self) -> int:
        """Bytes."""
        return sum([one.nbytes if isinstance(one, np.ndarray) else len(one) for one in self.given.values()])

    def encoded(self, key: str, reader: RowReader) -> TensorRows:
        """The row as the model reads it. Raises InputError for a file that cannot be decoded."""
        found = self._encoded.get(key)
        if found is None:
            try:
                found = reader.decode(cast("Given", self.given) if self._form else _one_by_one(self.given))[0]
            except InputError as error:
                found = error
            self._encoded[key] = found
        if isinstance(found, InputError):
            raise found
        return found

    def payload(self) -> Payload:
        """What was sent, as bytes."""
        if self._told is None:
            parts = [_raw(one) for one in self.given.values()]
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            form = self._form or "; ".join(map(_form, self.given, self.given.values(), parts))
            self._told = Payload(data, form, blake3.blake3(data).digest(DIGEST))
        return self._told


def _one_by_one(given: Mapping[str, Array | bytes | memoryview]) -> Given:
    return {name: one if isinstance(one, np.ndarray) else [one] for name, one in given.items()}


def _raw(one: Array | bytes | memoryview) -> bytes | memoryview:
    if not isinstance(one, np.ndarray):
        return one
    if one.dtype == np.object_:
        return orjson.dumps(one.tolist())
    return np.ascontiguousarray(one).data.cast("B")


def _form(name: str, one: Array | bytes | memoryview, raw: bytes | memoryview) -> str:
    if not isinstance(one, np.ndarray):
        return f"{name} file of {len(raw)} bytes"
    shape = ",".join(map(str, one.shape[1:]))
    if one.dtype == np.object_:
        return f"{name} BYTES[{shape}] of {len(raw)} bytes"
    return f"{name} {datatype_of(one.dtype)}[{shape}]"


def sent_rows(given: Given, count: int) -> list[SentRow]:
    """The rows of a request; arrays are looked into and not copied."""
    if count == 1:
        return [SentRow({name: one if isinstance(one, np.ndarray) else one[0] for name, one in given.items()})]
    return [
        SentRow({name: one[row : row + 1] if isinstance(one, np.ndarray) else one[row] for name, one in given.items()})
        for row in range(count)
    ]


def from_payload(data: bytes | memoryview, form: str) -> SentRow:
    """The row that `SentRow.payload` told. Raises ValueError for a form that it never tells."""
    given: dict[str, Array | bytes | memoryview] = {}
    view, start = memoryview(data), 0
    for told in form.split("; "):
        match = _FORM.fullmatch(told)
        if match is None:
            raise ValueError(f"{told!r} is no form of an input")
        if match["size"] is not None:
            end = start + int(match["size"])
            data_of = bytes(view[start:end])
            texts = match["datatype"] is not None
            given[match["name"]] = np.array(orjson.loads(data_of), object) if texts else data_of
        else:
            dtype = DTYPES[match["datatype"]]  # type: ignore[index]
            shape = [int(size) for size in match["shape"].split(",") if size]
            end = start + math.prod(shape) * dtype.itemsize
            given[match["name"]] = np.frombuffer(view[start:end], dtype).reshape(1, *shape)
        start = end
    if start != len(view):
        raise ValueError(f"{len(view)} bytes are not {form!r}")
    return SentRow(given)


class EncodedRows:
    """Rows as a model of tensors reads them, and as they were sent."""

    __slots__ = ("rows", "sent")

    def __init__(self, rows: Sequence[TensorRows], sent: Sequence[SentRow]) -> None:
        self.rows = rows
        self.sent = sent

    def __len__(self) -> int:
        return len(self.sent)

    def __getitem__(self, places: slice) -> EncodedRows:
        return EncodedRows(self.rows[places], self.sent[places])

    @classmethod
    def joined(cls, parts: Sequence[EncodedRows]) -> EncodedRows:
        """All of them, in order."""
        return cls([one for part in parts for one in part.rows], [one for part in parts for one in part.sent])

    @property
    def size(self) -> int:
        """Bytes that were sent."""
        return sum([one.size for one in self.sent])


def encode_rows(sent: Sequence[Any], key: str, reader: RowReader) -> EncodedRows:
    """The rows as the model reads them. Raises InputError naming the row and the input."""
    rows = []
    for place, one in enumerate(sent):
        try:
            rows.append(one.encoded(key, reader))
            one.payload()  # here, where nobody else waits for it
        except InputError as error:
            raise InputError(f"row {place}, {error.message}", why=error.why, hint=error.hint) from error
    return EncodedRows(rows, sent)
