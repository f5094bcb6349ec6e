"""Callers that are slow, endless, many, or larger than they look: each is bounded, and the others are answered."""

from __future__ import annotations

import gc
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import orjson
import psutil
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.raw import (
    BODY,
    LIVE,
    ROW,
    answers,
    chunked,
    exchange,
    exchange_until_closed,
    post,
    status_of,
    statuses,
)
from tests.serving.running import Running, receive_all, until

from trimtab.records.server import ServerConfig
from trimtab.serving.config import write_config

HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\n"
FEW_FILES = (
    "import resource, runpy, sys\n"
    "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))\n"
    "sys.argv = ['trimtab.serving', *sys.argv[2:]]\n"
    "runpy.run_module('trimtab.serving', run_name='__main__', alter_sys=True)\n"
)


@pytest.fixture
def brisk(make: Make) -> Running:
    """A server that waits for nobody."""
    server = make(header_timeout=0.5, body_timeout=0.5, idle_timeout=0.5, answer_timeout=5.0)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    return server


def rss(server: Running) -> int:
    pid = server.local.pid
    assert pid is not None
    return int(psutil.Process(pid).memory_info().rss)


def alone(server: Running) -> bool:
    """Whether nobody is connected but who asks."""
    with server.client() as client:
        return "\ntrimtab_connections 1\n" in client.metrics()


@contextmanager
def many(server: Running, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(server.connect()) for _ in range(count)]


def drip(server: Running, first: bytes, one: Callable[[int], bytes], seconds: float = 5.0) -> bytes:
    """Sends a little now and then for as long as the server listens; what it said."""
    with server.connect() as sock:
        sock.sendall(first)
        sock.settimeout(0.05)
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            with suppress(OSError):
                sock.sendall(one(number))
            number += 1
            try:
                return sock.recv(65_536)
            except TimeoutError:
                continue
    raise AssertionError("the server went on waiting")


@pytest.mark.parametrize(
    ("first", "one"),
    [
        (b"", lambda n: b"GET /"[n : n + 1] or b"x"),
        (b"POST /predict HTTP/1.1\r\n", lambda n: b"x-%d: y\r\n" % n),
        (b"POST /predict HTTP/1.1\r\nx: ", lambda n: b"y"),
        (b"", lambda n: b"\r\n"),
        (HEAD + b"content-length: 1000\r\n\r\n", lambda n: b" "),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", lambda n: b"1\r\n \r\n"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", lambda n: b"0"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", lambda n: b"1;x=y"[n : n + 1] or b"z"),
        (chunked(BODY, end=b"0\r\n"), lambda n: b"x: y\r\n"),
    ],
    ids=["line", "lines", "one line", "empty lines", "body", "chunks", "size", "extension", "trailers"],
)
def test_a_little_now_and_then_buys_no_more_time(brisk: Running, first: bytes, one: Callable[[int], bytes]) -> None:
    began = time.monotonic()
    assert status_of(drip(brisk, first, one)) == 408
    assert 0.3 < time.monotonic() - began < 3.0


def test_slow_callers_do_not_keep_others_waiting(brisk: Running) -> None:
    with many(brisk, 200) as slow:
        for number, sock in enumerate(slow):
            sock.sendall(HEAD if number % 2 else HEAD + b"content-length: 9\r\n\r\n")
        began = time.monotonic()
        assert [status_of(exchange(brisk, post())) for _ in range(20)] == [200] * 20
        assert time.monotonic() - began < 2.0
        assert {status_of(receive_all(sock)) for sock in slow} == {408}
    until(lambda: alone(brisk))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 10_000_000, 431),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 10_000_000, 431),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 1_000_000, 431),
        (b"\r\n" * 1_000_000, 431),
        (HEAD + b"content-length: 1000000000000\r\n\r\n" + bytes(10_000_000), 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + bytes(65_536) + b"\r\n") * 300, 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n" + bytes(10_000_000), 413),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 10_000_000, 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2_000_000, 400),
        (chunked(BODY, end=b"0\r\n") + b"a: b\r\n" * 2_000_000, 431),
        (bytes(10_000_000), 400),
    ],
    ids=[
        "address",
        "line",
        "lines",
        "nothing",
        "length",
        "chunks",
        "chunk",
        "extension",
        "crumbs",
        "trailers",
        "zeros",
    ],
)
def test_what_has_no_end_is_ended(shared: Running, data: bytes, status: int) -> None:
    before = rss(shared)
    got = exchange_until_closed(shared, data)
    if got:  # a caller that goes on sending may lose the answer to the reset, never more than that
        assert statuses(got) == [status]
    assert rss(shared) < before + 40 * 2**20
    assert status_of(exchange(shared, post())) == 200


