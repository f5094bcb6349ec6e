"""`trimtab experiment`: list, run and show as a person sees them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trimtab.cli.main import main

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
    assert main(["log", str(bakery)]) == 0
    assert "experiment" in capsys.readouterr().out


def test_what_is_not_there_is_named(bakery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "run", str(bakery), "flower"]) == 2
    assert 'did you mean "flour"?' in capsys.readouterr().err
    assert main(["experiment", "list", str(BAKERY), "--state", str(bakery / "state")]) == 2
    assert "no experiment is declared" in capsys.readouterr().err
