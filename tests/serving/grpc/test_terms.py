"""For whom and how often: sticky keys, scopes and rates over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller, columns, encoded
from tests.serving.running import Running, until

from trimtab.serving.access.tokens import Scope, add_token

SPENT = grpc.StatusCode.RESOURCE_EXHAUSTED
ROW = columns([1.0], ["AA"], raw=False)


def code_of(call: Caller, method: str, message: Any = None, **fields: Any) -> grpc.StatusCode:
    try:
        call(method, message, **fields)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_whoever_has_the_same_key_meets_the_same_release(make: Make) -> None:
    server = make(grpc_port=0)
    made = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))
    server.route(models.route("r1", made), models.route("r2", made, "canary", 0.5))
    met: dict[str, set[str]] = {}
    with Caller(server.grpc) as call:
        plain = call.metadata
        for number in range(60):
            key = f"visitor-{number % 6}"
            call.metadata = (*plain, ("x-sticky-key", key)) if number % 2 else plain
            parameters = {} if number % 2 else {"sticky_key": key}
            told = call("ModelInfer", call.request("flights", *ROW, parameters=parameters))
            met.setdefault(key, set()).add(told.parameters["release"].string_param)
    assert {len(those) for those in met.values()} == {1}
    assert set.union(*met.values()) == {"r1", "r2"}


def guarded(make: Make, scopes: Sequence[Scope], **rates: float) -> tuple[Running, str]:
    server = make(grpc_port=0)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    token, _ = add_token(server.layout.tokens, "one", scopes, datetime.now(UTC), **rates)
    with Caller(server.grpc) as call:
        until(lambda: code_of(call, "ServerMetadata") is grpc.StatusCode.UNAUTHENTICATED)
    return server, token


@pytest.mark.parametrize(
    ("scope", "predicts", "administers"), [("predict", True, False), ("feedback", False, False), ("admin", False, True)]
)
def test_scopes_are_those_of_http(make: Make, scope: Scope, predicts: bool, administers: bool) -> None:
    server, token = guarded(make, (scope,))
    allowed, denied = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED
    with Caller(server.grpc, token) as call:
        ask = call.request("flights", *ROW)
        assert code_of(call, "ModelInfer", ask) is (allowed if predicts else denied)
        assert code_of(call, "ModelStatistics") is (allowed if administers else denied)
        assert code_of(call, "ModelMetadata", name="flights") is allowed
        if not predicts:
            with pytest.raises(grpc.RpcError, match="token 'one' may not do this: it needs predict"):
                list(call.stream([ask]))


def test_who_asks_too_often_is_told_when_to_come_back(make: Make) -> None:
    server, token = guarded(make, ("predict",), rows=100.0)
    with Caller(server.grpc, token) as call:
        many = call.request("flights", encoded([[1.0, 0.0]] * 500), raw=True)
        call("ModelInfer", many)
        with pytest.raises(grpc.RpcError, match="asks for more rows a second than it may") as caught:
            call("ModelInfer", many)
        assert caught.value.code() is SPENT
        trailer = dict(caught.value.trailing_metadata())
        assert 2 <= int(trailer["retry-after"]) <= 5
        assert 2000 <= int(trailer["grpc-retry-pushback-ms"]) <= 5000


def test_a_stream_is_held_to_its_rate_and_goes_on(make: Make) -> None:
    server, token = guarded(make, ("predict",), requests=5.0)
    with Caller(server.grpc, token) as call:
        told = list(call.stream([call.request("flights", *ROW, id=str(number)) for number in range(30)]))
    refused = [one for one in told if one.error_message]
    assert len(told) == 30
    assert len(refused) >= 20
    assert {one.error_message for one in refused} == {"token 'one' asks for more requests a second than it may"}
    assert [one.infer_response.id for one in told] == [str(number) for number in range(30)]