def test_hundreds_of_requests_at_once_are_answered_in_order(shared: Running) -> None:
    """Also more than fit into one read, with a half request at the read's end; and those that are answered at once
    behind one that is not: without a step deeper for each."""
    ids = [f"pipe-{number}" for number in range(3000)]
    ask = [post(orjson.dumps({"rows": [ROW], "ids": [name]})) for name in ids]
    data = exchange(shared, b"".join(one + LIVE * (5 if place % 100 else 400) for place, one in enumerate(ask)))
    found = [orjson.loads(one.body)["predictions"][0]["id"] for one in answers(data) if b"predictions" in one.body]
    assert found == ids
    assert data.count(b"HTTP/1.1 200 ") == len(ids) + LIVES


LIVES = sum(5 if place % 100 else 400 for place in range(3000))


def test_who_does_not_read_its_answers_is_closed_and_holds_little(brisk: Running) -> None:
    large = post(orjson.dumps([ROW] * 1000))
    before = rss(brisk)
    with many(brisk, 20) as deaf:
        for sock in deaf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(1000):
                    sock.send(large * 10)
        began = time.monotonic()
        assert [status_of(exchange(brisk, post())) for _ in range(10)] == [200] * 10
        until(lambda: alone(brisk))
        assert time.monotonic() - began < 8.0
        assert rss(brisk) < before + 150 * 2**20


def test_who_reads_slowly_but_steadily_gets_its_answer(shared: Running) -> None:
    with shared.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(post(orjson.dumps([ROW] * 1000), "connection: close"))
        got = b""
        while more := sock.recv(2000):
            got += more
            time.sleep(0.001)
    assert len(orjson.loads(answers(got)[0].body)["predictions"]) == 1000


def test_bodies_of_all_callers_together_are_bounded(make: Make) -> None:
    server = make(max_body=4_000_000, max_held=10_000_000, body_timeout=1.0)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    head = HEAD + b"content-length: 4000000\r\n\r\n"
    with many(server, 4) as some:
        for sock in some[:2]:
            sock.sendall(head + b"x" * 1000)
        time.sleep(0.3)
        for sock in some[2:]:
            sock.sendall(head)
            (got,) = answers(receive_all(sock))
            assert (got.status, got.headers["retry-after"]) == (503, "1")
            assert b"take all the room there is" in got.body
        assert {status_of(receive_all(sock)) for sock in some[:2]} == {408}
    for _ in range(5):  # what was held is free again
        assert status_of(exchange(server, post(b"x" * 3_999_999))) == 400
        assert status_of(exchange(server, chunked(b"y" * 1_000_000, b"z" * 1_000_000))) == 400
    with many(server, 3) as some:
        for sock in some:  # left in the middle
            sock.sendall(head + b"x" * 100_000)
    until(lambda: status_of(exchange(server, post(b"x" * 3_999_999))) == 400)


def test_uploads_to_the_disk_are_few_at_a_time(shared: Running) -> None:
    head = b"POST /v2/models/flights/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 500000000\r\n\r\n"
    with many(shared, 9) as callers:
        for sock in callers[:8]:
            sock.sendall(head + b"x" * 10_000)
        time.sleep(0.3)
        callers[8].sendall(head)
        (got,) = answers(receive_all(callers[8]))
        assert (got.status, b"8 batches are arriving already" in got.body) == (503, True)
    until(lambda: b"100" in _asked_to_go_on(shared, head))


def _asked_to_go_on(server: Running, head: bytes) -> bytes:
    with server.connect() as sock:
        sock.sendall(head[:-2] + b"expect: 100-continue\r\n\r\n")
        return sock.recv(100)


def test_too_many_connections_from_one_address_are_refused(make: Make) -> None:
    server = make(max_connections=50, max_connections_per_address=5)
    with many(server, 5):
        with server.connect() as sock:
            (got,) = answers(receive_all(sock))
        assert got.status == 503
        assert got.headers["retry-after"] == "1"
        assert b"more than 5 connections from 127.0.0.1" in got.body
    until(lambda: status_of(exchange(server, LIVE)) == 200)


