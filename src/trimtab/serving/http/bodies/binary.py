"""The binary tensor extension over HTTP: a JSON object and, behind it, the bytes of tensors in their order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import orjson

from trimtab.inference.tensors.datatypes import DTYPES
from trimtab.records.tensors import Tensors
from trimtab.serving.execution.questions import Answers, Question, brief, read_json
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.request import Request
from trimtab.serving.open_inference.binary import pack
from trimtab.serving.open_inference.explained import explained_outputs
from trimtab.serving.open_inference.outputs import Output, named_outputs, output_names, output_object
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import ENCODED, Release

HEADER = b"inference-header-content-length"
OCTETS = b"application/octet-stream"
_SIZE = "binary_data_size"
_SCORE_ALONE = [("score", True)]
_SCORE_OF_ONE = (
    b'%b"parameters":{"prediction_ids":["%b"],%b},'
    b'"outputs":[{"name":"score","datatype":"FP32","shape":[%b],"parameters":{"binary_data_size":%d}}]}'
)


def read_body(request: Request, release: Release) -> Any:
    """The JSON of a request. Tensors that came in bytes have them as `raw`, a view into the body that is not copied.
    Raises RefusalError: 400 where the two parts cannot be told, 422 naming the tensor."""
    told = request.field(HEADER)
    if not told:
        return read_json(request.body)
    if not told.isdigit() or len(told) > 18:
        raise RefusalError(400, f"{HEADER.decode()}: expected a number of bytes, got {brief(told.decode('latin-1'))}")
    length = int(told)
    if length > len(request.body):
        raise RefusalError(400, f"{HEADER.decode()} is {length:,}: the body has {len(request.body):,} bytes")
    if length == 0:
        return _bare(request.body, release)
    view = memoryview(request.body)
    asked = read_json(view[:length])
    _share_out(asked, view[length:])
    return asked


def _share_out(asked: Any, rest: memoryview) -> None:
    """Gives each tensor that says how many bytes it has its own."""
    inputs = asked.get("inputs") if isinstance(asked, dict) else None
    offset = 0
    for tensor in inputs if isinstance(inputs, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        if not isinstance(parameters, dict) or _SIZE not in parameters:
            continue
        size, name = parameters[_SIZE], tensor.get("name")
        if type(size) is not int or size < 0:
            raise RefusalError(422, f"input {name!r}: {_SIZE} {brief(size)}; expected a number of bytes")
        if "data" in tensor:
            raise RefusalError(422, f"input {name!r}: `data` and {_SIZE} are both given")
        if offset + size > len(rest):
            left = len(rest) - offset
            raise RefusalError(422, f"input {name!r}: {_SIZE} is {size:,}; {left:,} bytes are left in the body")
        tensor["raw"] = rest[offset : offset + size]
        offset += size
    if offset != len(rest):
        raise RefusalError(
            422, f"{len(rest) - offset:,} bytes of the body belong to no tensor", hint=f"give each its {_SIZE}"
        )


def _bare(body: bytes, release: Release) -> dict[str, Any]:
    """A request that is nothing but the bytes of the model's only input; everything is answered in bytes."""
    inputs = release.signature.inputs
    asked: dict[str, Any] = {"parameters": {"binary_data_output": True}}
    if release.tensors is not None:
        tensor = _bare_tensor(body, release.tensors.spec)
    elif len(inputs) == 1 and inputs[0].kind in ("category", "time"):
        tensor = {"name": inputs[0].name, "datatype": "BYTES", "shape": [1], "data": [body]}
    elif len(inputs) == 1 and inputs[0].kind == "boolean":
        tensor = {"name": inputs[0].name, "datatype": "BOOL", "shape": [len(body)], "raw": body}
    elif len(inputs) == 1:
        tensor = {"name": inputs[0].name, "datatype": "FP64", "shape": [_whole(body, 8)], "raw": body}
    else:
        tensor = {
            "name": ENCODED,
            "datatype": "FP32",
            "shape": [_whole(body, 4 * release.width), release.width],
            "raw": body,
        }
    return asked | {"inputs": [tensor]}


def _bare_tensor(body: bytes, spec: Tensors) -> dict[str, Any]:
    only = spec.inputs[0]
    if len(spec.inputs) > 1:
        raise RefusalError(422, "bytes alone are for a model of one input", hint=f"this one has {len(spec.inputs)}")
    if only.image is not None or only.audio is not None:
        return {"name": only.name, "datatype": "BYTES", "shape": [1], "data": [body]}
    if -1 in only.shape or only.datatype == "BYTES":
        raise RefusalError(422, f"input {only.name!r}: bytes alone do not tell the shape of {list(only.shape)}")
    size = prod(only.shape) * DTYPES[only.datatype].itemsize
    return {"name": only.name, "datatype": only.datatype, "shape": [_whole(body, size), *only.shape], "raw": body}


