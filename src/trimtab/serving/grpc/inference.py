"""`ModelInfer`: from its message to a question, and from the answers to a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from trimtab.serving.execution.questions import Answers, Question, Render, brief
from trimtab.serving.grpc.messages import Messages
from trimtab.serving.open_inference.binary import pack
from trimtab.serving.open_inference.explained import explained_outputs
from trimtab.serving.open_inference.outputs import NOT_OFFERED, named_outputs, output_names, refused_extension
from trimtab.serving.open_inference.tensors import read_inputs, read_outputs
from trimtab.serving.refusals import RefusalError

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip


class Inference:
    """Reads requests and makes responses."""

    def __init__(self, messages: Messages) -> None:
        self._response = messages["ModelInferResponse"]

    def read(self, question: Question, message: Any, most: int, ahead: float) -> None:
        """Fills a question from a ModelInferRequest. Raises RefusalError naming the input, row or column."""
        raw = message.raw_input_contents
        for one in message.inputs:
            _refuse_extensions(f"input {one.name!r}", one.parameters)
        for one in message.outputs:
            _refuse_extensions(f"output {one.name!r}", one.parameters)
        if raw and len(raw) != len(message.inputs):
            raise RefusalError(
                422, f"raw_input_contents: {len(raw)} entries for {len(message.inputs)} inputs", hint="one an input"
            )
        read_inputs(question, [_tensor(one, raw, place) for place, one in enumerate(message.inputs)], most)
        given = {name: _value(one) for name, one in message.parameters.items()}
        question.identify(_listed(given, "prediction_ids", always=True), "parameters.prediction_ids")
        question.date(_listed(given, "time"), "parameters.time", ahead)
        question.limit(given.get("timeout"), 1e6, "parameters.timeout")
        question.stick(given.get("sticky_key"), "parameters.sticky_key")
        question.ask_why(given.get("explain"), "parameters.explain")
        if message.id:
            question.request_id = message.id
        if message.outputs:
            question.outputs = read_outputs([one.name for one in message.outputs], question.target)

    def render(self, raw: bool) -> Render:
        """What makes the response, with `raw_output_contents` or with typed contents: as the request had them."""
        return self._raw if raw else self._typed

    def _raw(self, question: Question, answers: Answers, offset: int) -> bytes:
        return self._respond(question, answers, offset, raw=True)

    def _typed(self, question: Question, answers: Answers, offset: int) -> bytes:
        return self._respond(question, answers, offset, raw=False)

    def _respond(self, question: Question, answers: Answers, offset: int, *, raw: bool) -> bytes:
        count, end = question.count, offset + question.count
        release = answers.releases[offset]
        made = self._response(model_name=release.system, model_version=release.model, id=question.request_id or "")
        parameters = made.parameters
        if count > 1 and question.fleet.canaries:
            names = [one.release for one in answers.releases[offset:end]]
            parameters["releases"].string_param = orjson.dumps(names).decode()
        else:
            parameters["release"].string_param = release.release
        wanted = question.outputs or output_names(release)
        if "score" in wanted:
            if answers.values is not None:
                scores = np.ascontiguousarray(answers.values[offset:end])
            else:
                scores = np.array(orjson.loads(b"[%b]" % b",".join(answers.scores[offset:end])), "<f4")
            shape = [count] if release.shown == 1 else [count, release.shown]
            _put(made, "score", "FP32", shape, scores, raw=raw)
        if "label" in wanted and release.decided:
            labels = orjson.loads(b"[%b]" % b",".join(answers.labels[offset:end]))
            datatype = release.decided
            values = [name.encode() for name in labels] if datatype == "BYTES" else np.array(labels, "<i8")
            _put(made, "label", datatype, [count], values, raw=raw)
        if "prediction_id" in wanted:
            _put(made, "prediction_id", "BYTES", [count], [name.encode() for name in question.ids], raw=raw)
        why, explained = explained_outputs(question)
        for name, told in why.items():
            parameters[name].string_param = told if isinstance(told, str) else orjson.dumps(told).decode()
        for one in named_outputs(question, answers, offset) + explained:
            values = [name.encode() for name in one.values] if one.datatype == "BYTES" else one.values.ravel()
            _put(made, one.name, one.datatype, one.shape, values, raw=raw)
        body: bytes = made.SerializeToString()
        return body


def _put(made: Any, name: str, datatype: str, shape: Sequence[int], values: Any, *, raw: bool) -> None:
    tensor = made.outputs.add(name=name, datatype=datatype, shape=shape)
    if raw:
        made.raw_output_contents.append(pack(values) if datatype == "BYTES" else values.tobytes())
    else:
        getattr(tensor.contents, _CONTENTS[datatype]).extend(values if datatype == "BYTES" else values.tolist())


def _tensor(one: Any, raw: Sequence[bytes], place: int) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
    if raw:
        if one.HasField("contents"):
            raise RefusalError(422, f"input {one.name!r}: `contents` and `raw_input_contents` are both given")
        tensor["raw"] = raw[place]
        return tensor
    field = _CONTENTS.get(one.datatype)
    if field is None:
        raise RefusalError(422, f"input {one.name!r}: datatype {brief(one.datatype)} can only come as raw contents")
    other = next((found.name for found, _ in one.contents.ListFields() if found.name != field), None)
    if other is not None:
        raise RefusalError(422, f"input {one.name!r}: values of {one.datatype} belong into {field}, not {other}")
    tensor["data"] = list(getattr(one.contents, field))
    return tensor


def _refuse_extensions(where: str, parameters: Mapping[str, Any]) -> None:
    """Raises RefusalError for what an input or output asks of extensions that are not offered: it would be done
    otherwise than was asked."""
    if parameters:
        for name in NOT_OFFERED.intersection(parameters):
            raise refused_extension(where, name)


def _value(parameter: Any) -> Any:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)


def _listed(given: Mapping[str, Any], name: str, *, always: bool = False) -> Any:
    """A parameter that may have a value for each row: a JSON list in a string, since gRPC's parameters have no lists.
    With `always` a bare string is a list of one."""
    value = given.get(name)
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise RefusalError(422, f"parameters.{name}: expected a JSON list, got {brief(value)}: {error}") from error
    return [value] if always else value
