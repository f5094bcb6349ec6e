"""Deadlines, queues, sticky keys and models that hang, as callers of a real server meet them."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import orjson
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import Running, receive_all, until

from trimtab.serving.routing.shares import bucket

ROW = {"distance": 1.0, "carrier": "AA"}
REGRESSION = models.signature("regression", classes=())
SLOW = """
import time
def features(rows):
    time.sleep(rows["distance"].sum() / 1000)
    return rows
"""


class Calls:
    """Requests under way, each on a connection of its own."""

    def __init__(self) -> None:
        self._open: list[http.client.HTTPConnection] = []

    def ask(self, server: Running, milliseconds: float) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
        self._open.append(connection)
        connection.request("POST", "/predict", orjson.dumps([_row(milliseconds)]))
        return connection

    def answer(self, connection: http.client.HTTPConnection) -> tuple[int, str | None, Any]:
        """Status, when to ask again, body."""
        response = connection.getresponse()
        told = response.status, response.getheader("retry-after"), orjson.loads(response.read())
        connection.close()
        return told

    def close(self) -> None:
        for one in self._open:
            one.close()


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls()
    yield made
    made.close()


def _slow(server: Running, name: str = "r1", code: str = SLOW) -> None:
    server.route(models.route(name, models.bundle(server.blobs, models.linear([1.0, 0.0]), REGRESSION, code)))


def _row(milliseconds: float) -> dict[str, Any]:
    return {"distance": milliseconds, "carrier": "AA"}


def test_it_says_how_each_release_is_run_and_why(make: Make) -> None:
    server = make()
    slow = models.bundle(server.blobs, models.linear([1.0, 0.0]), REGRESSION, SLOW)
    quick = models.bundle(server.blobs, models.linear([1.0, 0.0]), REGRESSION)
    server.route(
        models.route("r1", quick), models.route("r2", slow, "canary", 0.5), models.route("r3", quick, "shadow")
    )
    first, second, third = (one.execution for one in server.status().releases)
    assert first is not None
    assert second is not None
    assert third is None
    assert (first.kind, second.kind) == ("inline", "threads")
    assert "code of its own" in second.reason
    assert [rows for rows, _ in first.profile] == [1, 8, 64]
    assert all(0 < seconds < 0.1 for _, seconds in first.profile)
    told = server.ask("GET", f"/v2/models/{models.SYSTEM}")[1]["parameters"]["execution"]
    assert told["kind"] == "inline"
    assert told["largest"] >= 64
    log = server.local.log.read_text()
    assert "r1: on the loop, batches of up to" in log
    assert "rows in a batch and what it took: 1 in " in log


@pytest.mark.parametrize("header", ["x-request-timeout-ms", "X-Envoy-Expected-Rq-Timeout-Ms"])
def test_a_deadline_in_the_header_is_held(make: Make, header: str) -> None:
    server = make()
    _slow(server)
    start = time.monotonic()
    status, told = server.ask("POST", "/predict", [_row(600.0)], {header: "100"})
    assert status == 504
    assert "time was up" in told["error"]
    assert 0.1 <= time.monotonic() - start < 0.5
    assert server.ask("POST", "/predict", [_row(1.0)], {header: "5000.5"})[0] == 200
    execution = server.status().releases[0].execution
    assert execution is not None
    assert execution.expired == 1
    with server.client() as client:
        assert 'trimtab_requests_not_run_total{release="r1",reason="expired"} 1' in client.metrics()


def test_tritons_timeout_is_in_microseconds(make: Make) -> None:
    server = make()
    _slow(server)
    path = f"/v2/models/{models.SYSTEM}/infer"

    def body(milliseconds: float, timeout: object) -> dict[str, Any]:
        columns = [("distance", "FP64", [milliseconds]), ("carrier", "BYTES", ["AA"])]
        inputs = [{"name": name, "datatype": kind, "shape": [1], "data": data} for name, kind, data in columns]
        return {"inputs": inputs, "parameters": {"timeout": timeout}}

    assert server.ask("POST", path, body(600.0, 100_000))[0] == 504
    assert server.ask("POST", path, body(1.0, 5_000_000))[0] == 200
    assert server.ask("POST", path, body(1.0, 0))[0] == 200  # as with Triton: none
    for wrong in (-1, "soon", True):
        status, told = server.ask("POST", path, body(1.0, wrong))
        assert (status, "parameters.timeout: expected a time" in told["error"]) == (422, True)


def test_a_timeout_that_is_none_is_refused(shared: Running) -> None:
    for wrong in ("soon", "-5", "1e3"):
        status, told = shared.ask("POST", "/predict", [ROW], {"x-request-timeout-ms": wrong})
        assert (status, "header x-request-timeout-ms" in told["error"]) == (422, True)


def test_what_callers_left_is_not_run(make: Make, calls: Calls) -> None:
    server = make()
    _slow(server)
    execution = server.status().releases[0].execution
    assert execution is not None
    ahead = [calls.ask(server, 700.0) for _ in range(execution.threads * 2)]
    time.sleep(0.05)
    left = [calls.ask(server, 5.0) for _ in range(8)]
    time.sleep(0.05)
    for one in left:
        one.close()
    assert [calls.answer(one)[0] for one in ahead] == [200] * len(ahead)
    until(lambda: _cancelled(server) == 8)
    assert len(server.reader().predictions()) == len(ahead)


def test_a_caller_who_only_has_nothing_more_to_ask_gets_the_answer(make: Make) -> None:
    server = make()
    _slow(server)
    body = orjson.dumps([_row(900.0)])
    with server.connect() as sock:
        sock.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        sock.shutdown(socket.SHUT_WR)
        interim, _, answer = receive_all(sock).rpartition(b"HTTP/1.1 200 OK\r\n")
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n" * 2  # it was asked whether it is still there
    assert orjson.loads(answer.split(b"\r\n\r\n")[1])["predictions"][0]["score"] == 900.0


def test_when_too_much_waits_the_answer_says_when_to_come_again(make: Make, calls: Calls) -> None:
    server = make(max_wait=0.2)
    _slow(server)
    for _ in range(30):
        assert server.ask("POST", "/predict", [_row(20.0)])[0] == 200  # it learns what a row takes
    answers = [calls.answer(one) for one in [calls.ask(server, 20.0) for _ in range(200)]]
    refused = [(after, body) for status, after, body in answers if status == 503]
    assert len(refused) > 20
    assert sum(status == 200 for status, _, _ in answers) >= 10
    assert len(refused) + sum(status == 200 for status, _, _ in answers) == 200
    assert {after for after, _ in refused} <= {"1", "2", "3"}
    assert all("for release r1" in body["error"] for _, body in refused)


def test_a_model_that_hangs_is_not_ready_and_its_server_lives_on(make: Make, calls: Calls, tmp_path: Path) -> None:
    server = make(run_timeout=0.3)
    _slow(server)
    hanging = [calls.ask(server, 60_000.0) for _ in range(2)]
    assert [calls.answer(one)[0] for one in hanging] == [504, 504]
    until(lambda: server.ask("GET", "/v2/health/ready")[0] == 200)  # a row of zeros is answered: it is back
    assert server.ask("POST", "/predict", [_row(1.0)])[0] == 200
    hangs = tmp_path / "hangs"
    _slow(
        server,
        "r2",
        f"import os, time\ndef features(rows):\n    time.sleep(60 * os.path.exists({str(hangs)!r}))\n    return rows\n",
    )
    assert server.ask("POST", "/predict", [_row(1.0)])[0] == 200
    hangs.touch()
    hanging = [calls.ask(server, 1.0) for _ in range(60)]
    until(lambda: server.ask("GET", "/v2/health/ready")[0] == 503)
    assert "r2 does not answer" in server.ask("GET", "/v2/health/ready")[1]["error"]
    assert server.ask("GET", "/v2/health/live")[0] == 200
    assert not server.status().ready
    start = time.monotonic()
    assert server.ask("POST", "/predict", [_row(1.0)])[0] == 503
    assert time.monotonic() - start < 0.2
    assert {calls.answer(one)[0] for one in hanging} <= {200, 503, 504}
    _slow(server, "r3")  # another release is live at once
    assert server.ask("POST", "/predict", [_row(1.0)])[0] == 200
    assert server.status().ready


def test_a_sticky_key_always_meets_the_same_release(make: Make) -> None:
    server = make()
    live = models.bundle(server.blobs, models.linear([0.0, 0.0], 1.0), REGRESSION)
    other = models.bundle(server.blobs, models.linear([0.0, 0.0], 2.0), REGRESSION)
    server.route(models.route("r1", live), models.route("r2", other, "canary", 0.5))
    path = f"/v2/models/{models.SYSTEM}/infer"
    columns = [("distance", "FP64", [1.0, 2.0]), ("carrier", "BYTES", ["AA", "UA"])]
    inputs = [{"name": name, "datatype": kind, "shape": [2], "data": data} for name, kind, data in columns]
    for number in range(20):
        key = f"customer-{number}"
        expected = "r2" if bucket(key) < 5000 else "r1"
        for status, told in (
            server.ask("POST", "/predict", [ROW, ROW], {"X-Sticky-Key": key}),
            server.ask("POST", "/predict", {"rows": [ROW], "sticky_key": key}),
        ):
            assert status == 200
            assert {one["release"] for one in told["predictions"]} == {expected}
        told = server.ask("POST", path, {"inputs": inputs, "parameters": {"sticky_key": key}})[1]
        assert told["parameters"]["releases"] == [expected] * 2
    assert server.ask("POST", "/predict", {"rows": [ROW], "sticky_key": 5})[0] == 422


def test_a_column_can_be_the_sticky_key(make: Make) -> None:
    server = make()
    live = models.bundle(server.blobs, models.linear([0.0, 0.0], 1.0), REGRESSION)
    other = models.bundle(server.blobs, models.linear([0.0, 0.0], 2.0), REGRESSION)
    server.generation += 1
    wanted = models.routes(server.generation, models.route("r1", live), models.route("r2", other, "canary", 0.5))
    server.local.apply(msgspec.structs.replace(wanted, canary_by="carrier"))
    rows = [{"distance": float(number), "carrier": carrier} for number in range(30) for carrier in ("AA", "DL", "UA")]
    with server.client() as client:
        answers = client.predict([*rows, {"distance": 1.0, "carrier": None}] * 2)
    for row, one in zip([*rows, None] * 2, answers, strict=True):
        key = one.id if row is None else row["carrier"]  # a row without a value goes by its id
        assert one.release == ("r2" if bucket(key) < 5000 else "r1")


def _cancelled(server: Running) -> int:
    execution = server.status().releases[0].execution
    return 0 if execution is None else execution.cancelled
