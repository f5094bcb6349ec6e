"""A graph that is run on each row by itself, however many there are: many rows in one run of ONNX Runtime.

A heavy model takes as long for a row among many as for one alone, or longer, as what its layers hand on no longer fits
the processor's cache. Between two runs, though, a thread has to wait for the interpreter's lock, and goes through
Python that the cache has forgotten. The operator Scan walks over rows inside the runtime: its body is the model's own
graph, unchanged, which is given slices of one row, so that every row is answered as in a run of its own, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.errors import PermanentError
from trimtab.inference.session import open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_ALL = "rows of "
_LARGEST = 64 * 2**20  # bytes: a row of a larger graph takes so long that what is around it does not count
_OLDEST = 9  # the opset that brought Scan over an axis of rows
# The numbers that onnx.proto3 gives to fields, and to kinds of attributes and of numbers: they never change.
_MODEL_GRAPH, _MODEL_OPSETS = 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_GRAPH, _ATTRIBUTE_KIND = 1, 3, 6, 20
_KIND_INT, _KIND_GRAPH = 2, 5
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENTS = 1, 2, 1, 1
_ELEMENTS = {
    "float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9,
    "float16": 10, "double": 11, "uint32": 12, "uint64": 13, "bfloat16": 16,
}  # fmt: skip


class RowByRow:
    """A session that walks, with the `run` of one: of the inputs [n, ...], of the outputs [n, ...]."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, outputs: Sequence[str], feed: Mapping[str, Array]) -> list[Array]:
        """The outputs of that name for all rows. Raises what the runtime raises."""
        given = {_ALL + name: values[:, None] for name, values in feed.items()}
        found = self._session.run([_ALL + name for name in outputs], given)
        return [values.reshape(len(values), *values.shape[2:]) for values in found]


def row_by_row(file: Path, session: Any, row: Mapping[str, Array]) -> RowByRow | None:
    """What walks over rows with the graph in the `file` that `session` was made of; None where little is gained, or
    where that would not answer just as the session does, which is tried with the `row` [1, ...] and one of ones."""
    if file.stat().st_size > _LARGEST:
        return None
    inputs = {one.name: one.type for one in session.get_inputs()}
    outputs = {one.name: one.type for one in session.get_outputs()}
    if any(not isinstance(size, int) for one in session.get_outputs() for size in one.shape[1:]):
        return None  # rows may come to shapes that cannot be put together
    try:
        with TemporaryDirectory() as folder:  # a session of bytes would be made under the interpreter's lock
            path = Path(folder) / "row-by-row.onnx"
            path.write_bytes(walking_graph(file.read_bytes(), inputs, outputs))
            walking = RowByRow(open_session(path, trial=True))
        other = {name: values if values.dtype.kind in "OU" else np.ones_like(values) for name, values in row.items()}
        made = walking.run(list(outputs), {name: np.concatenate([row[name], other[name]]) for name in row})
        alone = [session.run(list(outputs), dict(one)) for one in (row, other)]
        same = all(_same(many, np.concatenate(each)) for many, *each in zip(made, *alone, strict=True))
    except Exception:  # the runtime's errors share no root; whatever it is, rows can be run one after the other
        return None
    return walking if same else None


def _same(one: Array, other: Array) -> bool:
    """To the bit."""
    if one.shape != other.shape:
        return False
    return bool((one == other).all()) if one.dtype.kind == "O" else one.tobytes() == other.tobytes()


def walking_graph(onnx: bytes, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> bytes:
    """The model whose graph is a Scan over rows, with the graph of the model `onnx` for a body. `inputs` and `outputs`
    are what the graph has, each with its type as the runtime tells it (`tensor(float)`). An input [1, ...] of the body
    is one [n, 1, ...] of the whole. Raises PermanentError for a graph that cannot be walked with."""
    graph, others = b"", []
    version = 0
    for number, raw, value in _fields(onnx):
        if number == _MODEL_GRAPH:
            graph = value
            continue
        others.append(raw)
        if number == _MODEL_OPSETS:
            version = max(version, _version_of(value))
    if version < _OLDEST:
        raise PermanentError(f"the graph is of opset {version}, and Scan of {_OLDEST}")
    node = b"".join([
        *(_text(_NODE_INPUT, _ALL + name) for name in inputs),
        *(_text(_NODE_OUTPUT, _ALL + name) for name in outputs),
        _text(_NODE_OPERATOR, "Scan"),
        _bytes(_NODE_ATTRIBUTE, _text(_ATTRIBUTE_NAME, "body") + _bytes(_ATTRIBUTE_GRAPH, graph)
               + _whole(_ATTRIBUTE_KIND, _KIND_GRAPH)),
        _bytes(_NODE_ATTRIBUTE, _text(_ATTRIBUTE_NAME, "num_scan_inputs") + _whole(_ATTRIBUTE_INT, len(inputs))
               + _whole(_ATTRIBUTE_KIND, _KIND_INT)),
    ])  # fmt: skip
    whole = b"".join(
        [
            _bytes(_GRAPH_NODE, node),
            _text(_GRAPH_NAME, "row by row"),
            *(_bytes(_GRAPH_INPUT, _value(name, kind)) for name, kind in inputs.items()),
            *(_bytes(_GRAPH_OUTPUT, _value(name, kind)) for name, kind in outputs.items()),
        ]
    )
    return b"".join([*others, _bytes(_MODEL_GRAPH, whole)])


def _value(name: str, kind: str) -> bytes:
    elements = _ELEMENTS.get(kind.removeprefix("tensor(").removesuffix(")"))
    if elements is None:
        raise PermanentError(f"{name!r} of the graph is a {kind}")
    tensor = _bytes(_TYPE_TENSOR, _whole(_TENSOR_ELEMENTS, elements))
    return _text(_VALUE_NAME, _ALL + name) + _bytes(_VALUE_TYPE, tensor)


def _version_of(opset: bytes) -> int:
    """Of the operators that ONNX itself has; 0 for those of others."""
    domain, version = b"", 0
    for number, raw, value in _fields(opset):
        if number == _OPSET_DOMAIN:
            domain = value
        elif number == _OPSET_VERSION:
            version = _number(raw, 1)[0]
    return version if domain in (b"", b"ai.onnx") else 0


# -- protobuf: https://protobuf.dev/programming-guides/encoding


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The fields of a message: number, all of its bytes, and the value of one that has a length."""
    place, end = 0, len(message)
    while place < end:
        begin = place
        key, place = _number(message, place)
        kind = key & 7
        if kind == 0:
            _, place = _number(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            size, place = _number(message, place)
            place += size
        else:
            raise PermanentError("not a model of ONNX")
        if place > end:
            raise PermanentError("the model of ONNX is cut off")
        yield key >> 3, message[begin:place], message[place - size : place] if kind == 2 else b""


def _number(message: bytes, place: int) -> tuple[int, int]:
    """The number of variable length that stands there, and where it ends."""
    found = shift = 0
    while place < len(message):
        byte = message[place]
        found |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return found, place
        shift += 7
    raise PermanentError("the model of ONNX is cut off")


def _told(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _whole(field: int, number: int) -> bytes:
    return _told(field << 3) + _told(number)


def _bytes(field: int, value: bytes) -> bytes:
    return _told(field << 3 | 2) + _told(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
