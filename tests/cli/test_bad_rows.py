"""Rows that are wrong: put aside with the reason, each one once, while the good ones beside them are taken in."""

from __future__ import annotations

import os
import re

import pytest
from tests.cli.conftest import Cli, Place, is_live, outcome, row

ASIDE = {
    "wrong type": (row("x1", load="many"), "wrong type: load cannot be read"),
    "a time that is none": (row("x1", at="yesterday"), "wrong type: at cannot be read"),
    "out of range": (row("x1", load="100.5"), "invalid: load is not within 0..100"),
    "not one of the values": (row("x1", pump="west"), "invalid: pump is not one of north, south, east"),
    "not a number": (row("x1", load="NaN"), "invalid: load is not within 0..100"),
    "no key": (row(""), "missing: key reading"),
}


@pytest.mark.parametrize("name", ASIDE)
def test_a_bad_row_is_put_aside_with_its_reason(cli: Cli, lived: Place, name: str) -> None:
    bad, reason = ASIDE[name]
    lived.append(bad, row("good"))
    ran = cli("run", lived)
    assert ran.code == 0, ran.said
    assert outcome(ran, "done").endswith("1 new row, 1 quarantined")
    assert reason in cli("data", "quarantine", lived, "readings").out
    assert cli("run", lived).code == 0
    kept = cli("data", "quarantine", lived, "readings", "--json").json
    assert list(kept["reasons"].values()) == [1], "seen again, it is not put aside again"
    is_live(cli, lived)


def test_of_two_rows_with_one_key_one_stays(cli: Cli, lived: Place) -> None:
    lived.append(row("twin"), row("twin", load="51"))
    assert "1 new row" in outcome(cli("run", lived), "done")
    shown = cli("data", "quarantine", lived, "readings").out
    assert "duplicate: its key comes more than once in one collection" in shown
    assert "twin" in shown


def test_a_row_that_contradicts_a_stored_one_changes_nothing(cli: Cli, lived: Place) -> None:
    before = cli("data", "list", lived, "--json").json[0]["version"]["id"]
    lived.append(row("p-01499", load="1"))
    assert cli("run", lived).code == 0
    assert cli("data", "list", lived, "--json").json[0]["version"]["id"] == before
    assert "its key is stored with other content" in cli("data", "quarantine", lived, "readings").out
    assert cli("data", "verify", lived).code == 0


def test_a_row_of_the_future_waits(cli: Cli, lived: Place) -> None:
    lived.append(row("later", at="2999-01-01T00:00:00Z"), row("good"))
    assert outcome(cli("run", lived), "done").endswith("1 new row")


def test_a_source_whose_times_cannot_be_read_is_told_with_the_mend(cli: Cli, fresh: Place) -> None:
    lines = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()
    position = lines[0].split(",").index("at")
    cells = [line.split(",") for line in lines]
    fresh.write(
        "readings.csv",
        "\n".join(
            ",".join([*c[:position], "18.07.2026", *c[position + 1 :]]) if i else ",".join(c)
            for i, c in enumerate(cells)
        )
        + "\n",
    )
    ran = cli("run", fresh)
    assert (ran.code, "rows were refused" in ran.out, "ISO 8601" in ran.out) == (1, True, True)


def test_a_source_that_says_so_puts_the_future_aside(cli: Cli, fresh: Place) -> None:
    """A function may give what it likes, unlike a file that is read up to the present."""
    fresh.edit("trimtab.toml", 'source = "readings.csv"', 'source = "python:sources:rows"')
    fresh.write(
        "sources.py",
        "from pathlib import Path\nimport polars as pl\n\n\ndef rows(since, until):\n"
        "    found = pl.read_csv(Path(__file__).with_name('readings.csv'), try_parse_dates=True)\n"
        "    return found\n",
    )
    fresh.append(row("later", at="2999-01-01T00:00:00Z"))
    assert "1,500 new rows, 1 quarantined" in cli("run", fresh, "--once").out
    assert "future: at lies after the present" in cli("data", "quarantine", fresh, "readings").out


def test_a_line_that_is_no_row_is_refused_and_the_others_are_taken(cli: Cli, lived: Place) -> None:
    lived.append("r1,r2,r3,r4,r5,r6,r7,r8,r9", row("good"))
    assert outcome(cli("run", lived), "done").endswith("1 new row, 1 quarantined")
    assert "r1,r2,r3" in cli("data", "quarantine", lived, "readings", "--json").out


