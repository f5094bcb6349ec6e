"""The page on data quality: every declaration in it loads, and it speaks of every figure of data there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.declaration.test_reference import completed

from trimtab.data.spec import METRICS
from trimtab.declaration.load import parse
from trimtab.measures.media.images import ImageFigures
from trimtab.measures.media.sounds import SoundFigures

TEXT = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_loads(block: str, folder: Path) -> None:
    system = parse(completed(block), folder / "trimtab.toml")
    assert any(requirement.metric.startswith("data.") for requirement in system.requirements)


def test_every_figure_is_explained() -> None:
    assert len(BLOCKS) >= 2
    for name in [metric.name for metric in METRICS] + [
        *ImageFigures.__struct_fields__,
        *SoundFigures.__struct_fields__,
    ]:
        assert f"`{name}`" in TEXT, name
