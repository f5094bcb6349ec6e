"""Tensors of a request: into the rows or the matrix of a question, with whatever is wrong named.

A tensor is a mapping with `name`, `datatype`, `shape` and its values: `data`, a list, flat or one list a row, or `raw`,
little-endian bytes as in the protocol's binary form.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.inference.columns import Cells
from trimtab.records.model import ColumnKind
from trimtab.serving.execution.questions import Question, brief, refuse_many
from trimtab.serving.open_inference.binary import NUMBERS, unpack
from trimtab.serving.open_inference.outputs import output_names
from trimtab.serving.open_inference.tensor_inputs import read_given
from trimtab.serving.open_inference.values import NOT_ALL_NUMBERS, check_numbers, list_of
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import ENCODED, Release

DATATYPES: dict[ColumnKind, tuple[str, frozenset[str]]] = {
    "number": ("FP64", frozenset(NUMBERS)),
    "category": ("BYTES", frozenset(("BYTES",))),
    "boolean": ("BOOL", frozenset(("BOOL",))),
    "time": ("BYTES", frozenset(("BYTES",))),
}
_ENTITY = ("BYTES", NUMBERS.keys() | {"BYTES", "BOOL"})  # what features are looked up by: a text, or a number
_NAN = float("nan")
Tensor = Mapping[str, Any]


def read_inputs(question: Question, inputs: object, most: int) -> None:
    """Fills a question from the tensors of a request: one of encoded rows, or one a column. Raises RefusalError naming
    the input, row or column."""
    if not isinstance(inputs, list) or not inputs:
        raise RefusalError(422, f"`inputs`: expected a list of tensors, got {brief(inputs)}")
    core = question.target.tensors
    if core is not None:
        question.ask_tensors([read_given(inputs, core)], core, most)
        return
    first = inputs[0]
    if (
        len(inputs) == 1
        and isinstance(first, dict)
        and first.get("name") == ENCODED
        and not question.target.hides_encoded
    ):
        _read_encoded(question, first, most)
    else:
        question.ask_columns(*_read_columns(question, inputs, most))


def read_outputs(names: Sequence[str], release: Release) -> tuple[str, ...]:
    """The outputs that are asked for. Raises RefusalError naming the first that the model has not."""
    known = output_names(release)
    wrong = next((name for name in names if name not in known), None)
    if not names or wrong is not None:
        raise RefusalError(422, f"`outputs`: {brief(wrong if names else [])}; expected some of {', '.join(known)}")
    return tuple(names)


def _read_encoded(question: Question, tensor: Tensor, most: int) -> None:
    width = question.target.width
    shape = tensor.get("shape")
    if tensor.get("datatype") != "FP32":
        raise RefusalError(422, f"input '{ENCODED}': datatype {brief(tensor.get('datatype'))}; expected FP32")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] != width or type(shape[0]) is not int:
        raise RefusalError(422, f"input '{ENCODED}': shape {brief(shape)}; expected [rows, {width}]")
    count = shape[0]
    if not 0 < count <= most:
        refuse_many(count, most)
    question.count = count
    raw = tensor.get("raw")
    if raw is not None and isinstance(raw, bytes | memoryview):  # anything else was in the JSON of a caller
        if len(raw) != 4 * count * width:
            raise RefusalError(
                422, f"input '{ENCODED}': {len(raw)} bytes; shape {shape} of FP32 needs {4 * count * width}"
            )
        question.matrix = bytes(raw)  # a copy: within the body its floats may lie at any address
        return
    data = tensor.get("data")
    if type(data) is not list or (data and type(data[0]) is list):
        data = _flat(tensor, ENCODED, width)
    if len(data) != count * width:
        raise RefusalError(422, f"input '{ENCODED}': {len(data)} numbers; shape {shape} needs {count * width}")
    try:
        question.matrix = question.target.pack_row(*data) if count == 1 else array("f", data).tobytes()
    except (TypeError, OverflowError, struct.error):
        question.matrix = array("f", _numbers(data, width)).tobytes()


def _numbers(data: Sequence[object], width: int) -> list[float]:
    numbers = []
    for position, cell in enumerate(data):
        if cell is None:
            numbers.append(_NAN)
        elif isinstance(cell, int | float):
            numbers.append(float(cell))
        else:
            row, column = divmod(position, width)
            raise RefusalError(
                422, f"input '{ENCODED}', row {row}, feature {column}: expected a number or null, got {brief(cell)}"
            )
    return numbers


def _read_columns(question: Question, inputs: list[Any], most: int) -> tuple[dict[str, Cells], int]:
    kinds = {column.name: column.kind for column in question.target.signature.inputs}
    lookups = question.lookups if question.lookups is not None and question.lookups.views else None
    entities = set() if lookups is None else lookups.entities()
    columns: dict[str, Cells] = {}
    count = -1
    for position, tensor in enumerate(inputs):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise RefusalError(422, f"inputs[{position}]: expected a tensor with name, datatype, shape and data")
        name = tensor["name"]
        kind = kinds.get(name)
        if kind is None and name not in entities:
            raise RefusalError(422, f"unknown column {name!r}", hint=f"the model takes {', '.join(kinds)}")
        if name in columns:
            raise RefusalError(422, f"column {name!r} is given twice")
        usual, allowed = _ENTITY if kind is None else DATATYPES[kind]
        if not isinstance(tensor.get("datatype"), str) or tensor["datatype"] not in allowed:
            raise RefusalError(422, f"column {name!r}: datatype {brief(tensor.get('datatype'))}; expected {usual}")
        rows = _rows_of(tensor.get("shape"), name)
        if count == -1:
            refuse_many(rows, most)
            count = rows
        elif rows != count:
            raise RefusalError(422, f"column {name!r}: {rows} rows; the first column has {count}")
        columns[name] = _values(tensor, name, count)
    optional = set() if lookups is None else lookups.optional(question.target)
    missing = next((name for name in kinds if name not in columns and name not in optional), None)
    if missing is not None:
        raise RefusalError(422, f"column {missing!r} is missing", hint=f"the model takes {', '.join(kinds)}")
    return columns, count


def _values(tensor: Tensor, name: str, count: int) -> Cells:
    raw = _raw(tensor)
    if raw is not None:
        found = unpack(raw, tensor["datatype"], count, f"column {name!r}")
        return _texts(found, name) if isinstance(found, list) else found
    data = tensor.get("data")
    if type(data) is not list or (data and type(data[0]) is list):
        data = _flat(tensor, name, 1)
    if len(data) != count:
        raise RefusalError(422, f"column {name!r}: {len(data)} values; its shape says {count}")
    if tensor["datatype"] in NOT_ALL_NUMBERS:
        check_numbers(data, tensor["datatype"], f"column {name!r}")
    return _texts(data, name) if data and isinstance(data[0], bytes) else data


def _raw(tensor: Tensor) -> bytes | memoryview | None:
    raw = tensor.get("raw")
    return raw if isinstance(raw, bytes | memoryview) else None  # anything else was in the JSON of a caller


def _texts(data: Sequence[Any], name: str) -> list[Any]:
    texts = []
    for row, one in enumerate(data):
        try:
            texts.append(one.decode() if isinstance(one, bytes) else one)
        except UnicodeDecodeError as error:
            raise RefusalError(422, f"row {row}, column {name!r}: expected UTF-8, got {brief(repr(one))}") from error
    return texts


def _rows_of(shape: object, name: str) -> int:
    if isinstance(shape, list) and shape and type(shape[0]) is int and shape[0] >= 0 and shape[1:] in ([], [1]):
        return int(shape[0])
    raise RefusalError(422, f"column {name!r}: shape {brief(shape)}; expected [rows] or [rows, 1]")


def _flat(tensor: Tensor, name: str, width: int) -> list[Any]:
    """The values of a tensor of rows, nested or not: a nested row has `width` of them."""
    data = list_of(tensor, f"input {name!r}")
    if data and isinstance(data[0], list):
        if not all(isinstance(part, list) for part in data):
            raise RefusalError(422, f"input {name!r}: `data` mixes lists and values")
        wrong = next((row for row, part in enumerate(data) if len(part) != width), None)
        if wrong is not None:
            raise RefusalError(422, f"input {name!r}, row {wrong}: {len(data[wrong])} values; expected {width}")
        return [cell for part in data for cell in part]
    return data
