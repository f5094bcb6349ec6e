"""Open Inference Protocol, version 2, over JSON: requests in, answers out."""

from __future__ import annotations

from typing import Any

import orjson

from trimtab.serving.execution.questions import Answers, Question, brief
from trimtab.serving.open_inference.tensors import OUTPUTS, read_inputs, read_outputs
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release, label_type

_USUAL = (
    b'%b"parameters":{"prediction_ids":[%b],%b},"outputs":[{"name":"score","datatype":"FP32","shape":[%d],"data":[%b'
    b'%b%d],"data":[%b]},{"name":"prediction_id","datatype":"BYTES","shape":[%d],"data":[%b]}]}'
)


def read_request(question: Question, request: Any, most: int, now: float, ahead: float) -> None:
    """Fills a question from a decoded body. Raises RefusalError naming the input, row or column."""
    if not isinstance(request, dict):
        raise RefusalError(422, f"expected an object with `inputs`, got {brief(request)}")
    read_inputs(question, request.get("inputs"), most)
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


def _read_outputs(outputs: object, release: Release) -> tuple[str, ...]:
    if not isinstance(outputs, list):
        raise RefusalError(422, f"`outputs`: expected a list, got {brief(outputs)}")
    return read_outputs([str(one.get("name")) if isinstance(one, dict) else str(one) for one in outputs], release)
