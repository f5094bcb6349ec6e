"""Who takes up what: each run's segments fall to exactly one process, and to the one that has its seat."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.running import Running

from trimtab.records.server import ServerConfig
from trimtab.serving.processes.cores import cores
from trimtab.serving.processes.seat import Seat

COUNTS = st.integers(1, 64)
MOMENTS = st.integers(0, 2**62)


@given(COUNTS, MOMENTS, MOMENTS)
def test_every_run_falls_to_exactly_one_process(count: int, born: int, run: int) -> None:
    heirs = [slot for slot in range(count) if Seat(slot=slot, count=count, born=born).inherits(run)]
    assert len(heirs) == 1
    if run < born:
        assert heirs == [0]


@given(COUNTS, st.data())
def test_what_a_seat_writes_falls_to_whoever_takes_it_next(count: int, data: st.DataObject) -> None:
    slot = data.draw(st.integers(0, count - 1))
    first = Seat(slot=slot, count=count, turn=1)
    run = first.new_run()
    assert Seat(slot=slot, count=count, turn=2).inherits(run)
    assert first.alone == (count == 1)


def test_a_clock_that_is_set_back_changes_no_heir(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process wrote that was started after it is its seat's, and told from what was there before."""
    count, born, began = 3, time.time_ns(), time.monotonic_ns()
    monkeypatch.setattr("time.time_ns", lambda: born - 3600 * 10**9)
    runs = []
    for turn in (1, 2, 3):
        time.sleep(0.000_1)
        seat = Seat(slot=2, count=count, turn=turn, born=born, began=began)
        runs.append(seat.new_run())
        heirs = [slot for slot in range(count) if Seat(slot=slot, count=count, born=born).inherits(runs[-1])]
        assert heirs == [2]
    assert runs == sorted(set(runs))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", 10**6),
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("nonsense\n", 10**6),
        ("50000 100000", 1),
        ("50000 0", 10**6),
    ],
)
def test_a_container_may_have_fewer_cores_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(10**6))
    (tmp_path / "cpu.max").write_text(text)
    for own in ("", "0::/\n", "0::/another/that/is/not/seen/here\n", "nonsense"):
        (tmp_path / "own").write_text(own)
        assert cores(tmp_path, tmp_path / "own") == expected
    assert cores(tmp_path / "missing", tmp_path / "missing") == 10**6


def test_the_least_of_the_groups_around_a_service_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))
    service = tmp_path / "system.slice" / "trimtab.service"
    service.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/system.slice/trimtab.service\n")
    assert cores(tmp_path, own) == 64
    (service / "cpu.max").write_text("800000 100000\n")
    assert cores(tmp_path, own) == 8
    (service.parent / "cpu.max").write_text("300000 100000\n")
    assert cores(tmp_path, own) == 3


@pytest.mark.parametrize(("quota", "expected"), [("-1", 64), ("250000", 3)])
def test_control_groups_of_the_first_version_count_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))
    group = tmp_path / "cpu" / "docker"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(quota)
    (group / "cpu.cfs_period_us").write_text("100000")
    own = tmp_path / "own"
    own.write_text("5:memory:/docker\n4:cpu,cpuacct:/docker\n0::/\n")
    assert cores(tmp_path, own) == expected


def test_one_core_is_one_process(tmp_path: Path) -> None:
    """`processes = "auto"` where the machine's affinity allows one core: no supervisor, and nothing to share."""
    config = ServerConfig(system=models.SYSTEM, port=0, processes=0)
    before = os.sched_getaffinity(0)
    server = Running(tmp_path, config)
    try:
        os.sched_setaffinity(0, {min(before)})
        server.start()
    finally:
        os.sched_setaffinity(0, before)
    try:
        assert server.local.pid is not None
        assert psutil.Process(server.local.pid).children() == []
    finally:
        server.local.stop()
