"""kill -9 of a search at random instants: run again, it goes on, and ends with every trial once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab.records.facts import ModelTrained
from trimtab.records.ledger import Ledger
from trimtab.records.studies import SearchFinished, TrialFinished

BAKERY = Path(__file__).parent.parent / "systems" / "bakery"
TRIALS = 10
SEARCH = f"""
[model.search]
space = {{ trees = [2, 200] }}
objective = ["quality.roc_auc", "serving.latency_p95"]
trials = {TRIALS}
workers = 2
"""


def processes_of(folder: Path) -> list[int]:
    """Every process that works below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def wait_for_none(folder: Path) -> list[int]:
    until = time.monotonic() + 15
    while (left := processes_of(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_search_that_is_killed_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "bakery"
    shutil.copytree(BAKERY, folder, ignore=shutil.ignore_patterns("__pycache__", ".trimtab"))
    with (folder / "trimtab.toml").open("a") as file:
        file.write(SEARCH)
    command = [sys.executable, "-m", "trimtab.cli.main", "search", str(folder), "--at", "2024-02-10", "--json"]
    dice = random.Random(11)
    log = tmp_path / "log"
    kept: list[TrialFinished] = []
    kills = 0
    while kills < 6:
        with log.open("ab") as out:
            running = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            running.wait(dice.uniform(2.0, 9.0))
            break
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            kills += 1
        assert wait_for_none(folder) == [], "workers and servers go with the search"
        ledger = folder / ".trimtab" / "ledger.db"
        if ledger.exists():
            with Ledger.open(ledger) as opened:
                now = [entry.fact for entry in opened.entries(TrialFinished)]
            assert now[: len(kept)] == kept, "what stood in the ledger stands there still"
            kept = now
    assert kills >= 2
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [trial["number"] for trial in found["trials"]] == list(range(TRIALS))
    assert found["result"]["trials"] == TRIALS
    with Ledger.open(folder / ".trimtab" / "ledger.db") as opened:
        trials = [entry.fact for entry in opened.entries(TrialFinished)]
        assert trials[: len(kept)] == kept
        assert sorted(trial.number for trial in trials) == list(range(TRIALS))
        assert len({trial.search for trial in trials}) == 1
        assert len(list(opened.entries(SearchFinished))) == 1
        assert list(opened.entries(ModelTrained)) == [], "trials are no models of the loop"
    work = folder / ".trimtab" / "work"
    assert [each.name for each in work.iterdir() if each.name.startswith(("training-", "bench-"))] == []
    again = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert json.loads(again.stdout) == found, "one that is done is done"
