"""Tokens at the door of a server that runs: what each may do, how often, and what changes without a restart."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
from tests.serving import models
from tests.serving.callers import Callers
from tests.serving.conftest import Make
from tests.serving.running import Running, until

from trimtab.errors import DeclarationError, PermanentError
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig
from trimtab.serving.access.tokens import Scope, add_token, revoke_token
from trimtab.serving.config import read_configs, server_config, write_config
from trimtab.serving.spec import ServeSpec

ROW = {"distance": 1.0, "carrier": "AA"}
INFER = "/v2/models/flights/infer"
ENCODED = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
TRUTH = {"items": [{"id": "never-given-out", "truth": 1}]}
NEEDS: dict[tuple[str, str], str] = {
    ("POST", "/predict"): "predict",
    ("POST", INFER): "predict",
    ("POST", "/v2/models/flights/versions/model-r1/infer"): "predict",
    ("POST", "/feedback"): "feedback",
    ("GET", "/metrics"): "admin",
    ("GET", "/trimtab/status"): "admin",
    ("GET", "/v2"): "any",
    ("GET", "/v2/models/flights"): "any",
    ("GET", "/v2/models/flights/ready"): "any",
    ("GET", "/v2/models/flights/versions/model-r1"): "any",
    ("GET", "/v2/health/live"): "none",
    ("GET", "/v2/health/ready"): "none",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that had a token before it started."""
    folder = tmp_path_factory.mktemp("guarded")
    server = Running(folder, ServerConfig(system=models.SYSTEM, port=0))
    add_token(server.layout.tokens, "first", ("predict",), datetime.now(UTC))
    server.start()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    yield server
    server.local.stop()


