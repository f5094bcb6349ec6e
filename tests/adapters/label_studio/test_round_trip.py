"""From rows without a label to a live model, through two annotators who disagree: their disagreement holds the release
back until it is adjudicated. Everything is real: Label Studio, its users, the trainings and the gate."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.adapters.label_studio.conftest import ANN, BOB
from tests.adapters.label_studio.studio import LEAD, TOKEN, Studio, choice
from tests.cli.conftest import Cli, Place

pytestmark = [pytest.mark.component, pytest.mark.timeout(400)]
ROWS = 180
LABELS = """
[labels]
kind = "class"
classes = ["cool", "hot"]
policy = "adjudicate"
trusted = ["{lead}"]
tool = "label-studio"
url = "{url}"
project = "pump alarms"
show = ["pump", "load", "outside", "age"]
cost_per_label = 0.05
"""


def other(label: str) -> str:
    return "cool" if label == "hot" else "hot"


def without_labels(place: Place) -> dict[str, str]:
    """Take the labels out of the file, and keep them: what people look at."""
    path = place.folder / "readings.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))[-ROWS:]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "hot"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return {row["reading"]: "hot" if row["hot"] == "1" else "cool" for row in rows}


def label(studio: Studio, tasks: dict[str, int], person: str, labels: dict[str, str]) -> None:
    """A person labels items in the tool."""
    for item, value in labels.items():
        studio.annotate(tasks[item], choice(value), person)


def agreement(cli: Cli, place: Place) -> dict[str, object]:
    (found,) = [v for v in cli("status", place, "--json").json["verdicts"] if v["metric"] == "labels.agreement"]
    return found  # type: ignore[no-any-return]


def test_disagreement_blocks_a_release_until_it_is_adjudicated(
    studio: Studio,
    fresh: Place,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, truth = fresh, without_labels(fresh)
    monkeypatch.setenv("LABEL_TOOL_TOKEN", TOKEN)
    place.edit("trimtab.toml", "[requirements]", '[requirements]\n"labels.agreement" = ">= 0.8"')
    place.edit("trimtab.toml", 'holdout = "5 d"', 'holdout = "2 d"')
    place.edit("trimtab.toml", '"quality.roc_auc"     = ">= 0.7"\n', "")
    with (place.folder / "trimtab.toml").open("a") as file:
        file.write(LABELS.format(url=studio.url, lead=LEAD))

    cli("run", place)  # the rows come in; the project is not there yet, which is told and costs nothing else
    assert "no project 'pump alarms'" in cli("log", place, "-n", "0").said
    assert cli("labels", "push", place, "-n", "0", "--json").json["added"] == ROWS
    assert cli("labels", "push", place, "-n", "0", "--json").json["added"] == 0, "pushing again adds nothing"
    tasks = {item: int(task["id"]) for item, task in studio.tasks(studio.project("pump alarms")).items()}
    assert set(tasks) == set(truth)

    torn = list(truth)[::3]
    label(studio, tasks, ANN, truth)
    label(studio, tasks, BOB, {i: other(v) if i in torn else v for i, v in truth.items()})
    cli("run", place)
    status = cli("status", place, "--json").json
    assert status["live"] is None
    assert status["counts"]["rejected"] == 1
    verdict = agreement(cli, place)
    assert verdict["status"] == "broken"
    assert f"{len(torn)} contested" in str(verdict["reason"])
    assert "labels.agreement broken" in cli("log", place, "-n", "0").said
    contested = cli("labels", "contested", place, "-n", "0", "--json").json
    assert {c["item"] for c in contested} == set(torn)
    assert set(contested[0]["labels"]) == {ANN, BOB}

    label(studio, tasks, LEAD, {item: truth[item] for item in torn})
    ran = cli("run", place)
    status = cli("status", place, "--json").json
    assert status["live"] is not None, ran.said
    verdict = agreement(cli, place)
    assert verdict["status"] == "met"
    assert verdict["reason"] == f"{len(torn)} of {ROWS} items were settled by adjudication"
    cli("data", "export", place, "readings", place.folder / "all.csv")
    stored = csv.DictReader((place.folder / "all.csv").read_text().splitlines())
    assert {row["reading"]: row["hot"] for row in stored} == truth

    place.grow(40)
    rows = (place.folder / "readings.csv").read_text("utf-8").splitlines()
    (place.folder / "readings.csv").write_text("\n".join(",".join(row.split(",")[:6]) for row in rows) + "\n")
    cli("run", place)
    assert cli("labels", "push", place, "-n", "10", "--json").json["added"] == 10
    found = studio.tasks(studio.project("pump alarms"))
    guessed = [task["predictions"] for item, task in found.items() if item not in truth]
    assert len(guessed) == 10
    assert all(len(guess) == 1 and 0.0 <= guess[0]["score"] <= 1.0 for guess in guessed), "the live model answers first"
    assert all(
        guess[0]["model_version"] and status["live"]["model"].startswith(guess[0]["model_version"]) for guess in guessed
    )


def test_a_tool_that_is_away_costs_its_news_alone(
    fresh: Place,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LABEL_TOOL_TOKEN", TOKEN)
    without_labels(fresh)
    with (Path(fresh.folder) / "trimtab.toml").open("a") as file:
        file.write(LABELS.format(url="http://127.0.0.1:9", lead=LEAD))
    cli("run", fresh)
    assert "cannot be reached" in cli("log", fresh, "-n", "0").said
    assert cli("data", "show", fresh, "readings", "--json").json[-1]["rows"] == ROWS
    ran = cli("labels", "pull", fresh)
    assert ran.code == 1
    assert "Label Studio at http://127.0.0.1:9 cannot be reached" in ran.err
