"""Folders of work that killed processes left are removed, those of others stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from trimtab.records.scratch import sweep_scratch


def test_only_what_the_dead_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        with subprocess.Popen([sys.executable, "-c", ""]) as dead:
            dead.wait()
        kept = {f"work-{os.getpid()}-1", f"work-{living.pid}-abc", f"other-{dead.pid}-1", "work-of-mine", "work"}
        for name in (*kept, f"work-{dead.pid}-1", f"work-{dead.pid}-a-b", f"work-{10**30}-1"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").touch()
        sweep_scratch(tmp_path, "work")
        assert {folder.name for folder in tmp_path.iterdir()} == kept


def test_a_place_that_is_not_there_has_nothing_to_remove(tmp_path: Path) -> None:
    sweep_scratch(tmp_path / "absent", "work")
