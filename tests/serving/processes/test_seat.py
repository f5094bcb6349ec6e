"""Who takes up what: each run's segments fall to exactly one process, and to the one that has its seat."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", 10**6),
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("nonsense\n", 10**6),
        ("50000 100000", 1),
    ],
)
def test_a_container_may_have_fewer_cores_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(10**6))
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert cores(quota) == expected
    assert cores(tmp_path / "missing") == 10**6
