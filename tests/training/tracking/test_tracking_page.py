"""docs/tracking.md names what there is: every call, every tracker, every limit."""

from __future__ import annotations

import re
from pathlib import Path

import trimtab
from trimtab.training.tracking import energy, recorder
from trimtab.wiring.kinds import trackers

PAGE = (Path(__file__).parents[3] / "docs" / "tracking.md").read_text("utf-8")


def test_every_call_is_told():
    named = set(re.findall(r"`((?:log|flush)_\w+|\w+_callback)\(", PAGE))
    there = {name for name in trimtab.__all__ if name.startswith(("log_", "flush_")) or name.endswith("_callback")}
    assert named == there
    assert all(callable(getattr(trimtab, name)) for name in there)


def test_every_tracker_is_told():
    rows = PAGE.split("| tool | place |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", rows, re.MULTILINE)) == set(trackers())


def test_limits_and_powers_are_as_they_are():
    for text in (
        f"{recorder.MOST_POINTS:,} points",
        f"{recorder.MOST_SERIES:,} metrics",
        f"{recorder.MOST_ARTIFACTS:,} files",
        f"{recorder.MOST_BYTES // 2**30} GiB of files",
        f"{energy.CORE_WATTS:g} W a busy core",
        f"{energy.MEMORY_WATTS:g} W a GB of memory",
    ):
        assert text in PAGE, text
