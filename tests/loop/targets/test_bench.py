"""A model is measured on a server of its own, which leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.loop.conftest import Make

from trimtab.errors import PermanentError
from trimtab.loop.targets.bench import ServerBench
from trimtab.loop.trials.quiet import Quiet
from trimtab.records.base import SystemClock
from trimtab.records.facts import ModelTrained
from trimtab.records.server import ServerConfig

NOW = datetime(2024, 2, 1, 6, tzinfo=UTC)


def test_what_a_model_takes_on_the_server_is_measured_and_nothing_is_left(make: Make, tmp_path: Path) -> None:
    run = make()
    run.loop.settle(NOW)
    entry = run.ledger.last(ModelTrained)
    assert entry is not None
    work = tmp_path / "bench"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (work / f"bench-{dead.pid}-0").mkdir(parents=True)
    (work / f"bench-{os.getppid()}-0").mkdir()
    bench = ServerBench(ServerConfig(system="bakery", port=0), run.blobs.root, work, clock=SystemClock(), connections=2)
    assert [each.name for each in work.iterdir()] == [f"bench-{os.getppid()}-0"], "what dead processes left is gone"
    rows = run.datasets.labelled(NOW).head(50)
    found = bench.measure(entry.fact.identity.id, entry.fact.bundle, rows)
    assert set(found) == {
        "serving.latency_p50",
        "serving.latency_p95",
        "serving.latency_p99",
        "serving.throughput",
        "resources.memory",
    }
    p50, p95, p99 = (found[f"serving.latency_p{q}"].figure for q in (50, 95, 99))
    assert 0 < p50 <= p95 <= p99 < 1
    assert found["serving.latency_p95"].rows >= 100
    assert found["serving.latency_p95"].low <= p95 <= found["serving.latency_p95"].high
    assert 100 < found["serving.throughput"].figure < 1e6
    assert 20 * 2**20 < found["resources.memory"].figure < 2**30
    assert len(list(work.iterdir())) == 1

    gone = msgspec.structs.replace(entry.fact.bundle, onnx="0" * 64)
    with pytest.raises(PermanentError, match="it cannot be served"):
        bench.measure("m-gone", gone, rows)
    assert len(list(work.iterdir())) == 1


def test_who_measures_is_alone_and_who_waits_for_it_is_not_overtaken() -> None:
    quiet, told, begun = Quiet(), list[str](), threading.Event()

    def work(name: str, seconds: float) -> None:
        with quiet.busy():
            told.append(f"{name} begins")
            begun.set()
            time.sleep(seconds)
            told.append(f"{name} ends")

    def measure() -> None:
        with quiet.alone():
            told.append("measured")

    first = threading.Thread(target=work, args=("first", 0.3))
    first.start()
    begun.wait()
    second = threading.Thread(target=measure)
    second.start()
    time.sleep(0.05)
    third = threading.Thread(target=work, args=("third", 0.0))
    third.start()
    for each in (first, second, third):
        each.join(10)
    assert told == ["first begins", "first ends", "measured", "third begins", "third ends"]