def test_a_server_makes_room_for_its_connections(tmp_path: Path) -> None:
    config = ServerConfig(system=models.SYSTEM, port=0, max_connections=400)
    server = Running(tmp_path, config)
    write_config(server.layout.serve_config, config)
    process = subprocess.Popen([sys.executable, "-c", FEW_FILES, "trimtab.serving", "--state", str(tmp_path)])
    try:
        until(lambda: server.local.pid == process.pid)
        with many(server, 300) as callers:
            for sock in callers:
                sock.sendall(LIVE)
            assert {sock.recv(1000)[:12] for sock in callers} == {b"HTTP/1.1 200"}
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_server_out_of_files_goes_on_when_there_are_some_again(make: Make) -> None:
    server = make()
    pid = server.local.pid or 0
    files = psutil.Process(pid).num_fds()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (files + 10, files + 10))
    with many(server, 60) as callers:
        for sock in callers:
            with suppress(OSError):
                sock.sendall(LIVE)
        assert callers[0].recv(1000).startswith(b"HTTP/1.1 200")

    def answers() -> bool:
        try:
            return status_of(exchange(server, LIVE)) == 200
        except ConnectionResetError:  # it has not seen yet that the callers went: libuv turns others away so
            return False

    until(answers)


def test_connections_that_come_and_go_leave_nothing(shared: Running) -> None:
    for _ in range(300):
        with shared.connect() as sock:
            sock.sendall(b"POST /pre")
    until(lambda: alone(shared))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 4_000_000,
        b'{"rows":' * 500_000,
        b"[" * 1023 + b"]" * 1023,
        b"[1e" + b"9" * 1_000_000 + b"]",
        b"[" + b"9" * 4_000_000 + b"]",
        b'["' + b"\\u0000" * 600_000 + b'"]',
        b"[" + b"{}," * 2_000_000 + b"{}]",
        b'{"rows":[' + b"[]," * 2_000_000 + b"[]]}",
        b"[" + b"0," * 4_000_000 + b"0]",
        b'{"rows":[' + b'{"distance":1,"carrier":"AA"},' * 200_000 + b'{"distance":1,"carrier":"AA"}]}',
        b'{"' + b"a" * 4_000_000 + b'":1}',
        b"{" + b",".join(b'"k%d":1' % number for number in range(400_000)) + b"}",
        b"\xff" * 1_000_000,
        b'"' + b"\xed\xa0\x80" * 1000 + b'"',
    ],
    ids=["deep", "deep objects", "just deep", "exponent", "digits", "escapes", "objects", "lists", "numbers", "rows",
         "a key", "keys", "no text", "surrogates"],
)  # fmt: skip
def test_json_that_is_larger_than_it_looks_is_refused_and_let_go(shared: Running, body: bytes) -> None:
    exchange(shared, post(body))
    before = rss(shared)
    began = time.monotonic()
    for _ in range(3):
        assert status_of(exchange(shared, post(body))) in {400, 413, 422}
    assert time.monotonic() - began < 10.0
    assert rss(shared) < before + 100 * 2**20
    assert status_of(exchange(shared, post())) == 200


def test_a_key_that_is_given_twice_counts_once_and_last(shared: Running) -> None:
    """As RFC 8259 lets it: what is said in front of us must not rely on the first."""
    body = b'{"rows":[{"distance":"far","carrier":"AA"}],"rows":[{"distance":1.0,"carrier":"AA"}]}'
    assert status_of(exchange(shared, post(body))) == 200


def test_numbers_that_no_float_holds_are_refused(shared: Running) -> None:
    for number in (b"1e400", b"-1e400", b"NaN", b"Infinity", b"0x10", b"1_000", b"01", b".5", b"9" * 400):
        got = exchange(shared, post(b'[{"distance":%b,"carrier":"AA"}]' % number))
        assert status_of(got) in {400, 422}, number


def test_nothing_grows_over_all_this(shared: Running) -> None:
    """The abuse above, a few hundred times over."""
    shapes = [
        post(b"{"), post(b"[" * 1000), b"\x00" * 100, HEAD + b"content-length: 5\r\n\r\n", b"GET /" + b"a" * 70_000,
        chunked(*[b"x" * 100] * 100), LIVE * 50, post(orjson.dumps([ROW] * 50)), b"PRI * HTTP/2.0\r\n\r\n",
    ]  # fmt: skip
    figures = []
    for _ in range(4):
        for _ in range(40):
            for shape in shapes:
                exchange(shared, shape)
        gc.collect()
        figures.append(rss(shared))
    assert figures[-1] < figures[1] + 8 * 2**20, figures
    assert status_of(exchange(shared, post())) == 200