def test_a_line_that_is_being_written_is_waited_for(cli: Cli, lived: Place) -> None:
    whole = row("good")
    with (lived.folder / "readings.csv").open("a", encoding="utf-8") as file:
        file.write(whole[:12])
    said = outcome(cli("run", lived), "done")
    assert "nothing is new" in said
    assert "readings.csv is left for later: its last line has no end" in said
    lived.append(whole[12:])
    assert outcome(cli("run", lived), "done").endswith("1 new row")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text.replace(",outside", "", 1), "do not have the 6 cells of its header"),
        (lambda text: "\n".join(line.rpartition(",")[0] for line in text.splitlines()), "no column 'hot'"),
        (lambda text: text.replace("at,", "when,", 1), "has no column 'at' (time)"),
        (lambda text: text + row("naive", at="2026-01-01T00:00:00") + "\n" + row("x"), "have no time zone"),
        (lambda text: "", "readings.csv cannot be read"),
    ],
    ids=["a heading lost", "a column lost", "the time lost", "no zone", "no bytes"],
)
def test_a_file_that_cannot_be_taken_is_named_and_nothing_is_lost(
    cli: Cli, lived: Place, spoil: object, told: str
) -> None:
    path = lived.folder / "readings.csv"
    whole = path.read_text("utf-8")
    lived.grow(2)
    newer = path.read_text("utf-8")
    path.write_text(spoil(newer), "utf-8")  # type: ignore[operator]
    os.utime(path, (1.7e9, 1.7e9))  # nobody is writing to it now
    ran = cli("run", lived)
    assert ran.code == 1
    failed = outcome(ran, "failed")
    assert told in failed
    assert "readings" in failed
    is_live(cli, lived)
    assert f"collect failed: {failed.split(None, 1)[1][:60]}" in cli("status", lived).out
    assert cli("data", "show", lived, "readings", "--json").json[-1]["rows"] == len(whole.splitlines()) - 1
    path.write_text(newer, "utf-8")
    assert "2 new rows" in outcome(cli("run", lived), "done")
    assert "collect failed" not in cli("status", lived).out


def test_a_source_that_raises(cli: Cli, lived: Place) -> None:
    lived.edit("trimtab.toml", 'source = "readings.csv"', 'source = "python:sources:rows"')
    lived.write("sources.py", "def rows(since, until):\n    raise RuntimeError('the line is dead')\n")
    ran = cli("run", lived)
    assert ran.code == 1
    failed = outcome(ran, "failed")
    for word in ("'readings'", "sources.py:2", "RuntimeError: the line is dead"):
        assert word in failed
    is_live(cli, lived)
    ran = cli("check", lived, "--state", lived.folder / "none")
    assert (ran.code, "the line is dead" in ran.out) == (1, True)
    lived.write("sources.py", "def lines(since, until):\n    return []\n")
    ran = cli("run", lived)
    assert (ran.code, "has no function 'rows'" in ran.said) == (1, True)
    assert "its functions are lines" in ran.said
    is_live(cli, lived)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (0, "no labelled row is known yet"),
        (20, "too few labelled rows: 20, need 30"),
    ],
)
def test_too_little_data_to_begin_with(cli: Cli, fresh: Place, rows: int, told: str) -> None:
    lines = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()
    fresh.write("readings.csv", "\n".join(lines[: rows + 1]) + "\n")
    ran = cli("run", fresh)
    assert (ran.code, told in ran.out) == (1, True)
    assert cli("status", fresh).code == 1
    assert cli("check", fresh).code == 0


def test_one_class_only(cli: Cli, fresh: Place) -> None:
    lines = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()
    fresh.write("readings.csv", "\n".join([lines[0], *(f"{line[:-1]}1" for line in lines[1:])]) + "\n")
    ran = cli("check", fresh)
    assert (ran.code, "'hot' holds 1 classes (1)" in ran.out) == (1, True)
    ran = cli("run", fresh)
    assert ran.code == 1
    assert "one class only: hot = 1" in outcome(ran, "failed")
    shown = cli("status", fresh)
    assert (shown.code, "nothing is live" in shown.out, "one class only" in shown.out) == (1, True, True)
    assert cli("run", fresh).out.count("train ") == 0, "the same rows are not tried again"


def test_a_source_of_which_nothing_can_be_taken_is_told_for_as_long_as_it_holds(cli: Cli, fresh: Place) -> None:
    """Not once, when the rows come, and then never again, as the file has nothing new."""
    path = fresh.folder / "readings.csv"
    good = path.read_text("utf-8")
    header, *lines = good.splitlines()
    path.write_text("\n".join([header, *(re.sub(r",[^,]*Z,", ",01/02/2026 5pm,", line) for line in lines)]) + "\n")
    for _ in range(3):
        ran = cli("run", fresh)
        assert ran.code == 1
        assert "all 1,500 rows were refused" in outcome(ran, "failed")
        (failed,) = cli("status", fresh, "--json").json["failed"]
        assert "all 1,500 rows were refused" in failed["summary"]
        assert "a time is ISO 8601" in cli("status", fresh).out
    path.write_text(good, "utf-8")
    assert cli("run", fresh).code in (0, 1)  # data.validity counts them
    is_live(cli, fresh)
    assert cli("status", fresh, "--json").json["failed"] == []


def test_new_rows_of_which_none_can_be_read_are_told_until_they_are_gone(cli: Cli, lived: Place) -> None:
    path = lived.folder / "readings.csv"
    before = path.read_text("utf-8")
    lived.append(*[f"n{number},01/02/2026 5pm,north,50,15,5,1" for number in range(30)])
    for _ in range(3):
        assert cli("run", lived).code == 1
        assert "column 'at' retyped: 30 of 30 rows cannot be read" in " ".join(cli("status", lived).out.split())
        is_live(cli, lived)
    path.write_text(before, "utf-8")
    assert cli("run", lived).code == 0
    assert "collect failed" not in cli("status", lived).out
