"""Rows of a person are taken out of telemetry while a server goes on: nothing of anybody else is lost."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from tests.serving.telemetry.written import T0, Written

from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.maintenance.erasure import Traces, erase, holding, prepare
from trimtab.serving.telemetry.maintenance.retention import prunable, prune
from trimtab.serving.telemetry.reading.reader import TelemetryReader

SEGMENTS = 12


def written(folder: Path) -> None:
    """Segments that each have a row of the person's and ten of others."""
    for number in range(SEGMENTS):
        made = Written(folder, run=number + 1)
        made.answer([f"someone-{number}", *(f"{number}-{row}" for row in range(10))], T0 + timedelta(hours=number))
        made.writer.close()


def ids(folder: Path) -> set[str]:
    reader = TelemetryReader(folder)
    reader.refresh()
    return set(reader.predictions()["id"])


def test_a_compaction_at_the_same_time_takes_nothing_away(tmp_path: Path) -> None:
    written(tmp_path)
    compact(tmp_path)
    traces = Traces(frozenset(f"someone-{number}" for number in range(SEGMENTS)), ())
    over = threading.Event()

    def again_and_again() -> None:
        while not over.is_set():
            compact(tmp_path)

    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        prepare(tmp_path, traces, lambda: None)
        assert len(erase(tmp_path, traces)) == SEGMENTS
    finally:
        over.set()
        thread.join()
    assert holding(tmp_path, traces) == []
    assert ids(tmp_path) == {f"{number}-{row}" for number in range(SEGMENTS) for row in range(10)}


def test_what_is_old_and_was_written_again_meanwhile_stays_for_the_next_time(tmp_path: Path) -> None:
    written(tmp_path)
    compact(tmp_path)
    old = prunable(tmp_path, T0 + timedelta(hours=3))
    assert len(old) == 3
    erase(tmp_path, Traces(frozenset({"someone-1"}), ()))
    prune(tmp_path, old)
    assert {name.partition("-")[0] for name in ids(tmp_path)} == {"1", *map(str, range(3, SEGMENTS)), "someone"}
    assert [one.answers for one in prunable(tmp_path, T0 + timedelta(hours=3))] == [10]
