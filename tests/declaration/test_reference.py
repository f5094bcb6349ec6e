"""The reference page: every example in it loads, and it names every key, metric, unit and cause there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.declaration.requirements.catalog import metrics
from trimtab.declaration.tables.policy import TRIGGERS
from trimtab.declaration.units import units_of

PAGE = Path(__file__).parents[2] / "docs" / "declaration.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
WHOLE = next(content for kind, _, content in BLOCKS if kind == "toml")
LOADING = [content for kind, info, content in BLOCKS if kind == "toml" and not info.strip()]
REFUSED = [
    (content, BLOCKS[position + 1][2])
    for position, (kind, info, content) in enumerate(BLOCKS)
    if kind == "toml" and info.strip() == "refused"
]
HEADER = re.compile(r"^\[{1,2}(\w+)\]{1,2}$", re.MULTILINE)


def completed(part: str) -> str:
    """The part, followed by those tables of the whole example that it does not hold."""
    held = set(HEADER.findall(part))
    tables = re.split(r"^(?=\[)", WHOLE, flags=re.MULTILINE)
    return part + "\n" + "".join(table for table in tables if table and HEADER.search(table)[1] not in held)


@pytest.fixture
def place(folder: Path) -> Path:
    return folder / "trimtab.toml"


@pytest.mark.parametrize("part", LOADING, ids=lambda part: HEADER.search(part)[1])
def test_every_example_loads(part, place):
    system = parse(completed(part), place)
    assert system.digest
    if part != WHOLE and not any(
        table in part for table in ("[[experiments]]", "[model.search]", "[store]", "[card]", "[tracking]")
    ):
        assert system.digest != parse(WHOLE, place).digest


@pytest.mark.parametrize(("part", "said"), REFUSED)
def test_every_refused_example_is_refused_in_these_words(part, said, place):
    with pytest.raises(DeclarationErrors) as caught:
        parse(completed(part), place)
    found = [f"trimtab.toml:{error.line}: {error.message}" for error in caught.value.errors]
    shown = said.strip().split("\n")
    assert len(found) == len(shown)
    for message, line in zip(found, shown, strict=True):
        assert line.startswith(message)


def test_there_are_examples_of_every_table(place):
    assert len(LOADING) >= 8
    assert len(REFUSED) >= 1
    tables = {name for part in LOADING for name in HEADER.findall(part)}
    with pytest.raises(DeclarationErrors) as caught:
        parse(WHOLE + "\n[nothing]\n", place)
    assert tables == set(allowed(caught.value.errors[0].hint))


def allowed(hint: str) -> list[str]:
    return hint.removeprefix("allowed: ").split(", ")


@pytest.mark.parametrize(
    "header",
    [
        "[system]",
        "[value]",
        "[[data]]",
        "[[features]]",
        "[model]",
        "[policy]",
        "[serve]",
        "[replay]",
        "[privacy]",
        "[labels]",
        "[card]",
        "[tracking]",
    ],
)
def test_every_key_of_a_table_is_explained_in_its_section(header, place):
    text = completed(LOADING[-1]).replace(f"{header}\n", f"{header}\nunheard_of = 1\n", 1)
    with pytest.raises(DeclarationErrors) as caught:
        parse(text if header in text else f"{text}\n{header}\nunheard_of = 1\n", place)
    (error,) = [error for error in caught.value.errors if "unheard_of" in error.message]
    section = TEXT.split(f"## `{header}`\n", 1)[1].split("\n## ", 1)[0]
    for key in allowed(error.hint):
        assert f"`{key}`" in section, key


def test_every_metric_is_listed_as_the_catalogue_has_it():
    for metric in metrics().values():
        (row,) = [line for line in TEXT.split("\n") if line.startswith(f"| `{metric.name}` ")]
        _, _, unit, places, by, meaning, _ = (cell.strip() for cell in row.split("|"))
        assert (unit, places, by == "yes") == (metric.unit, ", ".join(metric.places), metric.sliceable)
        assert meaning.startswith(metric.meaning)
        assert ("takes `columns`" in meaning) == metric.takes_columns


def test_every_unit_and_cause_is_named():
    for family in ("time", "size", "rate"):
        for unit in units_of(family):
            assert f"`{unit}`" in TEXT
    for cause in TRIGGERS:
        assert re.search(rf"`{cause}[`:]", TEXT)
