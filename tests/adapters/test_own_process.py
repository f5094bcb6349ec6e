"""A vendor's package in a process of its own answers, or is gone with all it started."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from trimtab.adapters.own_process import ask
from trimtab.errors import TemporaryError
from trimtab.experiments.port import TrackerError

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-environment"


def asked(job: dict[str, Any], seconds: float = 60.0) -> Any:
    environment = {"PYTHONPATH": str(ROOT), "FOR_THE_WORK": "set"}
    return ask("tests.adapters.working", job, seconds=seconds, named="The package", environment=environment)


def gone(note: Path) -> bool:
    """Whether the processes that a note names have ended."""
    until = time.monotonic() + 20
    pids = [int(word) for word in note.read_text().split()]
    while time.monotonic() < until:
        left = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
        if not left:
            return True
        time.sleep(0.05)
    return False


def started(note: Path) -> None:
    """Wait until the work has begun."""
    until = time.monotonic() + 40
    while not (note.is_file() and len(note.read_text().split()) == 2):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_answers_and_what_the_package_prints_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    found = asked({"do": "answer", "given": ["é", 0.1, math.inf]})
    assert found == {"given": ["é", 0.1, math.inf], "variable": "set"}
    assert capfd.readouterr() == ("", "")
    assert "FOR_THE_WORK" not in os.environ


def test_what_it_raises_is_told_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ITS_API_KEY", SECRET)
    with pytest.raises(TrackerError, match="The package: not with me") as refused:
        asked({"do": "refuse"})
    assert SECRET not in str(refused.value)
    with pytest.raises(TemporaryError, match="nobody is there"):
        asked({"do": "miss"})
    with pytest.raises(TrackerError, match="ZeroDivisionError: division by zero"):
        asked({"do": "fall"})
    with pytest.raises(TrackerError, match="ended without an answer"):
        asked({"do": "vanish"})


def test_one_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    note = tmp_path / "note"
    for seconds in (1.5, 6.0, 24.0):  # a busy machine may not have begun by then
        with pytest.raises(TemporaryError, match="did not end within"):
            asked({"do": "sleep", "note": str(note)}, seconds=seconds)
        if note.is_file():
            break
    assert gone(note)


def test_it_ends_with_the_one_that_asked(tmp_path: Path) -> None:
    note = tmp_path / "note"
    parent = multiprocessing.get_context("fork").Process(target=asked, args=({"do": "sleep", "note": str(note)},))
    parent.start()
    try:
        started(note)
    finally:
        assert parent.pid is not None
        os.kill(parent.pid, signal.SIGKILL)
        parent.join()
    assert gone(note)
