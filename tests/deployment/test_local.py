"""The embedded target: a server process that is started, found again, kept running and stopped."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.serving import models
from tests.serving.running import until

from trimtab.deployment.local import LocalServer
from trimtab.deployment.port import Target
from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig

CONFIG = ServerConfig(system=models.SYSTEM, port=0)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalServer]:
    server = LocalServer(tmp_path, CONFIG)
    yield server
    server.stop()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_start_and_stop(local: LocalServer) -> None:
    target: Target = local
    assert target.status() is None
    with pytest.raises(TemporaryError, match="not running"):
        _ = target.url
    start = time.monotonic()
    target.start()
    assert time.monotonic() - start < 5.0
    pid = local.pid
    assert pid is not None
    target.start()
    assert local.pid == pid
    status = target.status()
    assert status is not None
    assert (status.pid, status.ready, status.applied) == (pid, False, -1)
    assert os.getpgid(pid) == pid  # a group of its own: an interrupt at the terminal is not for it
    target.stop()
    assert not alive(pid)
    assert target.status() is None
    target.stop()


def test_apply_waits_until_the_routes_are_in_force(local: LocalServer, tmp_path: Path) -> None:
    blobs = Blobs(Layout(tmp_path).blobs)
    made = models.bundle(blobs, models.sigmoid([1.0, 1.0]))
    local.start()
    local.apply(models.routes(1, models.route("r1", made)))
    status = local.status()
    assert status is not None
    assert (status.applied, status.ready, [one.release for one in status.releases]) == (1, True, ["r1"])
    local.apply(models.routes(1, models.route("r1", made)))
    missing = models.ModelBundle(onnx="ef" * 32, signature=models.signature())
    with pytest.raises(PermanentError, match="generation 2 is not in force: release r2"):
        local.apply(models.routes(2, models.route("r2", missing)))
    status = local.status()
    assert status is not None
    assert (status.applied, status.wanted) == (1, 2)


def test_apply_to_a_server_that_is_down_is_kept_for_its_start(tmp_path: Path) -> None:
    local = LocalServer(tmp_path, CONFIG, patience=0.1)
    made = models.bundle(Blobs(Layout(tmp_path).blobs), models.sigmoid([1.0, 1.0]))
    with pytest.raises(TemporaryError, match="does not answer"):
        local.apply(models.routes(3, models.route("r1", made)))
    later = LocalServer(tmp_path, CONFIG)
    try:
        later.start()
        later.apply(models.routes(3, models.route("r1", made)))
    finally:
        later.stop()


def test_a_running_server_is_taken_over_not_doubled(local: LocalServer, tmp_path: Path) -> None:
    local.start()
    other = LocalServer(tmp_path, CONFIG)
    other.start()
    assert other.pid == local.pid
    assert other.url == local.url
    other.stop()
    assert local.pid is None


def test_a_server_is_seen_by_others_and_stopped_only_by_its_own(local: LocalServer, tmp_path: Path) -> None:
    local.start()
    other = LocalServer(tmp_path, CONFIG)
    status = other.status()
    assert status is not None
    assert (status.pid, other.url) == (local.pid, local.url)
    made = models.bundle(Blobs(Layout(tmp_path).blobs), models.sigmoid([1.0, 1.0]))
    other.apply(models.routes(1, models.route("r1", made)))
    other.stop()
    assert local.status() is not None


def test_a_server_that_is_ending_with_its_parent_is_not_taken_over(tmp_path: Path) -> None:
    pid = linked(tmp_path)
    local = LocalServer(tmp_path, CONFIG)
    try:
        local.start()
        assert local.pid != pid
        assert local.status() is not None
    finally:
        local.stop()


def test_a_second_server_on_a_folder_is_refused(local: LocalServer, tmp_path: Path) -> None:
    local.start()
    command = [sys.executable, "-m", "trimtab.serving", "--state", str(tmp_path)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert f"a server (process {local.pid}) already runs on" in second.stderr


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        local = LocalServer(tmp_path, ServerConfig(system=models.SYSTEM, port=port))
        with pytest.raises(PermanentError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
            local.start()
        assert local.pid is None


def test_a_server_that_dies_is_started_again_at_its_address(local: LocalServer) -> None:
    told: list[str] = []
    local.start()
    local.keep_running(told.append)
    url = local.url
    for _ in range(2):
        pid = local.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: local.pid not in (None, pid) and local.status() is not None)  # type: ignore[misc]
    assert local.url == url
    assert len(told) == 2


def linked(tmp_path: Path) -> int:
    """The process of a server whose parent has just been killed."""
    script = (
        "import sys, time; from pathlib import Path; from trimtab.deployment.local import LocalServer\n"
        "from trimtab.records.server import ServerConfig\n"
        f"server = LocalServer(Path({str(tmp_path)!r}), ServerConfig(system='flights', port=0), linked=True)\n"
        "server.start(); print(server.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    return pid


def test_a_linked_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    pid = linked(tmp_path)
    until(lambda: not alive(pid))


def test_a_server_that_is_killed_as_it_starts_is_started_again(local: LocalServer) -> None:
    first: list[int] = []
    others = {child.pid for child in psutil.Process().children()}  # other tests' helpers are left alone

    def kill_the_first() -> None:
        def starting() -> bool:
            first.extend(child.pid for child in psutil.Process().children() if child.pid not in others and not first)
            return bool(first)

        until(starting)
        os.kill(first[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    local.start()
    killer.join()
    assert local.status() is not None
    assert local.pid not in (None, first[0])


def test_a_server_that_holds_the_folder_is_waited_for(local: LocalServer, tmp_path: Path) -> None:
    """One that a killed process has started may hold the lock before it says who it is."""
    lock = Layout(tmp_path).server_lock
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        starting = threading.Thread(target=local.start)
        starting.start()
        starting.join(0.5)
        assert starting.is_alive()
        fcntl.flock(held, fcntl.LOCK_UN)
    starting.join(10)
    assert local.status() is not None
