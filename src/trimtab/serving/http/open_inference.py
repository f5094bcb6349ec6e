"""Open Inference Protocol, version 2, over JSON: what a model takes and gives, requests in, answers out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import orjson

from trimtab.records.model import ColumnKind, Signature
from trimtab.serving.execution.questions import Answers, Question, brief, refuse_many
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import ENCODED, Fleet, Release, label_type

OUTPUTS = ("score", "label", "prediction_id")
_NAN = float("nan")
_USUAL = (
    b'%b"parameters":{"prediction_ids":[%b],%b},"outputs":[{"name":"score","datatype":"FP32","shape":[%d],"data":[%b'
    b'%b%d],"data":[%b]},{"name":"prediction_id","datatype":"BYTES","shape":[%d],"data":[%b]}]}'
)
_NUMBERS = frozenset(("FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"))
_DATATYPES: dict[ColumnKind, tuple[str, frozenset[str]]] = {
    "number": ("FP64", _NUMBERS),
    "category": ("BYTES", frozenset(("BYTES",))),
    "boolean": ("BOOL", frozenset(("BOOL",))),
    "time": ("BYTES", frozenset(("BYTES",))),
}


def metadata(system: str, fleet: Fleet, release: Release) -> dict[str, object]:
    """What `GET /v2/models/{system}` answers."""
    signature = release.signature
    width = [-1] if release.outputs == 1 else [-1, release.outputs]
    outputs = [{"name": "score", "datatype": "FP32", "shape": width}]
    if release.labels:
        outputs.append({"name": "label", "datatype": label_type(signature), "shape": [-1]})
    outputs.append({"name": "prediction_id", "datatype": "BYTES", "shape": [-1]})
    return {
        "name": system,
        "versions": list(dict.fromkeys(one.model for one in fleet.releases if one.stage != "shadow")),
        "platform": "onnx",
        "inputs": [{"name": c.name, "datatype": _DATATYPES[c.kind][0], "shape": [-1]} for c in signature.inputs],
        "outputs": outputs,
        "parameters": {
            "task": signature.task,
            "classes": list(signature.classes),
            "threshold": signature.threshold,
            "release": release.release,
            "encoded_input": {"name": ENCODED, "datatype": "FP32", "shape": [-1, release.width]},
        },
    }


def read_request(question: Question, request: Any, most: int, now: float, ahead: float) -> None:
    """Fills a question from a decoded body. Raises RefusalError naming the input, row or column."""
    if not isinstance(request, dict):
        raise RefusalError(422, f"expected an object with `inputs`, got {brief(request)}")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise RefusalError(422, f"`inputs`: expected a list of tensors, got {brief(inputs)}")
    first = inputs[0]
    if (
        len(inputs) == 1
        and isinstance(first, dict)
        and first.get("name") == ENCODED
        and not question.target.hides_encoded
    ):
        _read_encoded(question, first, most)
    else:
        question.ask(_read_columns(question.target.signature, inputs, most))
    parameters = request.get("parameters")
    if parameters is not None:
        if not isinstance(parameters, dict):
            raise RefusalError(422, f"`parameters`: expected an object, got {brief(parameters)}")
        question.identify(parameters.get("prediction_ids"), "parameters.prediction_ids")
        question.date(parameters.get("time"), "parameters.time", now, ahead)
    request_id = request.get("id")
    if request_id is not None:
        if not isinstance(request_id, str):
            raise RefusalError(422, f"`id`: expected a string, got {brief(request_id)}")
        question.request_id = request_id
    if "outputs" in request:
        question.outputs = _read_outputs(request["outputs"], question.target)


def render(question: Question, answers: Answers, offset: int) -> bytes:
    """The body of an answer. Its parameters name the `release` that answered, or where canaries run and there are
    several rows the `releases`, one a row."""
    count = question.count
    release = answers.releases[offset]
    end = offset + count
    if count == 1:
        score, label = answers.scores[offset], answers.labels[offset]
        ids = b'"%b"' % question.ids[0].encode() if not question.given else orjson.dumps(question.ids[0])
    else:
        score, label = b",".join(answers.scores[offset:end]), b",".join(answers.labels[offset:end])
        ids = orjson.dumps(question.ids)[1:-1]
    told = release.told
    if count > 1 and question.fleet.canaries:
        told = b'"releases":%b' % orjson.dumps([one.release for one in answers.releases[offset:end]])
    if question.outputs is None and question.request_id is None and release.labels and release.outputs == 1:
        return _USUAL % (release.head, ids, told, count, score, release.label_head, count, label, count, ids)
    wanted = question.outputs or OUTPUTS
    outputs = []
    if "score" in wanted:
        shape = b"%d" % count if release.outputs == 1 else b"%d,%d" % (count, release.outputs)
        outputs.append(_tensor(b"score", b"FP32", shape, score))
    if "label" in wanted and release.labels:
        outputs.append(_tensor(b"label", label_type(release.signature).encode(), b"%d" % count, label))
    if "prediction_id" in wanted:
        outputs.append(_tensor(b"prediction_id", b"BYTES", b"%d" % count, ids))
    asked = b"" if question.request_id is None else b'"id":%b,' % orjson.dumps(question.request_id)
    return b'%b%b"parameters":{"prediction_ids":[%b],%b},"outputs":[%b]}' % (
        release.head, asked, ids, told, b",".join(outputs),
    )  # fmt: skip


def _tensor(name: bytes, datatype: bytes, shape: bytes, data: bytes) -> bytes:
    return b'{"name":"%b","datatype":"%b","shape":[%b],"data":[%b]}' % (name, datatype, shape, data)


def _read_encoded(question: Question, tensor: dict[str, Any], most: int) -> None:
    width = question.target.width
    shape = tensor.get("shape")
    if tensor.get("datatype") != "FP32":
        raise RefusalError(422, f"input '{ENCODED}': datatype {brief(tensor.get('datatype'))}; expected FP32")
    if not isinstance(shape, list) or len(shape) != 2 or shape[1] != width or not isinstance(shape[0], int):
        raise RefusalError(422, f"input '{ENCODED}': shape {brief(shape)}; expected [rows, {width}]")
    count = shape[0]
    refuse_many(count, most)
    data = _flat(tensor.get("data"), ENCODED)
    if len(data) != count * width:
        raise RefusalError(422, f"input '{ENCODED}': {len(data)} numbers; shape {shape} needs {count * width}")
    try:
        cells = array("f", data)
    except (TypeError, OverflowError):
        cells = array("f", _numbers(data, width))
    question.count = count
    question.matrix = cells.tobytes()


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


def _read_columns(signature: Signature, inputs: list[Any], most: int) -> list[dict[str, Any]]:
    kinds = {column.name: column.kind for column in signature.inputs}
    columns: dict[str, list[Any]] = {}
    count = -1
    for position, tensor in enumerate(inputs):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise RefusalError(422, f"inputs[{position}]: expected a tensor with name, datatype, shape and data")
        name = tensor["name"]
        kind = kinds.get(name)
        if kind is None:
            raise RefusalError(422, f"unknown column {name!r}", hint=f"the model takes {', '.join(kinds)}")
        if name in columns:
            raise RefusalError(422, f"column {name!r} is given twice")
        usual, allowed = _DATATYPES[kind]
        if tensor.get("datatype") not in allowed:
            raise RefusalError(422, f"column {name!r}: datatype {brief(tensor.get('datatype'))}; expected {usual}")
        rows = _rows_of(tensor.get("shape"), name)
        if count == -1:
            refuse_many(rows, most)
            count = rows
        elif rows != count:
            raise RefusalError(422, f"column {name!r}: {rows} rows; the first column has {count}")
        data = _flat(tensor.get("data"), name)
        if len(data) != count:
            raise RefusalError(422, f"column {name!r}: {len(data)} values; its shape says {count}")
        columns[name] = data
    missing = next((name for name in kinds if name not in columns), None)
    if missing is not None:
        raise RefusalError(422, f"column {missing!r} is missing", hint=f"the model takes {', '.join(kinds)}")
    names = tuple(columns)
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _rows_of(shape: object, name: str) -> int:
    if isinstance(shape, list) and shape and type(shape[0]) is int and shape[1:] in ([], [1]):
        return int(shape[0])
    raise RefusalError(422, f"column {name!r}: shape {brief(shape)}; expected [rows] or [rows, 1]")


def _flat(data: object, name: str) -> list[Any]:
    if not isinstance(data, list):
        raise RefusalError(422, f"input {name!r}: `data` must be a list, got {brief(data)}")
    if data and isinstance(data[0], list):
        if not all(isinstance(part, list) for part in data):
            raise RefusalError(422, f"input {name!r}: `data` mixes lists and values")
        return [cell for part in data for cell in part]
    return data


def _read_outputs(outputs: object, release: Release) -> tuple[str, ...]:
    listed = outputs if isinstance(outputs, list) else []
    names = [str(one.get("name")) if isinstance(one, dict) else str(one) for one in listed]
    known = [name for name in OUTPUTS if name != "label" or release.labels]
    wrong = next((name for name in names if name not in known), None)
    if not names or wrong is not None:
        raise RefusalError(422, f"`outputs`: {brief(wrong if names else outputs)}; expected some of {', '.join(known)}")
    return tuple(names)
