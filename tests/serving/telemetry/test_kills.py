"""Servers and the processes that compact beside them are killed under load: each row is there, and once."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import psutil
import pytest
from tests.serving import models
from tests.serving.callers import Replay
from tests.serving.conftest import Make
from tests.serving.running import until

from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.maintenance.verify import verify


@pytest.mark.slow
@pytest.mark.parametrize("sync", [1.0, 0.0])
def test_kills_of_servers_and_compactions_lose_nothing(make: Make, sync: float) -> None:
    chance = random.Random(5)
    policy = TelemetryPolicy(sync=sync, inputs=0.5, segment_bytes=40_000, rest=0.0)
    server = make(telemetry=policy)
    live, other = (models.bundle(server.blobs, models.sigmoid([weight, 0.0])) for weight in (0.01, -0.01))
    server.route(
        models.route("r1", live), models.route("r2", other, "canary", 0.3), models.route("r3", other, "shadow")
    )
    server.local.keep_running()
    folder = server.layout.telemetry

    def compacting() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if "trimtab.serving.telemetry" in process.cmdline() and str(folder) in process.cmdline():
                    found.append(process)
        return found

    with Replay(server, callers=2) as replay:
        end = time.monotonic() + 25
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.02, 0.4))
            for process in compacting():
                if chance.random() < 0.5:
                    with suppress(psutil.Error):
                        process.kill()
            if chance.random() < 0.1:
                pid = server.local.pid
                if pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    until(lambda: server.local.status() is not None, 20)
    assert replay.errors == []
    until(lambda: not compacting(), 30)
    with server.client() as client:
        client.settle()
    server.local.stop()
    compact(folder)  # what the kills left half done does not stand in the way
    assert list(folder.glob("*/manifest.json"))
    state = verify(folder)
    assert state.sound
    reader = server.reader()
    frame = reader.predictions()
    assert not frame.select("id", "release").is_duplicated().any()
    assert sum(one.answers for one in state.segments) == len(frame) + reader.duplicates
    answers = frame.filter(frame["stage"] != "shadow")
    # Killed between writing an answer down and sending it, a server leaves one that nobody saw; asked again, the next
    # one may answer by another release. Both are kept, and what the caller got is one of them.
    scores: dict[str, list[float]] = {}
    for name, score in answers.select("id", "score").iter_rows():
        scores.setdefault(name, []).append(score)
    assert sum(len(kept) > 1 for kept in scores.values()) < 20
    unseen = {
        name: got for name, got in replay.answered.items() if min(abs(got - kept) for kept in scores[name]) > 1e-6
    }
    assert not unseen
    assert set(replay.answered) <= set(frame.filter(stage="shadow")["id"])
    assert set(replay.truths) <= set(frame.filter(frame["label"].is_not_null())["id"])
    assert reader.orphans == 0
