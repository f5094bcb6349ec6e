"""`trimtab telemetry`: looked at, taken out, checked, compacted and pruned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.cli.conftest import Cli, Place, one_line
from tests.serving.telemetry.written import Written

NOW = datetime.now(UTC).replace(microsecond=0)


def folder(place: Place) -> Path:
    return place.folder / ".trimtab" / "telemetry"


@pytest.fixture
def answered(lived: Place) -> Place:
    """A year of it: two old segments that are sealed, and one of yesterday that is still open."""
    for ago, name in ((300, "old"), (200, "older"), (1, "new")):
        written = Written(folder(lived))
        at = NOW - timedelta(days=ago)
        written.answer([f"{name}-{row}" for row in range(4)], at)
        written.answer([f"{name}-0"], at, "r2", stage="shadow")
        written.tell({f"{name}-0": 1.0, f"{name}-1": 0.0}, at + timedelta(hours=1))
        written.tell({f"{name}-1": 1.0, "stranger": 1.0}, at + timedelta(hours=2), orphans=["stranger"])
        if ago > 1:
            written.close()
        else:
            written.writer.drop(1, 2, 7, "the disk was full")
            written.writer.close(seal=False)
    return lived


def test_nothing_yet(cli: Cli, lived: Place) -> None:
    assert cli("telemetry", "list", lived).out == "nothing was answered yet\n"
    assert cli("telemetry", "show", lived).out == "nothing was answered yet\n"
    assert cli("telemetry", "compact", lived).out == "0 segments compacted\n"
    assert cli("telemetry", "verify", lived).out == "0 segments, 0 answers, 0 truths: sound\n"


def test_list_tells_every_segment(cli: Cli, answered: Place) -> None:
    assert cli("telemetry", "compact", answered).out == "2 segments compacted\n"
    ran = cli("telemetry", "list", answered)
    assert ran.code == 0
    assert "3 segments: 15 answers, 12 truths" in ran.out
    lines = ran.out.splitlines()[2:5]
    assert [("compacted" in line, "open" in line) for line in lines] == [(True, False), (True, False), (False, True)]
    assert "7 rows could not be kept" in lines[2]
    found = cli("telemetry", "list", answered, "--json").json
    assert [one["answers"] for one in found["segments"]] == [5, 5, 5]


@pytest.mark.parametrize("compacted", [False, True])
def test_show_tells_what_came(cli: Cli, answered: Place, compacted: bool) -> None:
    if compacted:
        cli("telemetry", "compact", answered)
    ran = cli("telemetry", "show", answered)
    assert ran.code == 0
    found = cli("telemetry", "show", answered, "--json").json
    told = {(one["release"], one["stage"]): (one["rows"], one["truths"]) for one in found["releases"]}
    assert told == {("r1", "live"): (12, 6), ("r2", "shadow"): (3, 3)}
    assert found["counts"] == {
        "asked again": 0,
        "truths that came again": 5,
        "ids with truths that differ": 3,
        "truths of ids that were never seen": 1,
        "truths that say nothing": 0,
        "answered rows that could not be kept": 7,
    }
    assert "3 ids with truths that differ" in ran.out
    recent = cli("telemetry", "show", answered, "--since", f"{NOW - timedelta(days=30):%Y-%m-%d}", "--json").json
    assert [one["rows"] for one in recent["releases"]] == [4, 1]


@pytest.mark.parametrize("compacted", [False, True])
def test_one_prediction_with_its_truths(cli: Cli, answered: Place, compacted: bool) -> None:
    if compacted:
        cli("telemetry", "compact", answered)
    ran = cli("telemetry", "show", answered, "old-1")
    assert "scored by r1 (live, model model-r1)" in ran.out
    assert "input_distance" in ran.out
    assert "told to be 0.0, which holds no more" in ran.out
    assert ran.out.splitlines()[-1].endswith("told to be 1.0")
    assert "of a prediction that was never seen" in cli("telemetry", "show", answered, "stranger").out
    both = cli("telemetry", "show", answered, "old-0", "--json").json
    assert [row["release"] for row in both["rows"]] == ["r1", "r2"]
    one_line(cli("telemetry", "show", answered, "nobody"), "no prediction and no truth has the id 'nobody'")


@pytest.mark.parametrize("compacted", [False, True])
def test_export_takes_it_out(cli: Cli, answered: Place, tmp_path: Path, compacted: bool) -> None:
    if compacted:
        cli("telemetry", "compact", answered)
    tables = {}
    for kind in ("parquet", "arrow", "csv", "ndjson"):
        file = tmp_path / f"out.{kind}"
        assert cli("telemetry", "export", answered, file).out.startswith("15 rows written to")
        read = {"parquet": pl.read_parquet, "arrow": pl.read_ipc, "csv": pl.read_csv, "ndjson": pl.read_ndjson}[kind]
        tables[kind] = read(file)
    whole = tables["parquet"]
    assert whole.columns == tables["arrow"].columns == tables["csv"].columns == tables["ndjson"].columns
    assert whole.columns[:10] == [
        "id", "time", "release", "model", "stage", "generation", "score", "label", "truth_time", "latency",
    ]  # fmt: skip
    assert whole["label"].drop_nulls().to_list() == [1.0] * 9
    assert whole["id"].to_list() == tables["csv"]["id"].to_list()
    assert whole["input_carrier"].cast(pl.String).to_list() == tables["csv"]["input_carrier"].to_list()
    file = tmp_path / "some"
    since = f"{NOW - timedelta(days=250):%Y-%m-%d}"
    assert cli("telemetry", "export", answered, file, "--format", "csv", "--since", since, "--release", "r2").code == 0
    assert pl.read_csv(file)["id"].to_list() == ["older-0", "new-0"]
    one_line(cli("telemetry", "export", answered, tmp_path / "out.xlsx"), "'xlsx' is no format", "parquet, csv, arrow")


def test_verify_finds_damage(cli: Cli, answered: Place) -> None:
    assert cli("telemetry", "verify", answered).out == "3 segments, 15 answers, 12 truths: sound\n"
    cli("telemetry", "compact", answered)
    assert cli("telemetry", "verify", answered).code == 0
    file = min(folder(answered).glob("*/answers-tab.arrow"))
    data = bytearray(file.read_bytes())
    data[-200] ^= 4
    file.write_bytes(data)
    (segment,) = folder(answered).glob("*.seg")
    segment.write_bytes(segment.read_bytes() + b"half a fr")
    ran = cli("telemetry", "verify", answered)
    assert ran.code == 1
    assert "answers-tab.arrow is damaged" in ran.out
    assert "9 bytes at its end are no whole frame" in ran.out
    assert not cli("telemetry", "verify", answered, "--json").json["segments"][1]["problems"]


def test_prune_takes_what_is_old_and_not_needed(cli: Cli, answered: Place) -> None:
    one_line(cli("telemetry", "prune", answered), "is not declared", "telemetry_keep")
    answered.edit("trimtab.toml", "port = 8080", 'port = 8080\ntelemetry_keep = "250 d"')
    assert cli("telemetry", "prune", answered).out == "nothing is old enough to go\n"  # frames never go
    cli("telemetry", "compact", answered)
    dry = cli("telemetry", "prune", answered)
    assert dry.out.startswith("1 segment with 5 answers")
    assert dry.out.endswith("may go; --yes removes them\n")
    assert len(cli("telemetry", "list", answered, "--json").json["segments"]) == 3
    assert cli("telemetry", "prune", answered, "--yes").out.endswith(": removed\n")
    assert cli("telemetry", "prune", answered, "--yes").out == "nothing is old enough to go\n"
    assert len(cli("telemetry", "list", answered, "--json").json["segments"]) == 2
    assert "pruned: 5 answers and 4 truths before" in cli("log", answered).out
    assert not list(folder(answered).glob(".*going"))


def test_what_the_loop_still_looks_at_is_not_pruned(cli: Cli, answered: Place) -> None:
    answered.edit(
        "trimtab.toml",
        '"quality.roc_auc"',
        '"value.per_1000" = { limit = ">= -1 EUR", window = "400 d" }\n"quality.roc_auc"',
    )
    answered.edit("trimtab.toml", "port = 8080", 'port = 8080\ntelemetry_keep = "10 d"')
    cli("telemetry", "compact", answered)
    assert cli("telemetry", "prune", answered).out == "nothing is old enough to go\n"


def test_usage(cli: Cli, answered: Place) -> None:
    assert "show" in cli("telemetry", "--help").out
    one_line(cli("telemetry", "list", answered, "more"), "write `trimtab telemetry list [SYSTEM]`")
    assert cli("telemetry", "nonsense", answered).code == 2
