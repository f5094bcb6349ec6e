"""A row whose JSON is known but for its numbers is read as any other: the same question, or the same refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models

from trimtab.records.blobs import Blobs
from trimtab.records.server import ServerConfig
from trimtab.serving.execution.questions import Question
from trimtab.serving.http.bodies.open_inference import read_request
from trimtab.serving.http.request import Head, Request
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Core, Fleet, Release

CONFIG = ServerConfig(system=models.SYSTEM)
Outcome = tuple[Any, ...]


def body(data: object, **more: object) -> bytes:
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 2], "data": data} | more
    return orjson.dumps({"inputs": [tensor]})


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return made(tmp_path_factory.mktemp("blobs"), models.signature())


def made(folder: Path, signature: Any) -> Release:
    blobs = Blobs(folder)
    graph = models.sigmoid([0.5] * len(signature.features))
    route = models.route("r1", models.bundle(blobs, graph, signature))
    return Release(models.SYSTEM, route, Core(route, blobs))


def outcome(release: Release, sent: bytes, head: Head | None) -> Outcome:
    """What becomes of a body: the question's rows, or what its caller is told."""
    question = Question(object(), Fleet(1, (release,)), release, None, 0.0)  # type: ignore[arg-type]
    request = Request(b"POST", b"/v2/models/flights/infer", [], sent, True, b"", head)
    try:
        read_request(question, request, CONFIG)
    except RefusalError as error:
        return error.status, error.message, error.hint
    return question.count, question.matrix, question.rows, question.outputs, question.request_id, question.given


def knowing(release: Release, first: bytes) -> Head:
    head = Head()
    outcome(release, first, head)
    return head


USUAL = body([1.5, 2])
NUMBERS = st.one_of(st.floats(allow_nan=False), st.integers(), st.booleans(), st.none())
BROKEN = [
    b"", b"null", b"1,2", b"[1,2", b"1,2]", b"[1,2],", b"[1,2]]", b"[[1,2]]", b"[[1],[2]]", b'{"a":1}', b"[1,2,3]",
    b"[]", b'["1",2]', b"[1e999,2]", b"[1e39,-1e39]", b"[NaN,1]", b" [1 , 2] ", b"[1,2]//", b"[\xff,2]",
    b'[1,2],"data":[3,4]', b'[1,2],"name":"carrier","x":[3,4]', b'[1,2]}],"id":"a","outputs":[{"name":[1,2]',
    b"[" + b"9" * 400 + b",1]", b"[1,2]}],\"inputs\":[{\"data\":[3,4]",
]  # fmt: skip


def test_the_usual_body_is_known_after_it_was_read_once(release):
    head = knowing(release, USUAL)
    assert head.tensors is not None
    question = Question(object(), Fleet(1, (release,)), release, None, 0.0)  # type: ignore[arg-type]
    assert head.tensors.fill(question, body([0.25, -1]))
    assert (question.count, question.matrix) == outcome(release, body([0.25, -1]), None)[:2]


@given(data=st.lists(NUMBERS, max_size=4))
def test_any_numbers_come_to_the_same(release, data):
    sent = USUAL.replace(b"[1.5,2]", b"[%b]" % b",".join(map(written, data)))
    assert outcome(release, sent, knowing(release, USUAL)) == outcome(release, sent, None)


def written(number: float | None) -> bytes:
    """As JSON; whole numbers also where they are larger than orjson writes them."""
    return str(number).encode() if type(number) is int else orjson.dumps(number)


@pytest.mark.parametrize("between", BROKEN)
def test_what_is_wrong_between_is_told_as_before(release, between):
    sent = USUAL.replace(b"[1.5,2]", between)
    assert outcome(release, sent, knowing(release, USUAL)) == outcome(release, sent, None)


@given(cut=st.integers(0, len(USUAL)), grown=st.binary(max_size=6), size=st.integers(0, 6))
def test_a_body_changed_anywhere_comes_to_the_same(release, cut, grown, size):
    sent = USUAL[:cut] + grown + USUAL[cut + size :]
    assert outcome(release, sent, knowing(release, USUAL)) == outcome(release, sent, None)


@pytest.mark.parametrize(
    "first",
    [
        body([[1, 2]]),
        body([1, 2, 3, 4], shape=[2, 2]),
        body([1, 2], parameters={"a": 1}),
        b'{"inputs":[{"name":"input","datatype":"FP32","data":[1,2],"shape":[1,2]}]}',
        b'{"id":"a","inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}',
        b'{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}],"outputs":[{"name":"score"}]}',
        USUAL.replace(b"}]}", b"}]" + b" " * 2000 + b"}"),
        USUAL.replace(b"[1.5,2]", b'[1.5,2],"data":null'),
    ],
)
def test_other_bodies_are_not_known(release, first):
    head = knowing(release, first)
    assert head.tensors is None
    assert outcome(release, first, head) == outcome(release, first, None)


def test_a_release_of_another_encoding_reads_it_by_itself(release, tmp_path):
    head = knowing(release, USUAL)
    wider = (*models.INPUTS, models.Column(name="late", kind="number"))
    features = (*models.FEATURES, models.Feature(name="late", kind="number"))
    other = made(tmp_path, models.Signature(task="binary_classification", inputs=wider, features=features,
                                            classes=("no", "yes")))  # fmt: skip
    assert outcome(other, USUAL, head) == outcome(other, USUAL, None)
    assert outcome(other, USUAL, head)[0] == 422
