"""The same question asked again of another process: the same answer, kept and counted once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import orjson
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.processes.company import ROW, connections, processes_of, series, started
from tests.serving.running import Running, until
from tests.serving.test_explaining import linear

SLOW = "import time\ndef features(rows):\n    time.sleep(0.3)\n    return rows\n"


def request(name: str, rows: int = 1) -> bytes:
    body = orjson.dumps({"rows": [ROW] * rows, "ids": [f"{name}-{row}" for row in range(rows)]})
    return b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def ask(sock: socket.socket, name: str, rows: int = 1) -> bytes:
    sock.sendall(request(name, rows))
    answer = sock.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return answer.partition(b"\r\n\r\n")[2]


def counts(server: Running) -> tuple[float, float]:
    """Rows that were scored, and rows that were told again."""
    with server.client() as client:
        text = client.metrics()
    return series(text, "trimtab_rows_total"), series(text, "trimtab_repeated_rows_total")


def callers(server: Running, count: int = 6) -> list[socket.socket]:
    """Connections to all processes in turn."""
    made = connections(server, count)
    until(lambda: min(one.connections for one in processes_of(server)) >= 2)
    return made


def test_a_retry_in_another_process_gets_the_answer_it_missed(make: Make) -> None:
    server = started(make)
    asking = callers(server)
    for name in ("a", "b", "c"):
        answers = {ask(sock, name, 2) for sock in asking}
        assert len(answers) == 1
    assert counts(server) == (6.0, 30.0)
    reader = server.reader()
    assert len(reader.predictions()) == 6
    assert reader.duplicates == 0  # not even on disk
    status = server.status()
    assert status.releases[0].answered == 6
    for sock in asking:
        sock.close()


def test_a_retry_that_overtakes_its_answer_waits_for_it(make: Make) -> None:
    server = started(make)
    server.route(models.route("r2", models.bundle(server.blobs, models.sigmoid([0.01, 0.5]), code=SLOW)))
    asking = callers(server)
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda one=one: answers.append(ask(one, "a"))) for one in asking]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert counts(server) == (1.0, 5.0)
    assert server.reader().duplicates == 0
    for sock in asking:
        sock.close()


@pytest.mark.slow
def test_who_waits_for_another_process_waits_no_longer_than_it_said(make: Make) -> None:
    server = started(make)
    server.route(
        models.route("r2", models.bundle(server.blobs, models.sigmoid([0.01, 0.5]), code=SLOW.replace("0.3", "1.2")))
    )
    asking = callers(server)
    asking[0].sendall(request("a"))
    time.sleep(0.05)
    start = time.monotonic()
    for sock in asking[1:]:
        sock.sendall(request("a").replace(b"host: x", b"host: x\r\nx-request-timeout-ms: 100"))
    told = [sock.recv(65_536)[9:12] for sock in asking[1:]]
    assert time.monotonic() - start < 1.0, "before the first answer"
    assert set(told) <= {b"504", b"503"}, "its time was up, or would be"
    assert asking[0].recv(65_536)[9:12] == b"200"
    assert counts(server) == (1.0, 0.0)
    for sock in asking:
        sock.close()


def test_a_release_that_was_replaced_meanwhile_answers_as_it_did(make: Make) -> None:
    server = started(make)
    asking = callers(server)
    first = ask(asking[0], "a")
    server.route(models.route("r2", models.bundle(server.blobs, models.sigmoid([0.5, 0.5]))))
    assert {ask(sock, "a") for sock in asking} == {first}
    assert b'"r1"' in first
    assert counts(server) == (1.0, 6.0)
    for sock in asking:
        sock.close()


def test_what_a_process_took_with_it_is_scored_again_at_once(make: Make) -> None:
    """The one that answered hangs, or is gone: nobody waits for it, and the telemetry has the answer once."""
    server = started(make)
    with server.connect() as sock:
        first = ask(sock, "a")
    until(lambda: scored(server, 0) + scored(server, 1) == 1)
    holder = processes_of(server)[0 if scored(server, 0) else 1]
    os.kill(holder.pid, signal.SIGSTOP)
    for _ in range(2):
        with server.connect() as sock:
            start = time.monotonic()
            assert ask(sock, "a") == first
            assert time.monotonic() - start < 1.0
    os.kill(holder.pid, signal.SIGKILL)
    until(lambda: (one := processes_of(server)[holder.process]).starts == 2 and one.state == "serving")
    asking = callers(server)
    assert {ask(sock, "a") for sock in asking} == {first}
    assert counts(server) == (2.0, 7.0)
    assert len(server.reader().predictions()) == 1
    for sock in asking:
        sock.close()


def scored(server: Running, slot: int) -> float:
    """Rows that the process on a seat has scored, as it noted within the last second."""
    files = (server.layout.serve / "processes").glob(f"{slot}-*.counted")
    return max((series(one.read_text(), "trimtab_rows_total") for one in files), default=0.0)


def test_why_may_be_asked_of_another_process_than_answered(make: Make) -> None:
    """Also while the answer is due, and by several at once; it is scored once, and what explains it is the same."""
    server = make(processes=2)
    server.route(models.route("r1", linear(server.blobs)))
    until(lambda: all(one.state == "serving" for one in processes_of(server)))
    asking = callers(server)
    why = [request(name).replace(b"/predict", b"/predict?explain=true") for name in ("a", "b")]
    first = orjson.loads(ask(asking[0], "a"))["predictions"][0]
    for sent in why:
        for sock in asking:
            sock.sendall(sent)
            time.sleep(0.005)  # those that two processes read within microseconds are scored by both
        told = [sock.recv(65_536) for sock in asking]
        assert {one[:12] for one in told} == {b"HTTP/1.1 200"}
        assert len({one.partition(b"\r\n\r\n")[2] for one in told}) == 1
        explained = orjson.loads(told[0].partition(b"\r\n\r\n")[2])
        assert explained["unexplained"] == []
        assert explained["predictions"][0]["score"] == first["score"]
    assert counts(server) == (2.0, 11.0)
    for sock in asking:
        sock.close()
