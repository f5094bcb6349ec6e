"""The page about where rows come from: its examples load, and every option of every kind of source is explained."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from trimtab.adapters.catalog import OFFERS, kind
from trimtab.declaration.load import parse
from trimtab.wiring.kinds import source_kinds

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
FAR = TEXT.split("## Sources far away\n", 1)[1].split("\n## ", 1)[0]
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", FAR, re.MULTILINE | re.DOTALL)
REST = """
[system]
name = "shop"
problem = "What comes back"
task = "binary_classification"

[requirements]
"quality.roc_auc" = ">= 0.6"

[model]
code = "model.py"
"""
LABELLED = '[[data]]\nname = "own"\nsource = "rows.csv"\nkey = "k"\ntime = "t"\nlabel = "l"\n'


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.search(r'source = "(\w+)', text)[1])
def test_every_example_loads(example: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    text = REST + (example if "\nlabel =" in example else LABELLED + example)
    system = parse(text, tmp_path / "trimtab.toml", source_kinds())
    assert system.data[-1].source in example


@pytest.mark.parametrize("name", ["https", "sql", "s3", "dvc"])
def test_every_option_is_explained(name: str) -> None:
    found = kind("data", name)
    assert found is not None
    assert found.options is not None
    for field in msgspec.structs.fields(found.options):
        assert f"`{field.name}`" in FAR or f"`{field.name} = " in FAR, field.name


def test_every_kind_of_ours_is_on_the_page() -> None:
    for name in ("http", "https", "sql", "s3", "dvc"):
        assert any(offer.name == name for offer in OFFERS)
        assert name in FAR
