"""`trimtab experiment`: list, run and show as a person sees them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trimtab.cli.main import main
from trimtab.records.studies import ExperimentFinished
from trimtab.wiring.history import effects
from trimtab.wiring.place import open_place

BAKERY = Path(__file__).parent.parent / "systems" / "bakery"
DECLARED = """
[[experiments]]
name = "flour"
hypothesis = "How much flour there is tells what sells out"
baseline = { leave_out = ["flour"] }
change = { add = ["flour"] }
expect = "quality.roc_auc >= baseline + 0.3"
folds = 1
seeds = 1
"""


@pytest.fixture
def bakery(tmp_path: Path) -> Path:
    folder = tmp_path / "bakery"
    shutil.copytree(BAKERY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "trimtab.toml").open("a") as file:
        file.write(DECLARED)
    return folder


def test_an_experiment_from_the_list_to_its_evidence(bakery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "list", str(bakery)]) == 0
    assert "not run" in capsys.readouterr().out
    assert main(["experiment", "show", str(bakery), "flour"]) == 0
    assert "was not run yet" in capsys.readouterr().out

    assert main(["experiment", "run", str(bakery), "--json"]) == 0
    (fact,) = json.loads(capsys.readouterr().out)
    assert fact["name"] == "flour"
    assert fact["verdict"] in ("refuted", "inconclusive")

    assert main(["experiment", "run", str(bakery), "flour"]) == 0
    assert "nothing it follows from has changed since it was run" in capsys.readouterr().out
    assert main(["experiment", "list", str(bakery)]) == 0
    assert fact["verdict"] in capsys.readouterr().out
    assert main(["experiment", "show", str(bakery), "flour"]) == 0
    shown = capsys.readouterr().out
    assert "with flour" in shown
    assert "quality.roc_auc" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    page = bakery / "flour.html"
    assert main(["experiment", "show", str(bakery), "flour", "--html", str(page)]) == 0
    _check_page(page.read_text("utf-8"), bakery, fact)
    capsys.readouterr()
    assert main(["log", str(bakery)]) == 0
    assert "experiment" in capsys.readouterr().out


def _check_page(page: str, bakery: Path, fact: dict[str, Any]) -> None:
    """The page tells the verdict; what lies behind it is of the same rows and adds up to it."""
    assert f'class="pill {fact["verdict"]}"' in page
    assert "with flour" in page
    assert "Left out" not in page
    for shop in ("By shop", "Worth in 30 days", "By period and seed"):
        assert shop in page
    with open_place(str(bakery), None) as place:
        entry = place.ledger.last(ExperimentFinished)
        assert entry is not None
        behind = effects(place, place.system.experiments[0], entry)
    (figures,) = behind.figures
    assert figures.reference == pytest.approx(fact["reference"])
    assert figures.changed == pytest.approx(fact["changed"])
    assert sum(one.rows for one in behind.slices) == fact["rounds"][0]["rows"]
    assert all(one.low <= one.difference <= one.high for one in behind.slices)
    assert behind.worth is not None
    assert behind.arms is not None
    assert any("flour" in line for line in behind.arms.params)


def test_what_is_not_there_is_named(bakery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "run", str(bakery), "flower"]) == 2
    assert 'did you mean "flour"?' in capsys.readouterr().err
    assert main(["experiment", "list", str(BAKERY), "--state", str(bakery / "state")]) == 2
    said = capsys.readouterr().err
    assert "no experiment is declared" in said
    assert 'expect = "quality.roc_auc >= baseline + 0.02"' in said, "who has no documentation at hand can go on"
