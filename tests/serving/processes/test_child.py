"""A copy of a process: its code, its signals, and that nothing of the other's is unwound in it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

BEGIN = "import os, signal, sys, time\nfrom trimtab.serving.processes.child import fork\n"


def _run(script: str) -> str:
    """What it says, in an interpreter of its own: only a process of one thread may be copied."""
    command = [sys.executable, "-c", BEGIN + textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_code_is_what_its_work_returned() -> None:
    assert _run("print(fork(lambda: 7).wait())") == "7\n"


def test_a_fault_ends_it_and_is_told() -> None:
    script = """
        child = fork(lambda: 1 / 0)
        try:
            print(child.wait())
        finally:
            print("unwound once")
    """
    assert _run(script) == "1\nunwound once\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_signals_end_it_that_the_other_handles(name: str) -> None:
    script = f"""
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(one, lambda *_: print("handled"))
        child = fork(lambda: time.sleep(20) or 0)
        child.send_signal(signal.{name})
        print(child.wait(10.0) == -signal.{name}, child.poll() == child.returncode)
        child.kill()
    """
    assert _run(script) == "True True\n"


def test_to_read_settings_again_ends_none_that_has_not_read_them_yet() -> None:
    script = """
        signal.signal(signal.SIGHUP, lambda *_: print("handled"))
        child = fork(lambda: time.sleep(0.2) or 7)
        child.send_signal(signal.SIGHUP)
        print(child.wait(10.0))
    """
    assert _run(script) == "7\n"


def test_what_is_closed_and_what_is_handed_on() -> None:
    script = """
        mine, (reads, writes) = os.open(os.devnull, os.O_RDONLY), os.pipe()
        def work():
            try:
                os.fstat(mine)
            except OSError:
                os.write(writes, b"closed " + str(os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev).encode())
            return 0
        fork(work, close=[mine]).wait()
        print(os.read(reads, 100).decode(), os.fstat(mine).st_rdev > 0)
    """
    assert _run(script) == "closed True True\n"


def test_waiting_has_an_end() -> None:
    script = """
        from subprocess import TimeoutExpired
        child = fork(lambda: time.sleep(20) or 0)
        try:
            child.wait(0.05)
        except TimeoutExpired:
            child.kill()
            print(child.wait())
    """
    assert _run(script) == "-9\n"


def test_what_is_preloaded_starts_no_thread_and_is_all_that_a_server_needs() -> None:
    """Threads do not come along with a copy, and what is imported after it is in memory once for each process."""
    script = """
        os.environ.pop("OPENBLAS_NUM_THREADS", None)
        os.environ.pop("ORT_DISABLE_TELEMETRY", None)
        from trimtab.serving.__main__ import preload
        preload()
        print(len(os.listdir("/proc/self/task")), {"onnxruntime", "uvloop", "numpy"} <= sys.modules.keys(),
              {"grpc", "polars", "pyarrow"} & sys.modules.keys())
    """
    assert _run(script) == "1 True set()\n"
