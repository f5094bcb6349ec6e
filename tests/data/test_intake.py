"""What comes in is taken as it will be stored, or refused with the reason; nothing is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.conftest import hours, trips

from trimtab.data.intake import screen
from trimtab.data.port import DIGEST, DataError
from trimtab.data.quality.rules import parse_consistent
from trimtab.data.spec import ColumnRule, DatasetSpec

NOW = hours(1000)
STORED: dict[str, pl.DataType] = {
    "id": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "minutes": pl.Int64(),
    "fare": pl.Float64(),
    "town": pl.String(),
    "late": pl.Boolean(),
}


def spec_of(**changes: Any) -> DatasetSpec:
    return DatasetSpec(**({"name": "trips", "source": "x.csv", "key": ("id",), "time": "at"} | changes))


def reasons(rows: pl.DataFrame, spec: DatasetSpec, stored: Any = None, *, until: datetime = NOW) -> list[str | None]:
    """The reason for each row, in order of id; None where it was accepted."""
    found = screen(rows, spec, stored, until=until, now=NOW)
    refused = dict(found.bad.select("key", "reason").iter_rows())
    assert found.good.height + found.bad.height + found.early == rows.height
    return [refused.get(f"trip-{n}") for n in range(rows.height)]


@pytest.mark.parametrize(
    ("column", "cells", "refused"),
    [
        ("minutes", [1.0, 2.5, float("nan")], [False, True, True]),
        ("minutes", ["7", "x", "1.5"], [False, True, True]),
        ("minutes", [2**63, 5, None], [True, False, False]),
        ("minutes", [True, False, None], [False, False, False]),
        ("fare", [2**53 + 1, 2, None], [True, False, False]),
        ("fare", ["1e3", "1,5", ""], [False, True, True]),
        ("late", [1, 0, 2], [False, False, True]),
        ("late", ["true", "False", "yes"], [False, False, True]),
        ("late", [datetime(2026, 1, 1, tzinfo=UTC)] * 2 + [None], [True, True, False]),
        ("town", [1, 2, None], [False, False, False]),
    ],
)
def test_only_what_fits_the_stored_type_is_taken(column: str, cells: list[Any], refused: list[bool]) -> None:
    dtype = pl.UInt64 if 2**63 in cells else None
    rows = trips(0, 3).with_columns(pl.Series(column, cells, dtype=dtype))
    told = reasons(rows, spec_of(), STORED)
    assert [reason is not None for reason in told] == refused
    assert all(reason.startswith(f"wrong type: {column} is not") for reason in told if reason)
    taken = screen(rows, spec_of(), STORED, until=NOW, now=NOW).good
    assert taken.drop(DIGEST).schema == pl.Schema(STORED)


def test_the_refused_row_is_kept_as_it_came() -> None:
    rows = trips(0, 2).with_columns(pl.Series("minutes", ["4", "four"]))
    bad = screen(rows, spec_of(), STORED, until=NOW, now=NOW).bad
    assert json.loads(bad["row"][0])["minutes"] == "four"
    assert bad["time"].to_list() == [hours(1)]


def test_keys_and_times_must_be_there() -> None:
    rows = trips(0, 4).with_columns(
        id=pl.Series(["trip-0", None, "trip-2", "trip-3"]), at=pl.Series([hours(0), hours(1), None, hours(2000)])
    )
    found = screen(rows, spec_of(), None, until=NOW, now=NOW)
    assert sorted(found.bad["reason"].to_list()) == [
        "future: at lies after the present",
        "missing: key id",
        "missing: time at",
    ]


def test_rows_later_than_asked_for_are_left_for_later() -> None:
    found = screen(trips(0, 10), spec_of(), None, until=hours(6), now=NOW)
    assert (found.good.height, found.bad.height, found.early) == (7, 0, 3)


def test_rules_are_checked_and_nulls_obey() -> None:
    spec = spec_of(
        valid=(
            ColumnRule(column="minutes", low=0, high=2),
            ColumnRule(column="town", allowed=("Ulm", "Bonn")),
            ColumnRule(column="id", pattern=r"trip-\d"),
        ),
        consistent=("fare <= minutes", 'at < "2026-01-01T04:00:00Z"'),
    )
    rows = trips(0, 6).with_columns(
        town=pl.Series([None, "Ulm", "Rom", None, None, None]),
        fare=pl.Series([0.0, 1.5, 0.0, 0.0, None, 0.0]),
        minutes=pl.Series([0, 1, 2, 3, 2, None]),
    )
    assert reasons(rows, spec) == [
        None,
        "inconsistent: fare <= minutes",
        "invalid: town is not one of Ulm, Bonn",
        "invalid: minutes is not within 0..2",
        'inconsistent: at < "2026-01-01T04:00:00Z"',
        'inconsistent: at < "2026-01-01T04:00:00Z"',
    ]
    assert reasons(trips(0, 1).with_columns(id=pl.lit("xtrip-0")), spec) == [None], "told under its own key"
    bad = screen(trips(0, 1).with_columns(id=pl.lit("xtrip-0")), spec, None, until=NOW, now=NOW).bad
    assert bad["reason"].to_list() == [r"invalid: id is not like trip-\d"], "a pattern matches the whole cell"


def test_nan_is_within_no_bounds() -> None:
    rows = trips(0, 1).with_columns(fare=pl.lit(float("nan")))
    for rule in (ColumnRule(column="fare", low=0), ColumnRule(column="fare", high=9)):
        assert reasons(rows, spec_of(valid=(rule,)))[0] is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": (ColumnRule(column="town", low=0),)}, "low and high need a number"),
        ({"valid": (ColumnRule(column="minutes", pattern="x"),)}, "a pattern needs text"),
        ({"valid": (ColumnRule(column="town", pattern="("),)}, "no regular expression"),
        ({"valid": (ColumnRule(column="minutes", allowed=("1", "two")),)}, "'two' is not Int64"),
        ({"valid": (ColumnRule(column="towm", low=0),)}, r"no column 'towm' \(valid\)"),
        ({"consistent": ("fare <= town",)}, "fare is Float64 and town is String"),
        ({"consistent": ("town <= 3",)}, "cannot be compared with 3.0"),
        ({"consistent": ('at < "soon"',)}, "'soon' is no time"),
        ({"consistent": ("fare < cost",)}, "no column 'cost'"),
        ({"key": ("id", "leg")}, r"no column 'leg' \(key\)"),
        ({"label": "truth"}, r"no column 'truth' \(label\)"),
    ],
)
def test_rules_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        screen(trips(0, 3), spec_of(**changes), None, until=NOW, now=NOW)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a", "is no comparison"),
        ("a <", "is no comparison"),
        ("a = b", "uses `=`"),
        ("a <= b + 3600", "cannot read 'b [+] 3600'"),
        ("1 < a", "is no comparison"),
        ("", "is no comparison"),
    ],
)
def test_lines_that_are_no_comparison_are_refused(line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_consistent(line)


def test_lines_are_understood() -> None:
    assert parse_consistent("a<=b").column == "b"
    assert parse_consistent("`odd name` != 'x y'").left == "odd name"
    assert parse_consistent("`odd name` != 'x y'").literal == "x y"
    assert parse_consistent("a > -1.5e3").literal == -1500.0
    assert parse_consistent("flag == true").literal is True


def test_one_row_a_key_stays_whatever_the_order() -> None:
    full, part = trips(1, 2, town=["Ulm"]), trips(1, 2, town=pl.Series([None], dtype=pl.String))
    other = trips(1, 2, town=["Bonn"])
    found = [
        screen(pl.concat(order), spec_of(), None, until=NOW, now=NOW)
        for order in ([full, part, other], [other, full, part], [part, other, full])
    ]
    assert len({result.good["town"].item() for result in found}) == 1
    assert all(result.good["town"].item() is not None for result in found), "the row with the most cells stays"
    assert all(result.bad.height == 2 for result in found)
    assert set(found[0].bad["reason"]) == {"duplicate: its key comes more than once in one collection"}


@given(
    st.lists(st.tuples(st.integers(0, 8), st.none() | st.integers(-5, 5), st.none() | st.integers(0, 20)), max_size=30)
)
@settings(max_examples=40)
def test_every_row_is_accepted_refused_or_early(rows: list[tuple[int, int | None, int | None]]) -> None:
    frame = pl.DataFrame(
        {
            "id": [f"k{key}" for key, _, _ in rows],
            "at": [None if at is None else hours(at) for _, _, at in rows],
            "n": [n for _, n, _ in rows],
        },
        schema={"id": pl.String, "at": pl.Datetime("us", "UTC"), "n": pl.Int64},
    )
    spec = spec_of(valid=(ColumnRule(column="n", low=-3, high=3),))
    found = screen(frame, spec, None, until=hours(10), now=hours(15))
    assert found.good.height + found.bad.height + found.early == frame.height
    assert found.good["id"].n_unique() == found.good.height
    fit = frame.filter(
        (pl.col("at") <= hours(10)) & (pl.col("n").is_null() | pl.col("n").is_between(-3, 3)),
    )
    assert set(found.good["id"]) == set(fit["id"])


def test_all_rows_may_be_refused() -> None:
    rows = trips(0, 3).with_columns(id=pl.lit(None), at=pl.lit(None))
    found = screen(rows, spec_of(), None, until=NOW, now=NOW)
    assert (found.good.height, found.bad.height) == (0, 3)


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(DataError, match=r"'stops' has type List\(Int64\), which a dataset cannot hold"):
        screen(trips(0, 1, stops=[[1, 2]]), spec_of(), None, until=NOW, now=NOW)
    for name in ("_digest", "_rowid", "", "a.b", "a`b", 'a"b', "a\nb"):
        with pytest.raises(DataError, match="a column cannot be called"):
            screen(trips(0, 1).with_columns(pl.lit(1).alias(name)), spec_of(), None, until=NOW, now=NOW)


def test_times_come_to_utc() -> None:
    naive = trips(0, 2).with_columns(pl.col("at").dt.replace_time_zone(None))
    with pytest.raises(DataError, match="'at' have no time zone") as error:
        screen(naive, spec_of(), None, until=NOW, now=NOW)
    assert "timezone" in error.value.hint
    berlin = screen(naive, spec_of(timezone="Europe/Berlin"), None, until=NOW, now=NOW).good
    assert berlin["at"].to_list() == [hours(-1), hours(0)]
    with pytest.raises(DataError, match="unknown time zone 'Berlin'"):
        screen(naive, spec_of(timezone="Berlin"), None, until=NOW, now=NOW)
    text = trips(0, 4).with_columns(
        at=pl.Series(["2026-01-01T01:00:00+01:00", "2026-01-01 03:00Z", "2026-01-01T05:00:00.5Z", "tomorrow"])
    )
    found = screen(text, spec_of(), None, until=NOW, now=NOW)
    assert found.bad["reason"].to_list() == ["wrong type: at cannot be read as a time"]
    assert found.good["at"].to_list() == [hours(0), hours(3), hours(5).replace(microsecond=500_000)]
    with pytest.raises(DataError, match="have no time zone"):
        screen(text.with_columns(at=pl.lit("2026-01-01T01:00:00")), spec_of(), None, until=NOW, now=NOW)
    with pytest.raises(DataError, match="has type Int32, which is no time"):
        screen(text.with_columns(at=pl.lit(7)), spec_of(), None, until=NOW, now=NOW)


def test_local_times_that_clocks_skip_or_repeat() -> None:
    rows = trips(0, 3).with_columns(
        at=pl.Series([datetime(2026, 3, 29, 2, 30), datetime(2025, 10, 26, 2, 30), datetime(2026, 1, 1)])
    )
    found = screen(rows, spec_of(timezone="Europe/Berlin"), None, until=hours(9000), now=hours(9000))
    assert found.bad["reason"].to_list() == ["wrong type: at cannot be read as a time"]
    assert found.good["at"][0] == datetime(2025, 10, 26, 0, 30, tzinfo=UTC), "of a repeated time the earlier"
