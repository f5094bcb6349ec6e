"""Several processes at one address: they share the callers, know each other's answers, and speak as one server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from tests.serving import models
from tests.serving.callers import Load
from tests.serving.conftest import Make
from tests.serving.processes.company import REQUEST, ROW, connections, processes_of, series, started
from tests.serving.running import Running, receive_all, until

from trimtab.deployment.local import LocalServer
from trimtab.errors import PermanentError
from trimtab.records.server import ServerConfig
from trimtab.serving.client.answers import Truth
from trimtab.serving.config import write_config
from trimtab.serving.processes.supervisor import pause_after
from trimtab.serving.telemetry.segments import read_seal


def test_connections_are_shared_out_evenly(make: Make) -> None:
    server = started(make, 3)
    time.sleep(0.5)  # what asked for the status until here came and went: that is shared otherwise
    made = connections(server, 30)
    try:
        until(lambda: sum(one.connections for one in processes_of(server)) >= 30)
        counts = [one.connections for one in processes_of(server)]
        assert max(counts) - min(counts) <= 4, counts  # the one that asks for the status is a connection, too
    finally:
        for sock in made:
            sock.close()


def test_whichever_is_asked_speaks_for_all(make: Make) -> None:
    server = started(make)
    answers = []
    with ExitStack() as callers:  # together, so that no process gets them all
        for turn in range(8):
            client = callers.enter_context(server.client())
            answers += client.predict([ROW] * 3, [f"{turn}-{row}" for row in range(3)])
    for _ in range(4):
        status, told = server.ask("POST", "/feedback", {"id": answers[0].id, "truth": "late"})
        assert (status, told) == (200, {"accepted": 1, "unknown": []})
        status, told = server.ask("POST", "/feedback", [{"id": "nobody", "truth": "late"}, {"id": "7-2", "truth": 1}])
        assert told == {"accepted": 1, "unknown": ["nobody"]}
        assert server.ask("POST", "/feedback", {"id": "nobody", "truth": "late"})[0] == 404
    answered = []
    for _ in range(4):
        with server.client() as client:
            text, found = client.metrics(), client.status()
        answered.append(found.releases[0].answered)
        assert series(text, "trimtab_rows_total") == 24
        assert series(text, "trimtab_request_seconds_count") == 8
        assert series(text, "trimtab_processes") == 2
        assert 'trimtab_generation{process="0"} 1\ntrimtab_generation{process="1"} 1\n' in text
        assert (found.applied, found.ready, found.known) == (1, True, 24)
        stats = server.ask("GET", f"/v2/models/{models.SYSTEM}/stats")[1]["model_stats"]
        assert [one["inference_count"] for one in stats] == [24]
        assert stats == server.ask("GET", "/v2/models/stats")[1]["model_stats"]
    assert answered == [24] * 4
    both = processes_of(server)
    assert len({one.pid for one in both} | {server.local.pid}) == 3
    own = [path for path in server.layout.telemetry.glob("*.seg") if path.stat().st_size > 1000]
    assert 1 <= len(own) <= 2, "each process that answers writes segments of its own"
    assert len(server.reader().predictions()) == 24


def test_new_routes_under_load_drop_nothing(make: Make) -> None:
    server = started(make)
    sig = models.signature("regression", classes=())
    made = [models.bundle(server.blobs, models.linear([0.0, 0.0], float(number)), sig) for number in range(12)]
    server.route(models.route("r0", made[0]))
    applied = []
    with Load(server, callers=4) as load:
        for number in range(1, 12):
            server.route(models.route(f"r{number}", made[number]))
            applied.append((time.monotonic(), float(number)))
            time.sleep(0.03)
    assert load.failures == []
    assert len({score for _, _, score in load.answers}) > 8
    for moment, number in applied:  # once apply has come back, no process answers by former routes
        assert all(score >= number for asked, _, score in load.answers if asked > moment)
    assert len(server.reader().predictions()) == 2 * len(load.answers)


def test_routes_that_no_process_can_serve_change_nothing(make: Make) -> None:
    server = started(make)
    missing = models.ModelBundle(onnx="ab" * 32, signature=models.signature())
    with pytest.raises(PermanentError, match="generation 2 is not in force: release r2"):
        server.route(models.route("r2", missing))
    status = server.status()
    assert (status.applied, status.wanted) == (1, 2)
    assert {one.applied for one in status.processes} == {1}


def test_an_end_in_order_answers_what_has_been_asked(make: Make) -> None:
    server = make(processes=2)
    code = "import time\ndef features(rows):\n    time.sleep(0.4)\n    return rows\n"
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]), code=code)))
    pid = server.local.pid
    assert pid is not None
    asked = connections(server, 8)
    try:
        for sock in asked[:6]:
            sock.sendall(REQUEST)
        time.sleep(0.1)
        os.kill(pid, signal.SIGTERM)
        answers = [receive_all(sock) for sock in asked]
    finally:
        for sock in asked:
            sock.close()
    for answer in answers[:6]:
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer
    assert answers[6:] == [b"", b""]
    until(lambda: server.local.pid is None)
    assert len(server.reader().predictions()) == 6
    assert all(read_seal(path) is not None for path in server.layout.telemetry.glob("*.seg"))


def test_what_waits_in_the_queue_is_taken_by_another_process(make: Make) -> None:
    """A process that hangs, and then dies, takes no connection with it that it has not answered yet."""
    server = started(make)
    victim = processes_of(server)[0].pid
    os.kill(victim, signal.SIGSTOP)
    try:
        for sock in (made := connections(server, 10)):
            sock.close()
    finally:
        os.kill(victim, signal.SIGKILL)
    assert len(made) == 10
    until(lambda: sorted(one.starts for one in processes_of(server)) == [1, 2])
    until(lambda: [one.state for one in processes_of(server)] == ["serving"] * 2)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_process_outlives_the_supervisor(make: Make) -> None:
    server = started(make)
    pids = [one.pid for one in processes_of(server)]
    first = server.local.pid
    server.kill()
    server.local.start()  # waits for those that are on their way out
    until(lambda: not any(alive(pid) for pid in pids), 0.5)
    with server.client() as client:
        client.predict([ROW])
        assert client.status().pid == server.local.pid != first


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        local = LocalServer(tmp_path, ServerConfig(system=models.SYSTEM, port=port, processes=2))
        with pytest.raises(PermanentError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
            local.start()


def test_a_server_whose_processes_cannot_start_says_why(tmp_path: Path) -> None:
    local = LocalServer(tmp_path, ServerConfig(system=models.SYSTEM, port=0, processes=2))
    local._layout.telemetry.parent.mkdir(parents=True, exist_ok=True)
    local._layout.telemetry.write_text("not a folder")
    with pytest.raises(PermanentError, match=r"cannot be used: .*(File exists|Not a directory)"):
        local.start()
    assert local.pid is None


def test_one_that_keeps_dying_is_started_ever_more_slowly(make: Make) -> None:
    server = started(make)

    def pid() -> int:
        return processes_of(server)[1].pid

    for turn in range(3):
        before = pid()
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: pid() not in (0, before))  # type: ignore[misc]
        assert processes_of(server)[1].starts == turn + 2
    log = server.local.log.read_text()
    assert "was ended by SIGKILL; another takes its place in 0.1 s" in log
    assert "in 0.4 s" in log


def test_however_often_it_dies_it_is_started_again_within_seconds() -> None:
    assert [pause_after(failures) for failures in (1, 2, 7, 8, 5_000, 10**9)] == [0.1, 0.2, 6.4, 10.0, 10.0, 10.0]


def test_one_that_hangs_is_replaced(tmp_path: Path) -> None:
    config = ServerConfig(system=models.SYSTEM, port=0, processes=2)
    server = Running(tmp_path, config)
    write_config(server.layout.serve_config, config)
    script = (
        "import logging, sys\n"
        "from pathlib import Path\n"
        "from trimtab.records.layout import Layout\n"
        "from trimtab.serving.config import read_config\n"
        "from trimtab.serving.processes.supervisor import Supervisor\n"
        "logging.basicConfig()\n"
        "layout = Layout(Path(sys.argv[sys.argv.index('--state') + 1]))\n"
        "config = read_config(layout.serve_config)\n"
        "from trimtab.serving.server import serve\n"
        "supervisor = Supervisor(config, [layout], ['flights'], 2, patience=1.5)\n"
        "sys.exit(supervisor.run(lambda seat: serve([layout.root], 0, seat) or 0))\n"
    )
    command = [sys.executable, "-c", script, "trimtab.serving", "--state", str(tmp_path)]
    supervisor = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until(lambda: server.local.pid == supervisor.pid)
        until(lambda: [one.state for one in processes_of(server)] == ["serving"] * 2)
        first = processes_of(server)[0].pid
        os.kill(first, signal.SIGSTOP)
        until(lambda: (one := processes_of(server)[0]).pid not in (0, first) and one.state == "serving", 20.0)
    finally:
        supervisor.terminate()
        said = supervisor.communicate(timeout=20)[1].decode()
    assert f"process 0 (pid {first}) hangs: it is killed" in said
    assert "was ended by SIGKILL" in said


@pytest.mark.slow
def test_one_that_begins_slowly_is_not_taken_for_the_one_that_hung_before(tmp_path: Path) -> None:
    script = (
        "import logging, os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from trimtab.records.layout import Layout\n"
        "from trimtab.records.server import ServerConfig\n"
        "from trimtab.serving.processes.board import SERVING, Board\n"
        "from trimtab.serving.processes.supervisor import Supervisor\n"
        "logging.basicConfig()\n"
        "def work(seat):\n"
        "    board = Board(seat.board, seat.count)\n"
        "    if seat.turn == 1:\n"
        "        board.tell(seat.slot, SERVING)\n"
        "        time.sleep(0.8)\n"  # hangs, and then dies by itself
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    time.sleep(0.7)\n"  # reads what is left of the former, say
        "    while True:\n"
        "        board.beat(seat.slot)\n"
        "        time.sleep(0.02)\n"
        "layout = Layout(Path(sys.argv[1]))\n"
        "supervisor = Supervisor(ServerConfig(system='flights', port=0), [layout], ['flights'], 1, patience=1.0)\n"
        "sys.exit(supervisor.run(work))\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE)
    time.sleep(3.5)
    supervisor.terminate()
    said = supervisor.communicate(timeout=20)[1].decode()
    assert said.count("was ended by SIGKILL") == 1, said
    assert "hangs" not in said


def test_it_tells_a_service_manager_how_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    for processes in (1, 2):
        config = ServerConfig(system=models.SYSTEM, port=0, processes=processes)
        local = LocalServer(folder, config)
        local.start()
        local.stop()
        address = tmp_path / f"notify-{processes}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(str(address))
            sock.settimeout(10)
            command = [sys.executable, "-m", "trimtab.serving", "--state", str(folder)]
            server = subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": str(address)}, stderr=subprocess.PIPE)
            assert sock.recv(100) == b"READY=1"
            server.send_signal(signal.SIGHUP)
            assert sock.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert sock.recv(100) == b"READY=1"
            server.send_signal(signal.SIGTERM)
            assert sock.recv(100) == b"STOPPING=1"
            _, said = server.communicate(timeout=20)
        assert server.returncode == 0, said


def test_a_server_of_one_process_has_no_supervisor(running: Running) -> None:
    pid = running.local.pid
    assert pid is not None
    assert psutil.Process(pid).children(recursive=True) == []
    assert running.status().processes == ()
    assert not (running.layout.serve / "processes").exists()
    with running.client() as client:
        name = client.predict([ROW])[0].id
        assert client.feedback([Truth(name, "late")]) == []
        assert "process=" not in client.metrics()
