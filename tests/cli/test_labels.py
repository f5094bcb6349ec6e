"""Labels by people, from the first task to a release that their disagreement held back: through the embedded tool."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Place

LABELS = """
[labels]
kind = "class"
classes = ["cool", "hot"]
policy = "adjudicate"
trusted = ["lead"]
cost_per_label = 0.1
seconds_per_label = "6 s"
budget = "30 EUR"
"""


@pytest.fixture
def labelled(fresh: Place) -> tuple[Place, dict[str, str]]:
    """The minimal system without its labels, which people are to give; and the truth that they look at."""
    path = fresh.folder / "readings.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    truth = {row["reading"]: "hot" if row["hot"] == "1" else "cool" for row in rows}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "hot"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    declared = (fresh.folder / "trimtab.toml").read_text("utf-8")
    declared = declared.replace("[requirements]", '[requirements]\n"labels.agreement" = ">= 0.8"')
    declared = declared.replace('valid = { load = "0 .. 100", pump', 'late = "1 d"\nvalid = { load = "0 .. 100", pump')
    fresh.write("trimtab.toml", declared + LABELS)
    (fresh.folder / "labels").mkdir()
    return fresh, truth


def say(folder: Path, annotator: str, labels: dict[str, str], hours: float = 1.0) -> None:
    """Append an annotator's answers, given so many hours ago."""
    at = datetime.now(UTC) - timedelta(hours=hours)
    with (folder / "labels" / f"{annotator}.ndjson").open("a") as file:
        for item, value in labels.items():
            line = {"item": item, "annotator": annotator, "value": value, "at": at.isoformat(), "seconds": 4.0}
            file.write(json.dumps(line) + "\n")


def other(label: str) -> str:
    return "cool" if label == "hot" else "hot"


def test_disagreement_holds_a_release_back_until_it_is_settled(
    labelled: tuple[Place, dict[str, str]], cli: Cli
) -> None:
    place, truth = labelled
    cli("run", place)
    assert "no labelled row" in cli("status", place).said
    torn = [item for number, item in enumerate(truth) if number % 4 == 0]
    say(place.folder, "ann", truth)
    say(place.folder, "bob", {item: other(label) if item in torn else label for item, label in truth.items()})
    cli("run", place)
    status = cli("status", place, "--json").json
    assert status["live"] is None
    assert status["counts"]["rejected"] == 1
    (verdict,) = [v for v in status["verdicts"] if v["metric"] == "labels.agreement"]
    assert verdict["status"] == "broken"
    assert "375 contested, most of all p-00000 (ann: " in verdict["reason"]
    assert "labels.agreement broken" in cli("log", place).said
    shown = cli("labels", "show", place)
    assert shown.code == 1
    assert "1,125 resolved, 375 contested" in shown.said
    report = place.folder / "story.html"
    cli("report", place, "--out", report)
    assert "375 contested, most of all p-00000 (ann: " in report.read_text("utf-8")
    contested = cli("labels", "contested", place, "-n", "0", "--json").json
    assert {c["item"] for c in contested} == set(torn)
    again = cli("status", place).said
    cli("run", place)
    assert cli("status", place).said.splitlines()[1:] == again.splitlines()[1:], "nothing new, nothing done"

    say(place.folder, "lead", {item: truth[item] for item in torn}, hours=0.5)
    ran = cli("run", place)
    assert ran.code == 0, ran.said
    status = cli("status", place, "--json").json
    assert status["live"] is not None
    (verdict,) = [v for v in status["verdicts"] if v["metric"] == "labels.agreement"]
    assert verdict["status"] == "met"
    assert verdict["reason"] == "375 of 1,500 items were settled by adjudication"
    assert cli("labels", "show", place).code == 0
    versions = cli("data", "show", place, "readings_labels", "--json").json
    assert [v["added"] for v in versions] == [3000, 375]
    stored = cli("data", "show", place, "readings", "--json").json
    assert stored[-1]["completed"] == 375
    assert stored[-1]["rows"] == 1500
    assert cli("data", "verify", place).code == 0
    errors = cli("labels", "errors", place, "--json").json
    assert errors["checked"] > 100
    place.edit("trimtab.toml", '"labels.agreement"', '"labels.error_rate" = "<= 90%"\n"labels.agreement"')
    cli("run", place)
    (wrong,) = [v for v in cli("status", place, "--json").json["verdicts"] if v["metric"] == "labels.error_rate"]
    assert (wrong["status"], wrong["rows"]) == ("met", errors["checked"])
    assert wrong["figure"] == pytest.approx(
        len(cli("labels", "errors", place, "-n", "0", "--json").json["suspects"]) / wrong["rows"]
    )
    place.grow(30)
    rows = (place.folder / "readings.csv").read_text("utf-8").splitlines()
    place.write("readings.csv", "\n".join(",".join(row.split(",")[:6]) for row in rows) + "\n")
    cli("run", place)
    wanted = cli("labels", "next", place, "--json").json
    assert wanted["open"] == 30
    assert wanted["signals"] == ["uncertainty", "disagreement", "drift", "diversity"]
    assert {w["guess"] for w in wanted["wanted"]} <= {"hot", "cool"}


