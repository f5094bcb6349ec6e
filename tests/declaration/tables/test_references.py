"""What one dataset says of another: understood, or refused with its line and its mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.declaration.test_reference import WHOLE, completed

from trimtab.data.spec import Reference, Trusted
from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors

DATA = """
[[data]]
name = "flights"
source = "flights.parquet"
key = "flight_id"
time = "scheduled_departure"
timezone = "America/New_York"
label = "late"
label_delay = "16 h"
{more}

[[data]]
name = "weather"
source = "weather.csv"
key = ["origin", "hour"]
time = "hour"

[[data]]
name = "audit"
source = "audit.csv"
key = "flight"
time = "at"
"""
REQUIRED = """
[requirements]
{lines}
"""
ALL = """
references = { origin = "weather.origin" }
trusted = { distance = { value = "audit.miles", within = 0.5 }, dest = "audit.dest", carrier = "flown_by" }
plausible = ["distance <= 9000"]
recorded = "received_at"
"""


@pytest.fixture
def place(folder: Path) -> Path:
    return folder / "trimtab.toml"


def load(place: Path, more: str = "", lines: str = '"data.rows" = ">= 1"'):
    return parse(completed(DATA.format(more=more) + REQUIRED.format(lines=lines)), place)


def test_all_of_it_is_understood(place: Path) -> None:
    lines = """
"data.referential" = { limit = ">= 99.9%", columns = ["origin"], window = "30 d" }
"data.accuracy" = [{ limit = ">= 99%", by = "carrier", min_rows = 50 }, ">= 98%"]
"data.plausibility" = ">= 99%"
"data.timeliness" = [{ limit = "<= 2 h", quantile = 0.5 }, { limit = "<= 1 d", quantile = 0.99 }]
"data.duplicates" = { limit = "<= 1%", columns = ["hash"], distance = 4 }
"data.mean" = [{ limit = ">= 500", columns = ["distance"] }, { limit = "<= 2000", columns = ["distance"] }]
"""
    system = load(place, ALL, lines)
    spec = system.labelled
    assert spec.references == (Reference(column="origin", dataset="weather", key="origin"),)
    assert spec.trusted == (
        Trusted(column="distance", dataset="audit", other="miles", within=0.5),
        Trusted(column="dest", dataset="audit", other="dest"),
        Trusted(column="carrier", other="flown_by"),
    )
    assert (spec.plausible, spec.recorded) == (("distance <= 9000",), "received_at")
    assert [r.quantile for r in system.requirements if r.metric == "data.timeliness"] == [0.5, 0.99]


@pytest.mark.parametrize(
    ("more", "lines", "words"),
    [
        ('references = { origin = "wether.origin" }', "", 'no [[data]] is called "wether"; did you mean "weather"?'),
        ('references = { origin = "origin" }', "", "names no dataset"),
        ('references = { origin = "flights.origin" }', "", "is this dataset itself"),
        ('trusted = { wind = "weather.wind" }', "", "its rows have 1 key columns and those of"),
        ('trusted = { dest = "dest" }', "", "cannot be checked against itself"),
        ('trusted = { dest = { value = "audit.dest", with = 3 } }', "", 'unknown key "with"'),
        ('trusted = { dest = { value = "audit.dest", within = -1 } }', "", "zero or more"),
        ('trusted = { dest = ".dest" }', "", "expected the name of a column"),
        ('plausible = ["distance"]', "", "no comparison"),
        ("", '"data.referential" = ">= 1"', "refers to no other dataset"),
        ("", '"data.accuracy" = ">= 1"', "trusts no other value"),
        ("", '"data.plausibility" = ">= 1"', "says of no row what is plausible"),
        ("", '"data.timeliness" = "<= 1 h"', "does not say when a row was written down"),
        ("", '"data.mean" = ">= 1"', "is of one column, and none is named"),
        (ALL, '"data.accuracy" = { limit = ">= 1", columns = ["dist"] }', "no trusted value says what is true in"),
        (ALL, '"data.referential" = { limit = ">= 1", columns = ["dest"] }', "nothing is said to hold the values of"),
        ("", '"data.rows" = { limit = ">= 1", by = "flight_id" }', "every slice by it holds one row"),
        (ALL, '"data.timeliness" = [">= 1 h", "<= 1 min"]', "no figure meets both"),
    ],
)
def test_what_cannot_be_is_refused(more: str, lines: str, words: str, place: Path) -> None:
    with pytest.raises(DeclarationErrors) as caught:
        load(place, more, lines or '"data.rows" = ">= 1"')
    assert words in str(caught.value), str(caught.value)
    assert len(caught.value.errors) == 1


def test_the_example_of_the_page_still_loads(place: Path) -> None:
    assert parse(WHOLE, place).labelled.references == ()
