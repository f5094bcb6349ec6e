"""The page about labels: its examples load, and it names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trimtab.declaration.load import parse
from trimtab.labels.files import FileTool
from trimtab.labels.spec import MEASURES, SIGNALS

PAGE = Path(__file__).parents[2] / "docs" / "labels.md"
TEXT = PAGE.read_text("utf-8")
REST = """
[system]
name = "late-flights"
problem = "Which flights will be late"
task = "binary_classification"

[[data]]
name = "flights"
source = "flights.csv"
key = "flight"
time = "departure"
label = "late"

[model]
code = "model.py"
"""


def example(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text("def train(train, valid, params):\n    return None\n")
    return tmp_path


def test_the_declaration_loads(folder: Path) -> None:
    system = parse(example("toml") + REST, folder / "trimtab.toml")
    assert system.labels is not None
    assert (system.labels.data, system.labels.column, system.labels.policy) == ("flights", "late", "adjudicate")
    assert [(r.metric, r.places) for r in system.requirements] == [
        ("labels.agreement", ("data", "release")),
        ("labels.coverage", ("data", "release")),
    ]
    assert system.requirements[0].min_rows == 50


def test_the_answer_is_one(folder: Path) -> None:
    declared = example("toml").split("tool =")[0].replace("on_time", "early") + REST
    system = parse(declared, folder / "trimtab.toml")
    assert system.labels is not None
    (folder / "labels").mkdir()
    (folder / "labels" / "ann.ndjson").write_text(example("json"))
    (found,) = FileTool(system.labels, folder).pull().annotations
    assert (found.state, found.item, found.annotator, found.value) == ("said", "17", "ann", "late")


def test_every_measure_and_signal_is_told() -> None:
    for measure in {measure for fitting in MEASURES.values() for measure in fitting}:
        assert f"`{measure}`" in TEXT
    for signal in SIGNALS:
        assert f"`{signal}`" in TEXT