@pytest.fixture
def token(guarded: Running, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Makes tokens that the server knows when this returns."""

    def one(*scopes: Scope, **limits: float | datetime | None) -> str:
        name = f"t{time.monotonic_ns()}"
        made, _ = add_token(guarded.layout.tokens, name, scopes, datetime.now(UTC), **limits)  # type: ignore[arg-type]
        until(lambda: ask(guarded, made, "GET", "/v2")[0] != 401)
        return made

    return one


def ask(server: Running, token: str, method: str = "POST", path: str = "/predict") -> tuple[int, dict[str, str]]:
    """Status and header lines (in lower case) of one answer."""
    body = {"/predict": [ROW], "/feedback": TRUTH}.get(path, ENCODED)
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, orjson.dumps(body) if method == "POST" else None, headers)
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


@pytest.mark.parametrize("scope", ["predict", "feedback", "admin"])
def test_a_token_opens_what_its_scope_says(guarded: Running, token: Callable[..., str], scope: Scope) -> None:
    held = token(scope)
    found = {address: ask(guarded, held, *address)[0] for address in NEEDS}
    assert found == {address: 200 if need in (scope, "any", "none") else 403 for address, need in NEEDS.items()}
    status, headers = ask(guarded, held, "POST", "/feedback" if scope != "feedback" else "/predict")
    assert (status, "insufficient_scope" in headers["www-authenticate"]) == (403, True)


def test_without_a_token_only_health_is_open(guarded: Running) -> None:
    assert {address for address in NEEDS if ask(guarded, "", *address)[0] == 401} == {
        address for address, need in NEEDS.items() if need != "none"
    }
    assert ask(guarded, "")[1]["www-authenticate"] == "Bearer"
    assert ask(guarded, "trimtab_wrong")[1]["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    "path",
    ["/v2/health/live/../../predict", "//predict", "/predict?x=/v2/health/live", "/%70redict", "/predict#/v2/health",
     "/v2/health/live%2f..%2f..%2fpredict", "/v2/models/flights/versions/model-r1%2finfer"],
)  # fmt: skip
def test_no_spelling_of_an_address_goes_around_the_guard(guarded: Running, path: str) -> None:
    assert ask(guarded, "", "POST", path)[0] == 401


def test_a_token_made_and_taken_away_counts_at_once_and_nobody_else_notices(guarded: Running) -> None:
    steady, _ = add_token(guarded.layout.tokens, f"steady-{time.monotonic_ns()}", ("predict",), datetime.now(UTC))
    until(lambda: ask(guarded, steady)[0] == 200)
    failures, answered = list[int](), [0]

    def go_on(_: int, over: threading.Event) -> None:
        connection = http.client.HTTPConnection(urlsplit(guarded.url).netloc, timeout=10)
        while not over.is_set():
            connection.request("POST", "/predict", orjson.dumps([ROW]), {"authorization": f"Bearer {steady}"})
            response = connection.getresponse()
            response.read()
            answered[0] += 1
            if response.status != 200:
                failures.append(response.status)
        connection.close()

    with Callers(go_on, 3):
        for number in range(5):
            name = f"brief-{time.monotonic_ns()}"
            brief, _ = add_token(guarded.layout.tokens, name, ("predict",), datetime.now(UTC))
            if number % 2:
                os.kill(guarded.local.pid or 0, signal.SIGHUP)
            until(lambda: ask(guarded, brief)[0] == 200, 3.0)  # noqa: B023
            revoke_token(guarded.layout.tokens, name)
            until(lambda: ask(guarded, brief)[0] == 401, 3.0)  # noqa: B023
    assert not failures
    assert answered[0] > 100


def test_a_token_that_is_taken_away_ends_on_a_connection_that_stays(guarded: Running) -> None:
    name = f"held-{time.monotonic_ns()}"
    made, _ = add_token(guarded.layout.tokens, name, ("predict",), datetime.now(UTC))
    until(lambda: ask(guarded, made)[0] == 200)
    connection = http.client.HTTPConnection(urlsplit(guarded.url).netloc, timeout=10)
    statuses = []
    end = time.monotonic() + 5
    while time.monotonic() < end and 401 not in statuses:
        connection.request("POST", "/predict", orjson.dumps([ROW]), {"authorization": f"Bearer {made}"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        if len(statuses) == 3:
            revoke_token(guarded.layout.tokens, name)
    connection.close()
    assert statuses[:3] == [200, 200, 200]
    assert statuses[-1] == 401


def test_a_rate_is_held_and_says_when_to_come_again(guarded: Running, token: Callable[..., str]) -> None:
    held = token("predict", requests=0.5)  # making it took one
    status, headers = ask(guarded, held)
    assert status == 429
    assert 1 <= int(headers["retry-after"]) <= 2
    other = token("predict")
    assert [ask(guarded, other)[0] for _ in range(5)] == [200] * 5


def test_rows_are_counted_whatever_way_they_come(guarded: Running, token: Callable[..., str]) -> None:
    for path in ("/predict", INFER):
        held = token("predict", rows=0.2)
        assert [ask(guarded, held, "POST", path)[0] for _ in range(2)] == [200, 429]
    held = token("feedback", rows=0.2)
    assert [ask(guarded, held, "POST", "/feedback")[0] for _ in range(2)] == [200, 429]


def test_a_token_ends_by_itself(guarded: Running, token: Callable[..., str]) -> None:
    held = token("predict", expires=datetime.now(UTC) + timedelta(seconds=1.5))
    assert ask(guarded, held)[0] == 200
    until(lambda: ask(guarded, held)[0] == 401, 3.0)


def test_processes_of_one_server_share_tokens_and_their_rates(make: Make) -> None:
    server = make(processes=2)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    steady, _ = add_token(server.layout.tokens, "steady", ("predict",), datetime.now(UTC))
    until(lambda: [ask(server, "")[0] for _ in range(8)] == [401] * 8)
    assert [ask(server, steady)[0] for _ in range(8)] == [200] * 8
    slow, _ = add_token(server.layout.tokens, "slow", ("predict",), datetime.now(UTC), requests=5 / 3600)
    time.sleep(1.0)
    assert sorted(ask(server, slow)[0] for _ in range(12)) == [200] + [429] * 11
    revoke_token(server.layout.tokens, "steady")
    until(lambda: [ask(server, steady)[0] for _ in range(8)] == [401] * 8)


def test_what_tokens_ask_is_counted_by_name(make: Make) -> None:
    server = make("s3cret", token_digest=hashlib.sha256(b"s3cret").hexdigest())
    held, _ = add_token(server.layout.tokens, "phone", ("predict",), datetime.now(UTC), requests=0.001)
    until(lambda: ask(server, held, "GET", "/v2")[0] != 401)
    assert [ask(server, held, "GET", "/v2")[0] for _ in range(4)] == [429] * 4
    assert (ask(server, held, "GET", "/metrics")[0], ask(server, "wrong", "GET", "/v2")[0]) == (403, 401)
    with server.client() as client:
        told = client.metrics()
    lines = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in told.splitlines() if line[0] != "#"}
    assert lines['trimtab_token_requests_total{token="phone"}'] == 1
    assert lines['trimtab_token_limited_total{token="phone"}'] == 4
    assert lines['trimtab_token_requests_total{token="environment"}'] >= 1
    assert lines["trimtab_refused_callers_total"] >= 2
    assert held not in told


def test_the_first_token_closes_a_server_that_was_open(make: Make) -> None:
    server = make()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    assert ask(server, "")[0] == 200
    made, _ = add_token(server.layout.tokens, "first", ("predict",), datetime.now(UTC))
    until(lambda: ask(server, "")[0] == 401)
    assert ask(server, made)[0] == 200
    status = server.local.status()  # the loop goes on: it has the owner's token
    assert status is not None
    assert status.ready


def test_the_environments_token_stands_beside_those_that_were_made(make: Make) -> None:
    server = make("s3cret", token_digest=hashlib.sha256(b"s3cret").hexdigest())
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    made, _ = add_token(server.layout.tokens, "other", ("predict",), datetime.now(UTC))
    until(lambda: ask(server, made)[0] == 200)
    assert ask(server, "s3cret", "GET", "/metrics")[0] == 200
    assert ask(server, made, "GET", "/metrics")[0] == 403
    log = (server.layout.serve / "server.log").read_text()
    assert "tokens: other new, none gone" in log
    assert made not in log
    for path in server.layout.serve.iterdir():
        assert made not in path.read_bytes().decode("latin-1"), path


def test_made_tokens_are_enough_to_listen_beyond_loopback(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    spec = ServeSpec(host="0.0.0.0", port=0)
    with pytest.raises(DeclarationError, match="open to other machines") as caught:
        server_config(spec, "flights", {}, tokens)
    assert "trimtab token add" in caught.value.hint
    add_token(tokens, "first", ("predict",), datetime.now(UTC))
    assert server_config(spec, "flights", {}, tokens).host == "0.0.0.0"


@pytest.mark.parametrize("order", [("open", "shut"), ("shut", "open")])
def test_a_system_without_tokens_is_not_open_at_the_address_of_another(tmp_path: Path, order: tuple[str, str]) -> None:
    """Of several systems the first has the address: it is for others only if each of them asks for a token."""
    layouts = {}
    for name, host in (("open", "0.0.0.0"), ("shut", "127.0.0.1")):
        layouts[name] = Layout(tmp_path / name)
        write_config(layouts[name].serve_config, ServerConfig(system=name, port=0, host=host))
    add_token(layouts["open"].tokens, "one", ("predict",), datetime.now(UTC))
    those = [layouts[name] for name in order]
    if order[0] == "open":
        with pytest.raises(
            PermanentError, match=r"system 'shut' would be open to other machines at host 0\.0\.0\.0"
        ) as told:
            read_configs(those)
        assert "trimtab token add" in told.value.hint
        add_token(layouts["shut"].tokens, "two", ("predict",), datetime.now(UTC))
    assert list(read_configs(those)) == those