def _whole(body: bytes, size: int) -> int:
    """How many rows of that size are in a body; one that is too short for a row is refused as one."""
    return max(len(body) // size, int(bool(body)))


class BinaryAnswer:
    """Stands between a question and its connection where some of the outputs are `wanted` in bytes (by name, each with
    whether it is one of them): makes the body, and sends it with the length of its JSON part."""

    def __init__(self, connection: HttpCaller, wanted: Sequence[tuple[str, bool]]) -> None:
        self._connection = connection
        self.wanted = wanted
        self._head = 0

    @property
    def gone(self) -> bool:
        """Whether an answer would reach nobody."""
        return self._connection.gone

    def answer(self, status: int, body: bytes) -> None:
        """Sends the answer."""
        extra = b"%b: %d\r\n" % (HEADER, self._head)
        self._connection.answer(status, body, OCTETS, extra)

    def refuse(self, error: RefusalError) -> None:
        """Sends a refusal, which is JSON alone."""
        self._connection.refuse(error)

    def render(self, question: Question, answers: Answers, offset: int) -> bytes:
        """The JSON object, then the bytes of the outputs that are wanted so."""
        count, end = question.count, offset + question.count
        release = answers.releases[offset]
        usual = count == 1 and not (question.given or question.explain or question.request_id is not None)
        if usual and self.wanted == _SCORE_ALONE and answers.values is not None:
            raw = answers.values[offset:end].tobytes()
            shape = b"1" if release.shown == 1 else b"1,%d" % release.shown
            head = _SCORE_OF_ONE % (release.head, question.ids[0].encode(), release.told, shape, len(raw))
            self._head = len(head)
            return head + raw
        parameters: dict[str, Any] = {"prediction_ids": question.ids}
        if count > 1 and question.fleet.canaries:
            parameters["releases"] = [one.release for one in answers.releases[offset:end]]
        else:
            parameters |= {"release": release.release, "model": release.model}
        outputs, tail = [], []
        named = {one.name: one for one in named_outputs(question, answers, offset)}
        for name, in_bytes in self.wanted:
            own = name in release.named
            found = named.get(name) if own else _output(name, question, answers, offset)
            if found is None:  # a canary may have others
                continue
            if not in_bytes:
                outputs.append(output_object(found))
                continue
            values = found.values
            raw = pack([one.encode() for one in values]) if found.datatype == "BYTES" else values.tobytes()
            told_size = {_SIZE: len(raw)}
            outputs.append({"name": name, "datatype": found.datatype, "shape": found.shape, "parameters": told_size})
            tail.append(raw)
        why, explained = explained_outputs(question)
        parameters |= why
        outputs += map(output_object, explained)
        told: dict[str, Any] = {"model_name": release.system, "model_version": release.model}
        if question.request_id is not None:
            told["id"] = question.request_id
        told |= {"parameters": parameters, "outputs": outputs}
        head = orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)
        self._head = len(head)
        return b"".join((head, *tail))


def _output(name: str, question: Question, answers: Answers, offset: int) -> Output:
    """One of the outputs that every model has."""
    count, end = question.count, offset + question.count
    release = answers.releases[offset]
    if name == "prediction_id":
        return Output(name, "BYTES", [count], question.ids)
    if name == "label":
        labels = orjson.loads(b"[%b]" % b",".join(answers.labels[offset:end]))
        datatype = release.decided
        return Output(name, datatype, [count], labels if datatype == "BYTES" else np.array(labels, "<i8"))
    if answers.values is not None:
        scores = np.ascontiguousarray(answers.values[offset:end])
    else:
        scores = np.array(orjson.loads(b"[%b]" % b",".join(answers.scores[offset:end])), "<f4")
    return Output(name, "FP32", [count] if release.shown == 1 else [count, release.shown], scores)


def wanted_in_bytes(asked: dict[str, Any], release: Release) -> list[tuple[str, bool]] | None:
    """The outputs, once they have been read, with whether each is wanted in bytes; None where none is. Raises
    RefusalError (422)."""
    parameters = asked.get("parameters")
    overall = parameters.get("binary_data_output", False) if isinstance(parameters, dict) else False
    if type(overall) is not bool:
        raise RefusalError(422, f"parameters.binary_data_output: expected true or false, got {brief(overall)}")
    outputs = asked.get("outputs")
    if not outputs:
        return [(name, True) for name in output_names(release)] if overall else None
    wanted = []
    for one in outputs:
        choice = (one.get("parameters") or {}).get("binary_data", overall)
        if type(choice) is not bool:
            raise RefusalError(422, f"output {one['name']!r}: binary_data {brief(choice)}; expected true or false")
        wanted.append((one["name"], choice))
    return wanted if any(choice for _, choice in wanted) else None
