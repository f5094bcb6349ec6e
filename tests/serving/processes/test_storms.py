"""What machines and people do to a server of several processes while requests come: no answered row is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.callers import Load, Replay
from tests.serving.conftest import Make
from tests.serving.processes.company import REQUEST, processes_of, started
from tests.serving.processes.test_death import routed
from tests.serving.running import Running, until

from trimtab.records.server import ServerConfig
from trimtab.serving.config import write_config

LIMITED = (
    "import resource, runpy, sys\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
    "sys.argv = ['trimtab.serving', *sys.argv[2:]]\n"
    "runpy.run_module('trimtab.serving', run_name='__main__', alter_sys=True)\n"
)

CROWDED = (
    "import errno, os, runpy, sys\n"
    "sys.argv = ['trimtab.serving', *sys.argv[2:]]\n"
    "fork, left = os.fork, [0, 0, 1, 1, 1]\n"
    "def crowded():\n"
    "    if left and left.pop(0):\n"
    "        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
    "    return fork()\n"
    "os.fork = crowded\n"
    "runpy.run_module('trimtab.serving', run_name='__main__', alter_sys=True)\n"
)


@pytest.mark.slow
def test_the_supervisors_death_under_load_loses_nothing(make: Make) -> None:
    """Its processes answer what they have read, and end; whoever starts it again finds all of it."""
    server = routed(started(make))
    server.local.keep_running()
    with Replay(server, callers=3) as replay:
        for _ in range(2):
            time.sleep(0.3)
            server.kill()
            until(lambda: server.local.status() is not None, 20.0)
            before = len(replay.answered)
            until(lambda before=before: len(replay.answered) > before, 20.0)  # type: ignore[misc]
    replay.check()


def test_settings_read_again_all_the_time_disturb_nobody(make: Make) -> None:
    server = started(make)
    pid = server.local.pid
    assert pid is not None
    with Load(server, callers=3) as load:
        for turn in range(60):
            os.kill(pid, signal.SIGHUP)
            os.kill(processes_of(server)[turn % 2].pid, signal.SIGHUP)
    assert load.failures == []
    assert [one.starts for one in processes_of(server)] == [1, 1]
    assert len(server.reader().predictions()) == 2 * len(load.answers)


def test_settings_read_again_while_a_process_starts_do_not_end_it(make: Make) -> None:
    server = started(make)
    pid, victim = server.local.pid, processes_of(server)[1].pid
    assert pid is not None
    os.kill(victim, signal.SIGKILL)
    back = False
    end = time.monotonic() + 20.0
    while not back and time.monotonic() < end:
        for _ in range(50):
            os.kill(pid, signal.SIGHUP)
            time.sleep(0.001)
        back = (one := processes_of(server)[1]).pid not in {0, victim} and one.state == "serving"
    assert back
    assert [one.starts for one in processes_of(server)] == [1, 2]


def test_no_room_for_another_process_leaves_the_others_serving(tmp_path: Path) -> None:
    """The system refuses to make one, three times: it is tried again, ever later, and nothing else ends."""
    config = ServerConfig(system=models.SYSTEM, port=0, processes=2)
    server = Running(tmp_path, config)
    write_config(server.layout.serve_config, config)
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-c", CROWDED, "trimtab.serving", "--state", str(tmp_path)]
        supervisor = subprocess.Popen(command, stderr=out)
    try:
        until(lambda: server.local.pid == supervisor.pid)
        until(lambda: [one.state for one in processes_of(server)] == ["serving"] * 2)
        victim = processes_of(server)[1].pid
        os.kill(victim, signal.SIGKILL)
        until(lambda: "process 1 cannot be started" in log.read_text())
        assert processes_of(server)[0].state == "serving"
        until(lambda: (one := processes_of(server)[1]).pid not in {0, victim} and one.state == "serving")
    finally:
        supervisor.terminate()
        assert supervisor.wait(30) == 0
    said = "process 1 cannot be started: Resource temporarily unavailable; tried again in "
    assert [line.rpartition(said)[2] for line in log.read_text().splitlines() if said in line] == [
        "0.2 s",
        "0.4 s",
        "0.8 s",
    ]


def test_being_told_to_end_over_and_over_ends_in_order_once(make: Make) -> None:
    server = started(make)
    pid = server.local.pid
    assert pid is not None
    pids = [pid, *(one.pid for one in processes_of(server))]
    with Replay(server, callers=2) as replay:
        until(lambda: len(replay.answered) > 50)
        for _ in range(50):
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                for one in pids:
                    with suppress(ProcessLookupError):
                        os.kill(one, number)
        until(lambda: server.local.pid is None, 20.0)
        server.local.start()
        before = len(replay.answered)
        until(lambda: len(replay.answered) > before)
    assert replay.errors == []
    assert server.local.log.read_text().count("all processes have ended") == 1
    scores = server.reader().predictions()
    assert set(replay.answered) <= set(scores["id"])


@pytest.mark.slow
def test_new_routes_while_processes_die_and_come_back(make: Make) -> None:
    """Whoever comes back serves what is in force by then, and no caller sees older routes once `apply` has returned."""
    server = started(make, 3)
    sig = models.signature("regression", classes=())
    server.route(models.route("r0", models.bundle(server.blobs, models.linear([0.0, 0.0], 0.0), sig)))
    for number in range(1, 7):
        victim = processes_of(server)[number % 3]
        os.kill(victim.pid, signal.SIGKILL)
        server.route(models.route(f"r{number}", models.bundle(server.blobs, models.linear([0.0, 0.0], number), sig)))
        for _ in range(6):
            with server.client() as client:
                assert client.predict([{"distance": 1.0, "carrier": "AA"}])[0].score == float(number)
        until(
            lambda one=victim: (
                (now := processes_of(server)[one.process]).pid != one.pid  # type: ignore[misc]
                and now.state == "serving"
                and now.applied == server.generation
            ),
            20.0,
        )


@pytest.mark.parametrize("processes", [1, 2])
def test_few_open_files_are_enough_for_whoever_is_let_in(tmp_path: Path, processes: int) -> None:
    config = ServerConfig(system=models.SYSTEM, port=0, processes=processes)
    server = Running(tmp_path, config).start()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    server.local.stop()
    write_config(server.layout.serve_config, config)
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-c", LIMITED, "trimtab.serving", "--state", str(tmp_path)]
        process = subprocess.Popen(command, stderr=out)
    made: list[socket.socket] = []
    try:
        until(lambda: server.local.pid == process.pid)
        server.wait_ready()
        made += [server.connect() for _ in range(100 * processes)]
        answers = [_answer(sock) for sock in made]
        answered = answers.count(b"200")
        assert answered >= 10 * processes
        assert b"503" in answers
        while made:
            made.pop().close()
        until(lambda: _asked(server), 20.0)
        assert process.poll() is None
        said = log.read_text()
        assert "lets this process have 64 open files: it takes 16 connections at most" in said
        assert "Too many open files" not in said, said
    finally:
        for sock in made:
            sock.close()
        process.terminate()
        assert process.wait(30) == 0
    assert len(server.reader().predictions()) >= answered


def _answer(sock: socket.socket) -> bytes:
    """The status that it is answered with; empty where the connection was ended."""
    with suppress(OSError):
        sock.sendall(REQUEST)
        return sock.recv(4096)[9:12]
    return b""


def _asked(server: Running) -> bool:
    try:
        return server.ask("POST", "/predict", [{"distance": 1.0, "carrier": "AA"}])[0] == 200
    except OSError:
        return False


def test_a_second_server_on_the_same_state_is_refused(make: Make) -> None:
    server = started(make)
    command = [sys.executable, "-m", "trimtab.serving", "--state", str(server.layout.root)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    told = f"error: a server (process {server.local.pid}) already runs on {server.layout.root}"
    assert told in second.stderr.splitlines()[-1]
    assert server.status().ready
