"""Quality figures against a plain count of the rows."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.conftest import hours, trips

from trimtab.data.port import DataError
from trimtab.data.quality.measure import measure
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.data.values.moments import known_at, known_until, prediction_moment
from trimtab.records.requirement import Requirement, Verdict

NOW = hours(30)
SPEC = DatasetSpec(
    name="trips",
    source="x",
    key=("id",),
    time="at",
    valid=(ColumnRule(column="n", low=-2, high=2), ColumnRule(column="town", allowed=("Ulm",))),
    consistent=("n <= m",),
)


def ask(metric: str, comparison: str = ">=", limit: float = 1.0, columns: tuple[str, ...] = ()) -> Requirement:
    return Requirement(metric=f"data.{metric}", comparison=comparison, limit=limit, columns=columns)  # type: ignore[arg-type]


def one(rows: pl.DataFrame, requirement: Requirement, refused: dict[str, int] | None = None) -> Verdict:
    (verdict,) = measure(rows, SPEC, [requirement], now=NOW, quarantined=refused or {})
    return verdict


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "c", "d"]),
            "at": st.integers(0, 30).map(hours),
            "n": st.none() | st.integers(-4, 4),
            "m": st.none() | st.integers(-4, 4),
            "town": st.none() | st.sampled_from(["Ulm", "Rom"]),
        }
    ),
    min_size=1,
    max_size=25,
)
SCHEMA = {"id": pl.String, "at": pl.Datetime("us", "UTC"), "n": pl.Int64, "m": pl.Int64, "town": pl.String}
REFUSED = st.dictionaries(
    st.sampled_from(["invalid: n is not 1", "inconsistent: n <= m", "duplicate: again", "missing: key id"]),
    st.integers(1, 9),
)


@given(ROWS, REFUSED)
@settings(max_examples=60)
def test_figures_are_those_of_a_plain_count(rows: list[dict[str, object]], refused: dict[str, int]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    names = ["completeness", "validity", "uniqueness", "consistency", "freshness", "rows"]
    wanted = [ask(name) for name in names] + [ask("completeness", columns=("n",)), ask("validity", columns=("town",))]
    got = [verdict.figure for verdict in measure(frame.lazy(), SPEC, wanted, now=NOW, quarantined=refused)]

    def bad_n(row: dict[str, object]) -> bool:
        return isinstance(row["n"], int) and not -2 <= row["n"] <= 2

    def crossed(row: dict[str, object]) -> bool:
        return isinstance(row["n"], int) and isinstance(row["m"], int) and row["n"] > row["m"]

    total = len(rows) + sum(refused.values())
    cells = [cell for row in rows for cell in row.values()]
    repeated = len(rows) - len({row["id"] for row in rows}) + refused.get("duplicate: again", 0)
    expected = [
        1 - cells.count(None) / len(cells),
        1 - (sum(bad_n(row) or row["town"] == "Rom" for row in rows) + sum(refused.values())) / total,
        1 - repeated / total,
        1 - (sum(map(crossed, rows)) + refused.get("inconsistent: n <= m", 0)) / total,
        min((NOW - row["at"]).total_seconds() for row in rows),  # type: ignore[operator]
        len(rows),
        1 - [row["n"] for row in rows].count(None) / len(rows),
        1 - (sum(row["town"] == "Rom" for row in rows) + sum(refused.values())) / total,
    ]
    assert got == pytest.approx(expected)


def test_verdicts_name_the_worst_column() -> None:
    rows = pl.DataFrame(
        {"id": ["a", "b", "b"], "at": [hours(1)] * 3, "n": [1, 9, None], "m": [0, 9, 9], "town": [None, None, "Rom"]},
        schema=SCHEMA,
    )
    told = one(rows, ask("completeness", limit=0.9))
    assert (told.status, told.place, told.rows, told.limit) == ("broken", "data", 3, 0.9)
    assert "town: 2 of 3 cells are null" in told.reason
    assert "n is not within -2..2" in one(rows, ask("validity")).reason
    assert (
        "2 rows were refused, most of them: missing: key id"
        in one(rows, ask("validity"), {"missing: key id": 2}).reason
    )
    assert "1 of 3 rows have a key that came before (id)" in one(rows, ask("uniqueness")).reason
    assert "n <= m" in one(rows, ask("consistency")).reason
    assert one(rows, ask("rows", ">=", 3)).status == "met"


def test_no_rows_are_unknown_and_all_refused_are_broken() -> None:
    nothing = pl.DataFrame(schema=SCHEMA)
    for name in ("completeness", "validity", "uniqueness", "consistency", "freshness"):
        told = one(nothing, ask(name))
        assert (told.status, told.figure, told.reason) == ("unknown", None, "there is no row")
    assert one(nothing, ask("rows", ">=", 1)).status == "broken"
    assert one(nothing, ask("validity"), {"missing: key id": 4}).figure == 0.0


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match="no column 'towm'"):
        one(pl.DataFrame(schema=SCHEMA), ask("completeness", columns=("towm",)))


def test_other_metrics_and_store_columns_are_left_alone() -> None:
    rows = pl.DataFrame({"id": ["a"], "at": [hours(1)], "n": [1], "m": [1], "town": ["Ulm"], "_digest": [None]})
    rows = rows.cast({"at": pl.Datetime("us", "UTC")})
    assert one(rows, ask("completeness")).figure == 1.0
    other = Requirement(metric="quality.roc_auc", comparison=">=", limit=0.5)
    assert measure(rows, SPEC, [other], now=NOW, quarantined={}) == []


@pytest.mark.parametrize(("after", "age"), [(6.0, 0.0), (2.0, 3600.0), (0.0, 3 * 3600.0), (-4.0, 3 * 3600.0)])
def test_freshness_counts_from_what_could_be_known(after: float, age: float) -> None:
    spec = DatasetSpec(
        name="t",
        source="x",
        key=("id",),
        time="at",
        label="late",
        predict_before=5 * 3600,
        label_delay=(5 + after) * 3600,
    )
    rows = trips(0, 28)
    (verdict,) = measure(rows, spec, [ask("freshness", "<=", 7200.0)], now=hours(30), quarantined={})
    assert verdict.figure == age


def test_data_that_stopped_coming_are_stale_and_not_unknown() -> None:
    spec = DatasetSpec(name="t", source="x", key=("id",), time="at")
    nothing_lately = trips(0, 28).clear()
    asked = ask("freshness", "<=", 7200.0)
    (verdict,) = measure(nothing_lately, spec, [asked], now=hours(30), quarantined={}, newest=hours(20))
    assert (verdict.status, verdict.figure) == ("broken", 10 * 3600.0)
    (verdict,) = measure(nothing_lately, spec, [asked], now=hours(30), quarantined={})
    assert verdict.status == "unknown"


def test_moments() -> None:
    spec = DatasetSpec(
        name="t", source="x", key=("id",), time="at", label="late", predict_before=7200.0, label_delay=8 * 3600.0
    )
    rows = trips(0, 20, late=pl.Series([None] + [True] * 19))
    assert rows.select(prediction_moment(spec)).to_series()[5] == hours(3)
    assert rows.select(known_at(spec)).to_series()[5] == hours(11)
    assert known_until(hours(16), spec) == hours(10)
    plain = DatasetSpec(name="t", source="x", key=("id",), time="at")
    assert rows.select(known_at(plain)).to_series()[5] == known_until(hours(5), plain) == hours(5)
