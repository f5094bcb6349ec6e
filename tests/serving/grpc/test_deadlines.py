"""A call's deadline, its `timeout` and `sticky_key`, and a model that hangs, over gRPC."""

from __future__ import annotations

import time

import grpc
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller, columns
from tests.serving.running import until

from trimtab.serving.routing.shares import bucket

SLOW = """
import time
def features(rows):
    time.sleep(rows["distance"].sum() / 1000)
    return rows
"""
REGRESSION = models.signature("regression", classes=())


def test_a_call_whose_deadline_has_passed_is_not_run(make: Make) -> None:
    server = make(grpc_port=0, run_timeout=0.6)
    server.route(models.route("r1", models.bundle(server.blobs, models.linear([1.0, 0.0]), REGRESSION, SLOW)))
    with Caller(server.grpc) as call:
        asked = call.request("flights", *columns([300.0], ["AA"], raw=False))
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as error:
            call("ModelInfer", asked, timeout=0.1)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - start < 0.3
        limited = call.request("flights", *columns([300.0], ["AA"], raw=False), parameters={"timeout": 50_000})
        with pytest.raises(grpc.RpcError) as error:
            call("ModelInfer", limited)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "time was up" in error.value.details()
        until(lambda: _not_run(server) == 2)
        assert call("ModelInfer", call.request("flights", *columns([1.0], ["AA"], raw=False))).outputs
        assert len(server.reader().predictions()) == 1
        with pytest.raises(grpc.RpcError) as error:
            call("ModelInfer", call.request("flights", *columns([60_000.0], ["AA"], raw=False)))
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert "its thread was given up" in error.value.details()


def test_a_sticky_key_is_a_parameter(make: Make) -> None:
    server = make(grpc_port=0)
    live = models.bundle(server.blobs, models.linear([0.0, 0.0], 1.0), REGRESSION)
    other = models.bundle(server.blobs, models.linear([0.0, 0.0], 2.0), REGRESSION)
    server.route(models.route("r1", live), models.route("r2", other, "canary", 0.5))
    with Caller(server.grpc) as call:
        for number in range(20):
            key = f"customer-{number}"
            told = call(
                "ModelInfer",
                call.request("flights", *columns([1.0], ["AA"], raw=False), parameters={"sticky_key": key}),
            )
            assert told.parameters["release"].string_param == ("r2" if bucket(key) < 5000 else "r1")


def _not_run(server) -> int:
    execution = server.status().releases[0].execution
    return execution.expired + execution.cancelled
