"""`trimtab search` as a person sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trimtab.cli.main import main

BAKERY = Path(__file__).parent.parent / "systems" / "bakery"
DECLARED = """
[model.search]
space = { trees = { choices = [5, 40] } }
objective = ["quality.roc_auc", "resources.model_size"]
sampler = "grid"
"""


def test_a_search_and_what_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bakery"
    shutil.copytree(BAKERY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert main(["search", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "no search is declared" in said
    assert 'space = { learning_rate = [0.02, 0.3, "log"] }' in said, "who has no documentation at hand can go on"
    with (folder / "trimtab.toml").open("a") as file:
        file.write(DECLARED)
    assert main(["search", str(folder), "--show"]) == 2
    assert "no search was run yet" in capsys.readouterr().err

    assert main(["search", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    assert found["result"]["stopped"] == "all 3 combinations were tried"
    assert main(["search", str(folder), "--show"]) == 0
    shown = capsys.readouterr().out
    assert "chosen" in shown
    assert "declared" in shown
    page = folder / "search.html"
    assert main(["search", str(folder), "--show", "--html", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text("utf-8")
    chosen = found["result"]["chosen"]
    assert "What is declared goes on" in text if chosen == 0 else f"Trial {chosen} goes on" in text
    assert text.count('<td class="d"><i class="dot trial-') == 3
    assert "What can be had for what" in text
    assert main(["log", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "trial" in told
    assert "search" in told
