"""`trimtab data collect`: now, with what it comes to, and what is said when a source is not as it was."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.conftest import Cli, Place


def test_what_is_new_is_collected_once_and_stands_in_the_ledger(cli: Cli, fresh: Place) -> None:
    first = cli("data", "collect", fresh, "--json").json
    assert [(one["dataset"], one["rows"] == one["added"] > 0) for one in first] == [("readings", True)]
    again = cli("data", "collect", fresh)
    assert again.code == 0
    assert "nothing new" in again.out
    logged = cli("log", fresh, "--json").json
    assert sum(entry["fact"]["kind"] == "dataset_committed" for entry in logged) == 1
    assert cli("data", "collect", fresh, "reading").code == 2


def test_what_is_left_for_later_and_what_changed_is_said(cli: Cli, fresh: Place) -> None:
    fresh.edit("trimtab.toml", '"readings.csv"', '"*.csv"')
    head = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()[0]
    (fresh.folder / "b.csv").write_text(f"{head}\nhalf a li", "utf-8")
    ran = cli("data", "collect", fresh)
    assert ran.code == 0, ran.said
    assert "b.csv is left for later: its last line has no end" in ran.out
    os.utime(fresh.folder / "b.csv", (0, 0))
    ran = cli("data", "collect", fresh)
    assert ran.code == 1
    assert "b.csv cannot be read" in ran.err
    assert "put it right or move it away" in ran.err


def test_progress_is_shown_to_a_person_and_to_nobody_else(fresh: Place) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from trimtab.cli.main import main; sys.exit(main())",
        "data",
        "collect",
        str(fresh),
    ]
    terminal = f"import pty, sys; sys.exit(pty.spawn({command!r}) >> 8)"
    shown = subprocess.run(
        [sys.executable, "-c", terminal], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    assert "rows in 1 pages" in shown
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not plain.stderr
    assert "new rows to" in plain.stdout or "nothing new" in plain.stdout
