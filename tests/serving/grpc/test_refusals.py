"""What gRPC callers are refused, in which words and with which code; tokens, sizes, deadlines, the end."""

from __future__ import annotations

import hashlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller, columns, encoded
from tests.serving.running import Running, until

from trimtab.errors import PermanentError
from trimtab.serving.grpc.messages import SERVICE

INVALID = grpc.StatusCode.INVALID_ARGUMENT
ONE = columns([1.0], ["AA"], raw=False)


def refused(call: Caller, method: str, message: object = None, **fields: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(method, message, **fields)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    ("tensors", "raw", "words"),
    [
        ([], False, "`inputs`: expected a list of tensors"),
        ([ONE[0]], False, "column 'carrier' is missing (the model takes distance, carrier)"),
        ([*ONE, ONE[0]], False, "column 'distance' is given twice"),
        ([("speed", "FP64", [1], [1.0])], False, "unknown column 'speed'"),
        ([("distance", "BYTES", [1], [b"x"]), ONE[1]], False, "column 'distance': datatype \"BYTES\"; expected FP64"),
        ([("distance", "FP64", [2], [1.0]), ONE[1]], False, "column 'distance': 1 values; its shape says 2"),
        ([("distance", "FP64", [1, 2], [1.0]), ONE[1]], False, "expected [rows] or [rows, 1]"),
        ([("distance", "FP64", [-1], [1.0]), ONE[1]], False, "shape [-1]; expected [rows]"),
        ([ONE[0], ("carrier", "BYTES", [1], [b"\xff"])], False, "row 0, column 'carrier': expected UTF-8"),
        ([("distance", "FP64", [0], []), ONE[1]], False, "no rows"),
        ([encoded([[1.0, 2.0, 3.0]])], True, "input 'input': shape [1,3]; expected [rows, 2]"),
        ([("input", "FP32", [2, 2], b"1234")], True, "input 'input': 4 bytes; shape [2, 2] of FP32 needs 16"),
        ([("input", "FP64", [1, 2], b"1234")], True, "datatype \"FP64\"; expected FP32"),
        ([encoded(np.zeros((1001, 2)))], True, "1,001 rows in one request: at most 1,000 are taken"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(call: Caller, tensors: list, raw: bool, words: str) -> None:
    code, told = refused(call, "ModelInfer", call.request("flights", *tensors, raw=raw))
    assert code is INVALID
    assert words in told


@pytest.mark.parametrize("raw", [False, True])
def test_extensions_that_are_not_offered_are_refused(call: Caller, raw: bool) -> None:
    for part in ("inputs", "outputs"):
        for name, words in (("shared_memory_region", "shared memory is not offered"), ("classification", "classif")):
            asked = call.request("flights", *columns([1.0], ["AA"], raw=raw), raw=raw)
            asked.outputs.add(name="score")
            getattr(asked, part)[0].parameters[name].string_param = "1"
            code, told = refused(call, "ModelInfer", asked)
            assert (code, words in told) == (INVALID, True), told


def test_other_faults_of_a_request_are_named(call: Caller) -> None:
    ask = call.request
    assert refused(call, "ModelInfer", ask("other", *ONE)) == (
        grpc.StatusCode.NOT_FOUND, "no such model: this server serves 'flights'",
    )  # fmt: skip
    assert refused(call, "ModelInfer", ask("flights", *ONE, model_version="old")) == (
        grpc.StatusCode.NOT_FOUND, "model 'old' is neither live nor canary",
    )  # fmt: skip
    assert (
        "expected some of score, label" in refused(call, "ModelInfer", ask("flights", *ONE, outputs=[{"name": "x"}]))[1]
    )
    given = {"prediction_ids": '["one", "two"]'}
    assert "expected a list of 1 ids" in refused(call, "ModelInfer", ask("flights", *ONE, parameters=given))[1]
    assert "expected a JSON list" in refused(call, "ModelInfer", ask("flights", *ONE, parameters={"time": "[1"}))[1]
    assert "got 7" in refused(call, "ModelInfer", ask("flights", *ONE, parameters={"time": 7}))[1]
    mixed = ask("flights", *ONE)
    mixed.raw_input_contents.extend([b"", b""])
    assert "are both given" in refused(call, "ModelInfer", mixed)[1]
    few = ask("flights", *ONE)
    few.raw_input_contents.append(b"")
    assert "raw_input_contents: 1 entries for 2 inputs" in refused(call, "ModelInfer", few)[1]
    wrong = ask("flights", *ONE)
    wrong.inputs[0].contents.fp32_contents.append(1.0)
    assert "belong into fp64_contents, not fp32_contents" in refused(call, "ModelInfer", wrong)[1]
    half = ask("flights", *ONE)
    half.inputs[0].datatype = "FP16"
    assert 'FP16" can only come as raw contents' in refused(call, "ModelInfer", half)[1]
    code, told = refused(call, "ModelInfer", b"\xff\xff\xff")
    assert (code, "not a ModelInferRequest" in told) == (INVALID, True)
    assert refused(call, "ModelReady", name="other")[0] is grpc.StatusCode.NOT_FOUND


def test_a_method_that_is_not_there(call: Caller) -> None:
    unknown = call.channel.unary_unary(f"/{SERVICE}/TraceSetting")
    with pytest.raises(grpc.RpcError) as caught:
        unknown(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_models_are_not_moved_by_callers(call: Caller) -> None:
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        code, told = refused(call, method, model_name="flights")
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "`trimtab promote`" in told


def test_a_message_that_is_too_large_is_not_read(call: Caller) -> None:
    code, told = refused(call, "ModelInfer", b"x" * 100_001)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "100001 vs. 100000" in told


def test_what_is_refused_is_counted(server: Running, call: Caller) -> None:
    refused(call, "ModelInfer", call.request("flights"))
    with server.client() as client:
        assert 'trimtab_requests_total{code="422"}' in client.metrics()


def test_a_token_is_asked_for_except_for_health(make: Make) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    server = make("right", grpc_port=0, token_digest=digest)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    for token in (None, "wrong", ""):
        with Caller(server.grpc, token) as call:
            assert call("ServerLive").live
            assert call("ServerReady").ready
            for method in ("ModelInfer", "ServerMetadata", "ModelMetadata", "ModelStatistics", "RepositoryIndex"):
                assert refused(call, method)[0] is grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.RpcError) as caught:
                list(call.stream([call.request("flights", *ONE)]))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with Caller(server.grpc, "right") as call:
        assert call("ModelInfer", call.request("flights", *ONE)).model_version == "model-r1"
        assert len(list(call.stream([call.request("flights", *ONE)]))) == 1


def test_one_address_cannot_take_all_streams(make: Make) -> None:
    """Streams that wait are bounded by address, so that calls of others find room; those that end give theirs back."""
    server = make(grpc_port=0, max_connections_per_address=5)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))

    def waits(asked: queue.SimpleQueue[Any]) -> Any:
        stream: Any = call.stream(iter(asked.get, None))
        asked.put(call.request("flights", *ONE))
        assert next(stream).infer_response.model_version == "model-r1"
        return stream

    with Caller(server.grpc) as call:
        for leave in ("end", "cancel", "end"):
            asked = [queue.SimpleQueue[Any]() for _ in range(5)]
            open_ones = [waits(one) for one in asked]
            with pytest.raises(grpc.RpcError) as caught:
                list(call.stream([call.request("flights", *ONE)]))
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "5 streams are open from this address" in caught.value.details()
            assert call("ModelInfer", call.request("flights", *ONE)).model_version == "model-r1"
            for one, stream in zip(asked, open_ones, strict=True):
                one.put(None)
                if leave == "cancel":
                    stream.cancel()
                else:
                    assert list(stream) == []
            until(lambda: tried(call) == 1)


def tried(call: Caller) -> int:
    """How many answers a stream of one request has; 0 where there is no room for it."""
    try:
        return len(list(call.stream([call.request("flights", *ONE)])))
    except grpc.RpcError:
        return 0


def test_connections_beyond_the_most_are_not_taken(make: Make) -> None:
    """What is open goes on; another is let in as soon as one has left."""
    server = make(grpc_port=0, max_connections=10)
    host, _, port = server.grpc.rpartition(":")
    first = Caller(server.grpc)
    with first as call:
        assert call("ServerLive").live
        crowd = [socket.create_connection((host, int(port))) for _ in range(20)]
        held = sum(bool(one.recv(1)) if select.select([one], [], [], 1.0)[0] else True for one in crowd)
        assert held < 10
        assert call("ServerLive").live
        for one in crowd:
            one.close()
    until(lambda: lives(server))


def lives(server: Running) -> bool:
    """Whether a new connection is taken; the server may not have noticed yet that others have gone."""
    with Caller(server.grpc) as call:
        try:
            return bool(call("ServerLive").live)
        except grpc.RpcError:
            return False


def test_without_a_live_release_callers_may_try_again(make: Make) -> None:
    with Caller(make(grpc_port=0).grpc) as call:
        code, told = refused(call, "ModelInfer", call.request("flights", *ONE))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "no model is being served yet" in told


def test_callers_that_leave_disturb_nobody(server: Running, call: Caller) -> None:
    ask = call.request("flights", encoded(np.zeros((900, 2))), raw=True)
    method = call.channel.unary_unary(f"/{SERVICE}/ModelInfer", request_serializer=lambda one: one.SerializeToString())
    for number in range(50):
        gone = method.future(ask, timeout=10)
        if number % 2:
            time.sleep(0.001)
        gone.cancel()
    assert call("ModelInfer", ask).model_version == "model-r1"
    with server.client() as client:
        until(lambda: "trimtab_requests_in_flight 0" in client.metrics())


def test_what_is_due_is_answered_before_the_server_ends(make: Make) -> None:
    server = make(grpc_port=0)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    answered, errors = [], []

    def ask() -> None:
        with Caller(server.grpc) as call:
            while not errors:
                try:
                    call("ModelInfer", call.request("flights", encoded(np.zeros((100, 2))), raw=True))
                    answered.append(1)
                except grpc.RpcError as error:
                    errors.append(error.code())

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for one in callers:
        one.start()
    until(lambda: len(answered) > 50)
    pid = server.local.pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    for one in callers:
        one.join()
    assert set(errors) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    until(lambda: server.local.pid is None)
    assert len(server.reader().predictions()) >= 100 * len(answered)


def test_a_port_that_is_taken_is_an_error_at_the_start(server: Running, make: Make) -> None:
    taken = int(server.grpc.rpartition(":")[2])
    with pytest.raises(PermanentError, match=f"cannot listen at 127.0.0.1:{taken} for gRPC"):
        make(grpc_port=taken)


def test_the_port_stays_when_the_server_is_started_again(make: Make) -> None:
    server = make(grpc_port=0)
    before = server.grpc
    server.kill()
    server.start()
    assert server.grpc == before


def test_without_the_extra_the_error_says_what_to_install(make: Make) -> None:
    server = make()
    server.local.stop()
    script = (
        "import sys, pathlib; sys.modules['grpc'] = None\n"
        "from trimtab.serving.server import serve; serve([pathlib.Path(sys.argv[1])])\n"
    )
    config = server.layout.serve_config
    config.write_text(config.read_text().replace('"grpc_port": null', '"grpc_port": 0'))
    done = subprocess.run(
        [sys.executable, "-c", script, str(server.layout.root)], capture_output=True, text=True, timeout=30, check=False
    )
    assert "[serve] grpc_port needs a package that is missing: grpc" in done.stderr
    assert "pip install 'trimtab[grpc]'" in done.stderr


def test_a_server_without_grpc_imports_nothing_of_it(make: Make) -> None:
    server = make()
    mapped = Path(f"/proc/{server.local.pid}/maps").read_text()
    assert "cygrpc" not in mapped
    assert "google/_upb" not in mapped
