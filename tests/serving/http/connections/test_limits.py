"""HTTP itself: sizes, time-outs, parts that come slowly, several requests at once, the token."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.raw import BODY, ROW, chunked, exchange, post, status_of, statuses
from tests.serving.running import Running, receive_all

from trimtab.errors import DeclarationError, PermanentError
from trimtab.records.server import ServerConfig
from trimtab.serving.client.answers import AnswerError
from trimtab.serving.client.sync import Client
from trimtab.serving.config import read_config, server_config, write_config
from trimtab.serving.spec import ServeSpec


def test_a_request_in_single_bytes_is_understood(shared: Running) -> None:
    with shared.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(BODY, "connection: close"):
            sock.sendall(bytes([byte]))
        answer = receive_all(sock)
    assert status_of(answer) == 200
    assert b"connection: close" in answer


def test_a_head_is_as_large_however_it_comes(shared: Running) -> None:
    large = post(BODY, "x: " + "y" * 25_000, "connection: close")
    with shared.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(large), 5000):
            sock.sendall(large[at : at + 5000])
            time.sleep(0.02)
        assert status_of(receive_all(sock)) == 200


def test_requests_sent_at_once_are_answered_in_order(shared: Running) -> None:
    bodies = [orjson.dumps({"rows": [ROW], "ids": [f"pipelined-{number}"]}) for number in range(100)]
    answer = exchange(shared, b"".join(post(body) for body in bodies))
    assert answer.count(b"HTTP/1.1 200") == 100
    places = [answer.index(b'"pipelined-%d"' % number) for number in range(100)]
    assert places == sorted(places)


def test_a_fault_behind_good_requests_is_answered_last(shared: Running) -> None:
    answer = exchange(shared, post() + post() + b"NONSENSE\r\n\r\n")
    assert statuses(answer) == [200, 200, 400]


def test_a_chunked_body_is_understood(shared: Running) -> None:
    assert status_of(exchange(shared, chunked(BODY[:5], BODY[5:9], BODY[9:]))) == 200


def test_the_caller_is_told_to_go_on(shared: Running) -> None:
    with shared.connect() as sock:
        head, body = post(BODY, "expect: 100-continue", "connection: close").split(b"\r\n\r\n")
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert status_of(receive_all(sock)) == 200


def test_the_repository_is_asked_without_a_body(shared: Running) -> None:
    """As the protocol's own examples do: `curl -X POST .../v2/repository/index`."""
    for call, status in ((b"index", 200), (b"models/flights/load", 403)):
        assert statuses(exchange(shared, b"POST /v2/repository/%b HTTP/1.1\r\nhost: x\r\n\r\n" % call)) == [status]


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (b"GARBAGE\r\n\r\n", 400, b"not HTTP/1.1"),
        (b"POST /predict HTTP/1.1\r\nhost: x\r\n\r\n", 411, b"content-length"),
        (b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", 413, b"than 8,388,608 bytes"),
        (post(BODY, "x: " + "y" * 40_000), 431, b"larger than 32,768 bytes"),
        (b"GET /" + b"a" * 100_000, 431, b"larger than"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused(shared: Running, request_: bytes, status: int, words: bytes) -> None:
    answer = exchange(shared, request_)
    assert status_of(answer) == status
    assert words in answer
    assert b"connection: close" in answer


@pytest.mark.parametrize("asked", [["upgrade: h2c", "connection: upgrade"], ["upgrade: h2c"]])
def test_an_upgrade_is_not_taken_up(shared: Running, asked: list[str]) -> None:
    answer = exchange(shared, post(BODY, *asked) + post())
    assert statuses(answer) == [200, 200]
    assert answer.count(b'"score"') == 2


def test_a_body_that_grows_too_large_is_refused(make: Make) -> None:
    server = make(max_body=10_000)
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = exchange(server, head, *[b"1000\r\n" + b"x" * 4096 + b"\r\n"] * 3)
    assert status_of(answer) == 413
    assert b"larger than 10,000 bytes" in answer


def test_slow_callers_are_closed(make: Make) -> None:
    server = make(header_timeout=0.4, body_timeout=0.4, idle_timeout=0.4)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    for sent, status in ((b"", 408), (b"POST /pre", 408), (post()[:-5], 408), (post(), 200)):
        with server.connect() as sock:
            start = time.monotonic()
            sock.sendall(sent)
            answer = receive_all(sock)
            assert status_of(answer) == status
            assert time.monotonic() - start < 3.0
    assert b"body did not arrive within 0.4 s" in exchange_slowly(server)


def exchange_slowly(server: Running) -> bytes:
    """A byte now and then does not buy more time."""
    with server.connect() as sock:
        sock.sendall(post(b"x" * 1000)[:-1000])
        end = time.monotonic() + 3.0
        sock.settimeout(0.05)
        while time.monotonic() < end:
            try:
                sock.sendall(b"x")
                return sock.recv(65_536)
            except TimeoutError:
                continue
    raise AssertionError("the server went on waiting")


def test_too_many_connections_are_refused(make: Make) -> None:
    server = make(max_connections=3)
    held = [server.connect() for _ in range(3)]
    with server.connect() as sock:
        answer = receive_all(sock)
    assert status_of(answer) == 503
    assert b"more than 3 connections" in answer
    for sock in held:
        sock.close()


def test_a_token_is_asked_for(make: Make) -> None:
    server = make("s3cret", token_digest=hashlib.sha256(b"s3cret").hexdigest())
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    assert server.ask("GET", "/v2/health/live")[0] == 200
    assert server.ask("GET", "/v2/health/ready")[0] == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}, {"Authorization": ""}):
        for method, path in (("POST", "/predict"), ("GET", "/metrics"), ("GET", "/v2"), ("GET", "/trimtab/status")):
            status, told = server.ask(method, path, [ROW] if method == "POST" else None, headers)
            assert (status, "bearer token" in told["error"]) == (401, True)
    assert server.ask("GET", "/nothing")[0] == 401
    assert server.ask("GET", "/healthz")[0] == 404, "what a probe tries first is told what to ask, without a token"
    with server.client() as client:
        assert client.predict([ROW])[0].release == "r1"
    with pytest.raises(AnswerError) as caught, Client(server.url, "other") as client:
        client.predict([ROW])
    assert caught.value.status == 401
    big = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
    assert status_of(exchange(server, big)) == 401  # before the body is taken
    endless = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert status_of(exchange(server, endless)) == 401
    with server.connect() as sock:  # one right token does not open the connection to requests without
        sock.sendall(post(BODY, "authorization: Bearer s3cret") + post(BODY, "connection: close"))
        assert statuses(receive_all(sock)) == [200, 401]
    text = (server.layout.root / "serve" / "config.json").read_text()
    assert "s3cret" not in text


def test_an_open_address_needs_a_token(make: Make, tmp_path: object) -> None:
    spec = ServeSpec(host="0.0.0.0", port=0)
    with pytest.raises(DeclarationError, match="open to other machines"):
        server_config(spec, "flights", {})
    assert server_config(spec, "flights", {"TRIMTAB_TOKEN": "n0t-to-be-gue55ed"}).token_digest
    assert server_config(ServeSpec(host="::1"), "flights", {}).token_digest == ""
    with pytest.raises(PermanentError, match="open to other machines"):
        make(host="0.0.0.0")


def test_a_configuration_that_is_missing_is_named(tmp_path: object) -> None:
    from pathlib import Path

    with pytest.raises(PermanentError, match=r"config\.json cannot be read"):
        read_config(Path(str(tmp_path)) / "config.json")


def test_a_state_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    write_config(tmp_path / "serve" / "config.json", ServerConfig(system="flights", port=0))
    (tmp_path / "serve" / "server.lock").mkdir()  # nobody opens a folder to write to it, root no more than others
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.serving", "--state", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path / 'serve' / 'server.lock'}: Is a directory\n"
