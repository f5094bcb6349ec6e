"""What rows tell of people, as requirements: patterns, forbidden columns, coverage, gaps between slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.data.conftest import hours

from trimtab.data.quality.measure import measure
from trimtab.data.spec import DatasetSpec, PrivacySpec
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.load import parse
from trimtab.errors import DeclarationError
from trimtab.records.requirement import Requirement, Verdict

NOW = hours(10_000)
SPEC = DatasetSpec(
    name="stays",
    source="x.parquet",
    key=("stay",),
    time="at",
    label="late",
    privacy=PrivacySpec(scan=("email", "card"), forbid=("ssn", "pass*")),
    population={"town": {"Ulm": 0.5, "Bonn": 0.5}},
)


def rows(count: int = 400, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "stay": [f"s{n}" for n in range(count)],
            "at": [hours(n) for n in range(count)],
            "town": ["Ulm" if n % 4 else "Bonn" for n in range(count)],
            "room": ["single" if n % 4 == 1 else "double" for n in range(count)],
            "note": ["all well"] * count,
            "late": [n % 4 == 0 and n % 8 == 0 for n in range(count)],
        }
        | columns
    )


def judged(frame: pl.DataFrame, metric: str, spec: DatasetSpec = SPEC, **asked: Any) -> Verdict:
    wanted = Requirement(metric=metric, **({"comparison": "<=", "limit": 0.0} | asked))
    (found,) = measure(frame, spec, [wanted], now=NOW, quarantined={})
    return found


def test_a_pattern_in_an_open_column_breaks_it() -> None:
    assert judged(rows(), "data.personal_patterns").status == "met"
    notes = ["write to ann@example.org" if n < 3 else "card 4111 1111 1111 1111" if n < 4 else "ok" for n in range(400)]
    broken = judged(rows(note=notes), "data.personal_patterns")
    assert (broken.status, broken.figure) == ("broken", 4.0)
    assert "3 cells with email in note" in broken.reason
    assert judged(rows(note=notes), "data.personal_patterns", columns=("town",)).status == "met"
    personal = msgspec.structs.replace(SPEC, subject="stay", personal=("note",))
    assert judged(rows(note=notes), "data.personal_patterns", personal).status == "met"


def test_a_forbidden_column_breaks_it() -> None:
    assert judged(rows(), "data.forbidden_columns").status == "met"
    broken = judged(rows(Passport_No=["x"] * 400), "data.forbidden_columns")
    assert broken.status == "broken"
    assert "Passport_No" in broken.reason


def test_coverage_counts_combinations_that_are_there_often_enough() -> None:
    found = judged(rows(), "data.coverage", comparison=">=", limit=1.0, columns=("town", "room"), min_rows=30)
    assert (found.status, found.figure) == ("broken", 0.75)
    assert "Bonn, single has 0 rows" in found.reason
    assert judged(rows(), "data.coverage", comparison=">=", limit=1.0, columns=("town",), min_rows=100).status == "met"


def test_the_gap_between_slices_has_an_interval() -> None:
    found = judged(rows(), "data.label_gap", limit=0.1, columns=("town",), min_rows=50)
    assert found.status == "broken"
    assert found.figure == pytest.approx(0.5)
    assert found.low is not None
    assert found.high is not None
    assert 0.3 < found.low < 0.5 < found.high < 0.7
    assert judged(rows(), "data.label_gap", limit=0.1, columns=("town",), min_rows=350).status == "unknown"


def test_representation_is_measured_against_the_population() -> None:
    found = judged(rows(), "data.representation", limit=0.1, columns=("town",))
    assert found.figure == pytest.approx(0.25)
    assert "Bonn is 25.0% of the rows and 50.0% of them all" in found.reason


def test_rows_with_patterns_are_refused_where_it_is_declared(tmp_path: Path) -> None:
    notes = ["write to ann@example.org" if n < 3 else "ok" for n in range(40)]
    spec = msgspec.structs.replace(SPEC, privacy=PrivacySpec(scan=("email",), quarantine=True))
    store = DatasetStore(tmp_path / "data", spec)
    commit = store.collect(rows(40, note=notes), until=NOW, now=NOW)
    assert commit is not None
    assert commit.version.rows == 37
    assert commit.refused == {"personal: email in note": 3}
    assert not store.quarantined().rows["row"].str.contains("ann@").any()
    assert store.quarantined().rows["row"].str.contains("[email]", literal=True).all()


DECLARED = """
[system]
name = "stays"
problem = "late"
task = "binary_classification"

[requirements]
"data.personal_patterns" = "<= 0"

[[data]]
name = "stays"
source = "stays.csv"
key = "stay"
time = "at"
label = "late"
{data}

[model]
code = "model.py"
{more}
"""


@pytest.mark.parametrize(("data", "more", "told"), [
    ('personal = ["name"]', "", "whose data this is is not said"),
    ('subject = "at"', "", "is the time"),
    ('subject = "guest"\npersonal = ["late"]', "", "is the label"),
    ("", "[privacy]\nmaster_key = \"5a5a\"", "never the key itself"),
    ("", "[privacy]\nscan = [\"mail\"]", "not a pattern"),
    ("", "[privacy]\nquarantine = true", "scan"),
    ("population = { town = { Ulm = 0.5 } }", "", "sum to 0.5"),
])  # fmt: skip
def test_what_cannot_be_is_said_with_its_line(data: str, more: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def train(train, valid, params): ...\n")
    parse(DECLARED.format(data='subject = "guest"\npersonal = ["name"]', more=""), tmp_path / "trimtab.toml")
    with pytest.raises(DeclarationError) as caught:
        parse(DECLARED.format(data=data, more=more), tmp_path / "trimtab.toml")
    assert told in str(caught.value)