def test_what_is_next_is_pushed_once_and_what_comes_back_completes_the_rows(
    labelled: tuple[Place, dict[str, str]], cli: Cli
) -> None:
    place, truth = labelled
    cli("run", place)
    found = cli("labels", "next", place, "-n", "500", "--json").json
    assert len(found["wanted"]) == 150, "what 30 EUR pay for, at 0.1 a label and two an item"
    assert found["cost"] == pytest.approx(30.0)
    assert found["seconds"] == pytest.approx(1800.0)
    assert cli("labels", "push", place, "-n", "40", "--json").json["added"] == 40
    assert cli("labels", "push", place, "-n", "40", "--json").json == {
        "added": 0, "there": 40, "where": str(place.folder / "labels" / "tasks.ndjson"),
    }  # fmt: skip
    tasks = [json.loads(line) for line in (place.folder / "labels" / "tasks.ndjson").read_text().splitlines()]
    assert len({task["item"] for task in tasks}) == 40
    assert set(tasks[0]["shown"]) >= {"pump", "load", "outside"}
    items = [task["item"] for task in tasks]
    say(place.folder, "ann", {item: truth[item] for item in items})
    say(place.folder, "bob", {item: truth[item] for item in items[:30]})
    assert cli("labels", "pull", place, "--json").json["resolved"] == 30
    assert cli("labels", "pull", place).said.strip() == "nothing new was said"
    cli("data", "export", place, "readings", place.folder / "all.csv")
    told = {
        r["reading"]: r["hot"] for r in csv.DictReader((place.folder / "all.csv").read_text().splitlines()) if r["hot"]
    }
    assert told == {item: truth[item] for item in items[:30]}
    say(place.folder, "cid", {items[0]: other(truth[items[0]])}, hours=0.2)
    assert cli("labels", "pull", place, "--json").json["resolved"] == 29, "a third opinion brought a conflict"
    cli("data", "export", place, "readings", place.folder / "all.csv")
    told = {
        r["reading"]: r["hot"] for r in csv.DictReader((place.folder / "all.csv").read_text().splitlines()) if r["hot"]
    }
    assert items[0] not in told, "and its label is open again"
    assert "nothing" not in cli("labels", "contested", place).said


def test_what_is_no_label_is_kept_with_its_reason(labelled: tuple[Place, dict[str, str]], cli: Cli) -> None:
    place, truth = labelled
    cli("run", place)
    item = next(iter(truth))
    at = datetime.now(UTC).isoformat()
    lines = [
        "{half a line",
        json.dumps({"item": item, "annotator": "ann", "value": "lukewarm", "at": at}),
        json.dumps({"annotator": "ann", "value": "hot", "at": at}),
        json.dumps({"item": item, "annotator": "ann", "value": "hot", "at": "yesterday"}),
        '{"item": "p-1", "annotator": "ann", "value": "hot", "at": "2026-01-01T00:0',
    ]
    (place.folder / "labels" / "ann.ndjson").write_text("\n".join(lines))
    for _ in range(2):  # pulling again refuses nothing twice
        cli("labels", "pull", place)
        found = cli("labels", "refused", place, "--json").json
        assert sorted(one["reason"] for one in found) == [
            "ann.ndjson:1: is not one JSON object",
            "ann.ndjson:3: names no item",
            'ann.ndjson:4: has no moment "at" with a time zone',
            "there is no class 'lukewarm'; the classes are cool, hot",
        ]
    assert "lukewarm" in cli("labels", "refused", place).said


def test_without_a_table_of_labels_there_is_a_clear_word(fresh: Place, cli: Cli) -> None:
    ran = cli("labels", "show", fresh)
    assert ran.code == 1
    assert ran.err == "trimtab: nothing is labelled here (declare [labels])\n"
    fresh.edit("trimtab.toml", "[requirements]", '[requirements]\n"labels.agreement" = ">= 0.8"')
    assert "nobody labels, so there is nothing to measure (declare [labels])" in cli("check", fresh).err


def test_what_was_said_of_a_person_is_forgotten_with_them(
    labelled: tuple[Place, dict[str, str]], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, truth = labelled
    monkeypatch.setenv("TRIMTAB_MASTER_KEY", "5a" * 32)
    header, *lines = (place.folder / "readings.csv").read_text("utf-8").splitlines()
    rows = [f"{header},engineer", *(f"{line},crew-{number % 5:06d}" for number, line in enumerate(lines))]
    place.write("readings.csv", "\n".join(rows) + "\n")
    place.edit("trimtab.toml", 'label = "hot"', 'label = "hot"\nsubject = "engineer"')
    cli("run", place)
    items = list(truth)[:50]
    say(place.folder, "ann", {item: truth[item] for item in items})
    say(place.folder, "bob", {item: truth[item] for item in items})
    assert cli("labels", "pull", place, "--json").json["items"] == 50
    ran = cli("forget", "crew-000003", place, "--yes", "--json")
    assert ran.code == 0, ran.said
    assert [one["rows"] for one in ran.json["versions"]["readings_labels"]] == [20]
    assert cli("labels", "show", place, "--json").json["items"] == 40
    assert cli("labels", "pull", place, "--json").json["items"] == 40, (
        "the tool still tells of them, and is not listened to"
    )
    assert cli("data", "verify", place, "readings_labels").code == 0
    cli("run", place)
    assert cli("status", place, "--json").code in (0, 1)


def test_check_tells_what_labelling_takes(labelled: tuple[Place, dict[str, str]], cli: Cli) -> None:
    place, _ = labelled
    ran = cli("check", place, "--json")
    assert ran.code == 0, ran.said
    found = ran.json["scope"]["labels"]
    assert found["labels"] == 3000
    assert found["cost"] == pytest.approx(300.0)
    assert found["seconds"] == pytest.approx(18_000.0)
    assert found["budget_rows"] == 150
    said = " ".join(cli("check", place).said.split())
    assert "2 an item, by adjudicate; 3,000 labels, 300 EUR, 5 h for all rows" in said
    assert "30 EUR pay for 150 rows" in said
