"""Open Inference Protocol, version 2, over HTTP: requests in, answers out."""

from __future__ import annotations

from typing import Any, cast

import orjson

from trimtab.records.server import ServerConfig
from trimtab.serving.execution.questions import Answers, Question, brief, read_json
from trimtab.serving.http.bodies.binary import HEADER, BinaryAnswer, read_body, wanted_in_bytes
from trimtab.serving.http.bodies.known_numbers import known_numbers
from trimtab.serving.http.bodies.known_tensors import known_tensors
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.request import Request
from trimtab.serving.open_inference.explained import explained_outputs
from trimtab.serving.open_inference.outputs import (
    NOT_OFFERED,
    named_outputs,
    output_names,
    output_object,
    refused_extension,
)
from trimtab.serving.open_inference.tensors import read_inputs, read_outputs
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release

_USUAL = (
    b'%b"parameters":{"prediction_ids":[%b],%b},"outputs":[{"name":"score","datatype":"FP32","shape":[%d],"data":[%b'
    b'%b%d],"data":[%b]},{"name":"prediction_id","datatype":"BYTES","shape":[%d],"data":[%b]}]}'
)


def read_request(question: Question, request: Request, config: ServerConfig) -> None:
    """Fills a question from the body of a request. Raises RefusalError naming the input, row or column."""
    head = request.head
    if head is not None and head.tensors is not None and head.tensors.fill(question, request.body):
        return
    alone = head is not None and head.plain
    asked = read_json(request.body) if alone else read_body(request, question.target)
    if not isinstance(asked, dict):
        raise RefusalError(422, f"expected an object with `inputs`, got {brief(asked)}")
    read_inputs(question, asked.get("inputs"), config.max_rows)
    if len(asked) > 1:  # beside the inputs, which are all of the usual request
        _read_wishes(question, asked, config)
    if head is not None and not alone:
        head.plain = not request.field(HEADER)
        if question.weight:
            head.tensors = known_tensors(question, request, asked)
        elif head.plain:
            head.tensors = known_numbers(question, request.body, asked)


def _read_wishes(question: Question, asked: dict[str, Any], config: ServerConfig) -> None:
    parameters = asked.get("parameters")
    if parameters is not None:
        if not isinstance(parameters, dict):
            raise RefusalError(422, f"`parameters`: expected an object, got {brief(parameters)}")
        question.identify(parameters.get("prediction_ids"), "parameters.prediction_ids")
        question.date(parameters.get("time"), "parameters.time", config.max_future)
        question.limit(parameters.get("timeout"), 1e6, "parameters.timeout")
        question.stick(parameters.get("sticky_key"), "parameters.sticky_key")
        question.ask_why(parameters.get("explain"), "parameters.explain")
    request_id = asked.get("id")
    if request_id is not None:
        if not isinstance(request_id, str):
            raise RefusalError(422, f"`id`: expected a string, got {brief(request_id)}")
        question.request_id = request_id
    outputs = asked.get("outputs")
    if outputs is not None:
        question.outputs = _read_outputs(outputs, question.target)
    if parameters is not None or outputs is not None:
        wanted = wanted_in_bytes(asked, question.target)
        if wanted is not None:
            answer = BinaryAnswer(cast("HttpCaller", question.caller), wanted)
            question.caller, question.render = answer, answer.render


def render(question: Question, answers: Answers, offset: int) -> bytes:
    """The body of an answer. Its parameters name the `release` that answered, or where canaries run and there are
    several rows the `releases`, one a row."""
    count = question.count
    release = answers.releases[offset]
    usual = question.outputs is None and question.request_id is None and not question.explain
    usual = usual and bool(release.decided) and release.shown == 1 and answers.named is None
    if usual and count == 1 and not question.given:
        name = question.ids[0].encode()
        return release.usual % (name, answers.scores[offset], answers.labels[offset], name)
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
    if usual:
        return _USUAL % (release.head, ids, told, count, score, release.label_head, count, label, count, ids)
    wanted = question.outputs or output_names(release)
    outputs = []
    if "score" in wanted:
        shape = b"%d" % count if release.shown == 1 else b"%d,%d" % (count, release.shown)
        outputs.append(_tensor(b"score", b"FP32", shape, score))
    if "label" in wanted and release.decided:
        outputs.append(_tensor(b"label", release.decided.encode(), b"%d" % count, label))
    if "prediction_id" in wanted:
        outputs.append(_tensor(b"prediction_id", b"BYTES", b"%d" % count, ids))
    why, explained = explained_outputs(question)
    if why:
        told += b"," + orjson.dumps(why)[1:-1]
    further = named_outputs(question, answers, offset) + explained
    outputs += [orjson.dumps(output_object(one), option=orjson.OPT_SERIALIZE_NUMPY) for one in further]
    asked = b"" if question.request_id is None else b'"id":%b,' % orjson.dumps(question.request_id)
    return b'%b%b"parameters":{"prediction_ids":[%b],%b},"outputs":[%b]}' % (
        release.head, asked, ids, told, b",".join(outputs),
    )  # fmt: skip


def _tensor(name: bytes, datatype: bytes, shape: bytes, data: bytes) -> bytes:
    return b'{"name":"%b","datatype":"%b","shape":[%b],"data":[%b]}' % (name, datatype, shape, data)


def _read_outputs(outputs: object, release: Release) -> tuple[str, ...]:
    if not isinstance(outputs, list):
        raise RefusalError(422, f"`outputs`: expected a list, got {brief(outputs)}")
    names = []
    for one in outputs:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise RefusalError(422, f"`outputs`: expected objects with a `name`, got {brief(one)}")
        parameters = one.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise RefusalError(
                422, f"output {one['name']!r}: expected parameters as an object, got {brief(parameters)}"
            )
        for name in NOT_OFFERED.intersection(parameters or ()):
            raise refused_extension(f"output {one['name']!r}", name)
        names.append(one["name"])
    return read_outputs(names, release)
