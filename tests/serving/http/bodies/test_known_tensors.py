"""Tensors in bytes whose JSON part is known again are answered as those that are read: on one connection, whatever
comes between."""

from __future__ import annotations

import gc
import http.client
import weakref
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.inference.tensors import graphs, media
from tests.serving import pictures
from tests.serving.conftest import Make
from tests.serving.pictures import INFER, binary, chances, in_bytes
from tests.serving.running import Running

from trimtab.records.blobs import Blobs
from trimtab.records.server import ServerConfig
from trimtab.serving.execution.questions import Question
from trimtab.serving.http.bodies.known_tensors import KnownTensors
from trimtab.serving.http.bodies.open_inference import read_request
from trimtab.serving.http.request import Head, Request
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.routing.tensor_core import TensorCore

SHAPE = (3, 32, 48)
Sent = tuple[bytes, dict[str, str]]
OUTPUTS = [None, [{"name": "score", "parameters": {"binary_data": True}}], [{"name": "label"}], [{"name": "none"}]]


def images(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (rows, *SHAPE), dtype=np.uint8)


def asked(
    pixels: np.ndarray, outputs: object, *, more: dict[str, object] | None = None
) -> tuple[bytes, dict[str, str]]:
    raw = pixels.tobytes()
    head = {"inputs": [in_bytes("image", "UINT8", list(pixels.shape), raw)]} | (more or {})
    body, headers = binary(head | ({} if outputs is None else {"outputs": outputs}), raw)
    return body, headers | {"content-type": "application/octet-stream", "host": "x"}


class Caller:
    """One connection."""

    def __init__(self, server: Running) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)

    def ask(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
        self.connection.request("POST", INFER, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read(), response.headers.get("inference-header-content-length")

    def close(self) -> None:
        self.connection.close()


def plain(answer: tuple[int, bytes, str | None]) -> object:
    """An answer without the ids, which differ."""
    status, body, length = answer
    told = orjson.loads(body[: int(length)] if length else body)
    told.get("parameters", {}).pop("prediction_ids", None)
    told["outputs"] = [one for one in told.get("outputs", ()) if one["name"] != "prediction_id"]
    return status, told, body[int(length) :] if length else b""


@pytest.fixture
def server(make: Make) -> Running:
    running = make()
    running.route(pictures.route("p1", pictures.colours(running.blobs)))
    return running


def test_requests_of_all_kinds_on_one_connection_are_answered_as_alone(server):
    kept = Caller(server)
    kinds = st.tuples(st.integers(0, 50), st.integers(1, 3), st.sampled_from(OUTPUTS), st.integers(0, 3))

    @settings(max_examples=20)
    @given(st.lists(kinds, min_size=2, max_size=6))
    def check(those: list[tuple[int, int, object, int]]) -> None:
        for seed, rows, outputs, strange in [one for one in those for _ in range(2)]:
            body, headers = asked(images(seed, rows), outputs, more={"id": "mine"} if strange == 1 else None)
            if strange == 2:
                body = body[:-1]
            if strange == 3:
                body = body.replace(b"UINT8", b"INT8 ", 1)
            with closing(Caller(server)) as fresh:
                assert plain(kept.ask(body, headers)) == plain(fresh.ask(body, headers))

    check()
    kept.close()


@pytest.mark.parametrize("outputs", OUTPUTS[:3])
def test_what_is_known_gives_the_same_question_as_what_is_read(tmp_path, outputs):
    blobs = Blobs(tmp_path)
    route = pictures.route("p1", pictures.colours(blobs))
    release = Release("flights", route, TensorCore(route, blobs))
    fleet, config, head = Fleet(1, (release,)), ServerConfig(system="flights"), Head()

    def question(pixels: np.ndarray, head: Head | None) -> Question:
        body, headers = asked(pixels, outputs)
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        request = Request(b"POST", INFER.encode(), lines, body, True, b"")
        request.head = head
        made = Question(object(), fleet, release, None, 0.0)  # type: ignore[arg-type]
        read_request(made, request, config)
        return made

    question(images(0, 2), head)
    for seed in range(3):
        pixels = images(seed, 2)
        body, _ = asked(pixels, outputs)
        assert head.tensors is not None
        assert head.tensors.fill(question(pixels, None), body)
        found, expected = question(pixels, head), question(pixels, None)
        assert (found.count, found.weight, found.outputs) == (2, expected.weight, expected.outputs)
        assert type(found.caller) is type(expected.caller)
        for row, one, two in zip(range(2), found.rows, expected.rows, strict=True):
            assert one.payload() == two.payload()
            assert np.array_equal(one.given["image"], pixels[row : row + 1])


def test_scores_are_those_of_the_picture_that_came(server):
    caller = Caller(server)
    for seed in range(12):
        pixels = images(seed, 1)
        status, body, length = caller.ask(*asked(pixels, OUTPUTS[1]))
        assert status == 200
        found = np.frombuffer(body[int(length) :], "<f4")
        assert np.allclose(found, chances(pixels[0].transpose(1, 2, 0)), atol=1e-4)
    caller.close()


def test_what_was_right_for_a_release_that_was_replaced_is_looked_at_again(server):
    caller = Caller(server)
    first = images(1, 1)
    for _ in range(3):
        assert caller.ask(*asked(first, [{"name": "score"}]))[0] == 200
    few = graphs.colour_signature(media.image_input((3, 16, 16), size=(16, 16)))
    server.route(pictures.route("p2", pictures.bundle(server.blobs, graphs.mean_colour(("n", 3, 16, 16)), few)))
    for _ in range(3):
        status, body, _ = caller.ask(*asked(first, [{"name": "score"}]))
        assert (status, b"expected [-1, 3, 16, 16]" in body) == (422, True)
    caller.close()


def test_what_is_known_keeps_no_model():
    class Core:
        pass

    class Question:
        count, weight, outputs, caller = 1, 1, None, None

    core = Core()
    known = KnownTensors(b"{}", 2, core, [], Question())  # type: ignore[arg-type]
    gone = weakref.ref(core)
    del core
    gc.collect()
    assert gone() is None
    Question.target = type("Target", (), {"tensors": None})
    assert not known.fill(Question(), b"{}")  # type: ignore[arg-type]
