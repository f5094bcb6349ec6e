"""Batches take little memory, wait for nobody and keep nobody waiting."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.serving import models
from tests.serving.batches import BATCH, ask, frame, readers, refused, written
from tests.serving.conftest import Make
from tests.serving.running import Running, until

from trimtab.serving.batch import frames
from trimtab.serving.batch.formats import CONTENT_TYPES


def test_what_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """150 MB of text in a file of a few kB, and a reader that may take 128 MiB."""
    table = pa.table({"carrier": pa.array(["A" * 150_000_000], pa.large_string()), "distance": [1.0]})
    pq.write_table(table, tmp_path / "bomb", compression="zstd", use_dictionary=False)
    assert (tmp_path / "bomb").stat().st_size < 100_000
    with (tmp_path / "bomb").open("rb") as body:
        setup = frames.Setup(
            body=body.fileno(), sent="parquet", wanted="csv", signature=models.signature(), code=b"", entry="",
            rows=100, needs_rows=False, ids="", times="", latest=2**60, longest_row=2**20, memory=2**27,
        )  # fmt: skip
        command = [sys.executable, "-m", "trimtab.serving.batch"]
        pipes = {"input": frames.packed(setup), "capture_output": True, "pass_fds": [body.fileno()]}
        asked = subprocess.run(command, check=True, **pipes)  # type: ignore[call-overload]
    last = frames.FROM_READER.decode(asked.stdout[frames.LENGTH :])
    assert isinstance(last, frames.Refused)
    assert (last.status, last.message) == (413, "reading the batch takes more than 134,217,728 bytes of memory")
    assert "smaller row groups" in last.hint
    assert asked.stderr == b""


def test_a_large_body_streams_through_little_memory(make: Make) -> None:
    server = make(max_body=100_000)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    line = b'{"distance":1.5,"carrier":"DL","pad":"' + b"x" * 400 + b'"}\n'
    total = 60_000

    def pieces() -> Iterator[bytes]:
        for _ in range(total // 1000):
            yield line * 1000

    before = server.status().rss
    status, data, _ = ask(server, "ndjson", pieces(), "csv")
    assert status == 200
    assert len(data.splitlines()) == total + 1
    assert server.status().rss - before < 40e6  # the body has 26 MB
    assert server.status().releases[0].answered == total
    assert list((server.layout.work / "batches").iterdir()) == []


def test_single_requests_are_answered_in_the_meantime(running: Running) -> None:
    body = written("parquet", frame(60_000).drop("at", "note"))
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=60)
    connection.request("POST", BATCH, body, {"content-type": CONTENT_TYPES["parquet"], "accept": CONTENT_TYPES["csv"]})
    response = connection.getresponse()
    waits = []
    with running.client() as client:
        for _ in range(50):
            began = time.perf_counter()
            client.predict([{"distance": 1.0, "carrier": "AA"}])
            waits.append(time.perf_counter() - began)
    assert sorted(waits)[25] < 0.1
    assert running.status().releases[0].answered < 60_000  # the batch was still under way
    assert len(response.read().splitlines()) == 60_001
    connection.close()


def test_a_caller_that_leaves_ends_its_batch(running: Running) -> None:
    body = written("ndjson", frame(50_000).drop("at"))
    with running.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(
            b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n"
            % (BATCH.encode(), len(body))
            + body
        )
        assert sock.recv(15).startswith(b"HTTP/1.1 200")
        assert len(readers(running)) == 1
    until(lambda: not readers(running))
    assert running.status().releases[0].answered < 50_000
    assert running.ask("POST", "/predict", [{"distance": 1.0, "carrier": "AA"}])[0] == 200


def test_a_reader_that_is_killed_is_told(running: Running) -> None:
    body = written("ndjson", frame(50_000).drop("at"))
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)
    connection.request("POST", BATCH, body, {"content-type": CONTENT_TYPES["ndjson"]})
    until(lambda: bool(readers(running)))
    os.kill(readers(running)[0].pid, 9)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError, AssertionError)):
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()
    assert running.ask("POST", "/predict", [{"distance": 1.0, "carrier": "AA"}])[0] == 200


def test_too_many_at_once_are_refused(running: Running) -> None:
    body = written("ndjson", frame(100_000).drop("at"))
    head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n"
    socks = [running.connect() for _ in range(4)]
    for sock in socks:
        sock.sendall(head % (BATCH.encode(), len(body)) + body)
    for sock in socks:
        assert sock.recv(15).startswith(b"HTTP/1.1 200")
    status, told = refused(running, "ndjson", b"{}")
    assert (status, told["error"]) == (503, "4 batches are under way already")
    for sock in socks:
        sock.close()
    until(lambda: not readers(running))
    until(lambda: ask(running, "ndjson", b'{"distance":1,"carrier":"AA"}')[0] == 200)
