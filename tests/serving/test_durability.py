"""kill -9 while requests come: every answered row is in the telemetry, none twice; an end in order drops nothing."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.callers import ROW, Replay
from tests.serving.conftest import Make
from tests.serving.running import Running, receive_all, until

from trimtab.errors import TemporaryError
from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client
from trimtab.serving.telemetry.segments import read_seal


def test_kills_under_load_lose_nothing(make: Make) -> None:
    server = make()
    live, other = (models.bundle(server.blobs, models.sigmoid([weight, 0.0])) for weight in (0.01, -0.01))
    server.route(
        models.route("r1", live), models.route("r2", other, "canary", 0.3), models.route("r3", other, "shadow")
    )
    server.local.keep_running()
    with Replay(server, callers=2) as replay:
        for number in range(8):
            time.sleep(0.15 + 0.037 * number)
            server.kill()
            until(lambda: server.local.status() is not None)
    assert len(replay.answered) > 500
    server.wait_ready()
    replay.check()


def test_an_end_in_order_answers_what_has_been_asked(make: Make) -> None:
    server = make()
    code = "import time\ndef features(rows):\n    time.sleep(0.5)\n    return rows\n"
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]), code=code)))
    pid = server.local.pid
    assert pid is not None
    body = b'{"rows":[{"distance":1,"carrier":"AA"}],"ids":["last"]}'
    with server.connect() as asked, server.connect() as idle:
        idle.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in idle.recv(1000)
        asked.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        time.sleep(0.1)
        os.kill(pid, signal.SIGTERM)
        answer = receive_all(asked)
        assert receive_all(idle) == b""
    assert b"200 OK" in answer
    assert b"connection: close" in answer
    until(lambda: server.local.pid is None)
    assert server.reader().predictions()["id"].to_list() == ["last"]
    assert all(read_seal(path) is not None for path in server.layout.telemetry.glob("*.seg"))


def test_callers_that_try_again_notice_nothing_of_a_restart(running: Running) -> None:
    running.local.keep_running()
    with Replay(running, callers=2) as replay:
        for _ in range(3):
            time.sleep(0.1)
            pid = running.local.pid
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
            until(lambda pid=pid: running.local.pid not in (None, pid))  # type: ignore[misc]
    assert replay.errors == []
    frame = running.reader().predictions()
    assert set(replay.answered) <= set(frame["id"])
    assert not frame["id"].is_duplicated().any()


def test_shadow_scores_owed_at_a_kill_are_paid(make: Make) -> None:
    server = make()
    good = models.bundle(server.blobs, models.sigmoid([1.0, 0.0]))
    code = "import time\ndef features(rows):\n    time.sleep(0.2)\n    return rows\n"
    slow = models.bundle(server.blobs, models.sigmoid([-1.0, 0.0]), code=code)
    server.route(models.route("r1", good), models.route("r2", slow, "shadow"), models.route("r3", good, "shadow"))
    with server.client() as client:
        for turn in range(10):
            client.predict([ROW] * 3, [f"{turn}-{row}" for row in range(3)])
        assert client.status().backlog > 0
    server.kill()
    server.start()
    with server.client() as client:
        client.settle()  # at once: what the former run owed counts from the start
    frame = server.reader().predictions()
    assert not frame.select("id", "release").is_duplicated().any()
    assert frame["release"].value_counts(sort=True)["count"].to_list() == [30, 30, 30]
    until(lambda: sum(read_seal(path) is None for path in server.layout.telemetry.glob("*.seg")) <= 1)


def test_a_full_disk_answers_503_and_then_goes_on(running: Running) -> None:
    pid = running.local.pid
    assert pid is not None
    with running.client(patience=0.0) as client:
        client.predict([ROW], ["before"])
        (segment,) = running.layout.telemetry.glob("*.seg")
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 10, limits[1]))
        with pytest.raises(TemporaryError, match="telemetry cannot be written: File too large"):
            client.predict([ROW], ["during"])
        with pytest.raises(TemporaryError, match="telemetry cannot be written"):
            client.feedback([Truth("before", "late")])
        assert "telemetry cannot be written" in client.status().telemetry_error
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        client.predict([ROW], ["after"])
        assert client.feedback([Truth("before", "late"), Truth("during", "late")]) == ["during"]
        assert client.status().telemetry_error == ""
        assert "trimtab_telemetry_write_failures_total 2" in client.metrics()
    assert running.reader().predictions()["id"].to_list() == ["before", "after"]


def test_a_torn_tail_is_cut_at_the_next_start(running: Running) -> None:
    with running.client() as client:
        client.predict([ROW], ["whole"])
    running.kill()
    (segment,) = running.layout.telemetry.glob("*.seg")
    with segment.open("ab") as file:
        file.write(b"\x40\x00\x00\x00torn")
    running.start()
    with running.client() as client:
        client.predict([ROW], ["later"])
    assert "cut 8 bytes that were half written" in running.local.log.read_text()
    assert running.reader().predictions()["id"].to_list() == ["whole", "later"]


def test_a_server_that_cannot_be_reached_tries_patience(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TemporaryError, match="does not answer"), Client("http://127.0.0.1:9", patience=0.2) as client:
        client.predict([ROW])
    assert time.monotonic() - start > 0.05  # three pauses at least, each half as long as may be
