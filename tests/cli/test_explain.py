"""`trimtab models explain`: what a model relies on, one row's answer, and what is said when rows are gone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

import pytest
from tests.cli.conftest import Cli, Place, one_line, real

CARD = '\n[card]\ngroups = ["pump"]\n'


def test_what_the_model_relies_on(cli: Cli, lived: Place) -> None:
    ran = cli("models", "explain", lived, "r-001")
    assert ran.code == 0
    features = [line.split()[0] for line in ran.out.splitlines()[2:6]]
    assert features[0] == "load"  # heat grows by 0.06 a percent of load, more than by anything else
    assert set(features) == {"load", "outside", "age", "pump"}
    assert max(map(len, ran.out.splitlines())) <= 100
    found = cli("models", "explain", lived, "r-001", "--json").json
    assert found["same"] is True
    assert found["losses"]["load"]["low"] > 0
    curve = next(one for one in found["curves"] if one["feature"] == "load")
    answers = [point["figure"] for point in curve["points"]]
    assert answers == sorted(answers)
    assert found["reliability"][0]["score"] < found["reliability"][-1]["score"]
    assert found["groups"] == {}


def test_groups_are_compared_where_they_are_declared(cli: Cli, lived: Place) -> None:
    lived.write("trimtab.toml", (lived.folder / "trimtab.toml").read_text("utf-8") + CARD)
    groups = cli("models", "explain", lived, "r-001", "--json").json["groups"]["pump"]
    assert {one["group"] for one in groups["selected"]} == {"north", "south", "east"}
    assert {"true_positive_rate", "false_positive_rate", "quality.roc_auc"} <= groups.keys()


def test_what_was_found_outlives_the_rows(cli: Cli, lived: Place) -> None:
    before = cli("models", "explain", lived, "r-001", "--json").json
    shutil.rmtree(lived.folder / ".trimtab" / "data")
    assert cli("models", "explain", lived, "r-001", "--json").json == before
    ran = cli("models", "explain", lived, "r-001", "--again")
    assert ran.code == 1
    one_line(ran, "no row that model", "is kept here any more")


def test_one_row_adds_up(cli: Cli, lived: Place) -> None:
    key = lived.rows()[7].split(",")[0]
    told = cli("models", "explain", lived, "r-001", "--row", key, "--json").json
    assert told["key"] == {"reading": key}
    assert {part["feature"] for part in told["parts"]} == {"load", "outside", "age", "pump"}
    sizes = [abs(part["contributions"][0]) for part in told["parts"]]
    assert sizes == sorted(sizes, reverse=True)
    (score,), threshold = told["scores"], 10 / 60  # a false alarm costs 10, one that was missed 40 and 10
    assert told["answer"] == ("1" if score >= threshold else "0")
    ran = cli("models", "explain", lived, "r-001", "--row", key)
    assert key in ran.out
    assert "log-odds" in ran.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("r-001", "--row", "nothing"), 1, "no row whose truth is known has the key 'nothing'"),
        (("r-009",), 2, "no model or release is called 'r-009'"),
        ((), 2, "write `trimtab models explain [SYSTEM] MODEL [--row KEY]`"),
    ],
)
def test_wrong_words(cli: Cli, lived: Place, words: tuple[str, ...], code: int, told: str) -> None:
    ran = cli("models", "explain", lived, *words)
    assert ran.code == code
    one_line(ran, told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "requirement", "model", "truth"),
    [
        ("regression", '"quality.mae" = "<= 40"', "HistGradientBoostingRegressor", lambda heat: f"{heat:.1f}"),
        (
            "multiclass_classification",
            '"quality.accuracy" = ">= 0.2"',
            "HistGradientBoostingClassifier",
            lambda heat: "low" if heat < 50 else "mid" if heat < 80 else "high",
        ),
    ],
)
def test_numbers_and_several_classes(
    cli: Cli, fresh: Place, task: str, requirement: str, model: str, truth: Callable[[float], str]
) -> None:
    header, *lines = (fresh.folder / "readings.csv").read_text("utf-8").splitlines()
    heats = [float(line.split(",")[3]) + float(line.split(",")[4]) for line in lines]
    rows = [f"{line},{truth(heat)}" for line, heat in zip(lines, heats, strict=True)]
    fresh.write("readings.csv", "\n".join([f"{header},heat", *rows]) + "\n")
    text = (fresh.folder / "trimtab.toml").read_text("utf-8")
    text = text.replace("binary_classification", task).replace('label = "hot"', 'label = "heat"')
    text = text.replace('"quality.roc_auc"     = ">= 0.7"', requirement)
    fresh.write("trimtab.toml", re.sub(r"\[value\].*?\n\n", "", text, flags=re.DOTALL) + CARD)
    code = f"from sklearn.ensemble import {model}\n\n\ndef train(train, valid, params):\n"
    fresh.write("model.py", f"{code}    return {model}(max_iter=20).fit(train.x, train.y)\n")
    assert real("run", fresh).code == 0
    found = cli("models", "explain", fresh, "r-001", "--json").json
    assert found["same"] is True
    assert list(found["contributions"])[:2] == ["load", "outside"]
    assert found["losses"]["load"]["low"] > found["losses"]["age"]["high"]
    curves = {(one["feature"], one["output"]): one["points"] for one in found["curves"]}
    rising = [point["figure"] for point in curves["load", "" if task == "regression" else "high"]]
    assert rising[-1] > rising[0]
    assert "pump" in found["groups"]
    key = fresh.rows()[3].split(",")[0]
    told = cli("models", "explain", fresh, "r-001", "--row", key, "--json").json
    assert len(told["base"]) == len(told["parts"][0]["contributions"]) == (1 if task == "regression" else 3)
    assert cli("models", "card", fresh, "r-001").code == 0
