"""The point-in-time join against a plain search, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.features.join import FeatureError, join_views
from trimtab.features.spec import FeatureViewSpec

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
ROWS = {"place": pl.String, "lane": pl.Int64, "moment": INSTANT, "n": pl.Int64}
VIEW = {"place": pl.String, "lane": pl.Int64, "hour": INSTANT, "wind": pl.Float64, "sky": pl.String}
TIMES = st.none() | st.integers(0, 12).map(lambda m: START + timedelta(minutes=m))
PLACES = st.none() | st.sampled_from("ab")
LANES = st.none() | st.integers(1, 2)


def spec_of(**changes: Any) -> FeatureViewSpec:
    fields = {"view": "weather", "source": "hours", "entity": ("place",), "time": "hour"} | changes
    return FeatureViewSpec(**fields)


def searched(row: dict[str, Any], view: list[dict[str, Any]], spec: FeatureViewSpec) -> tuple[Any, Any]:
    """What the row may see, found the slow way."""
    moment = row["moment"]
    seen = [
        known
        for known in view
        if moment is not None
        and known["hour"] is not None
        and known["hour"] <= moment
        and all(known[name] is not None and known[name] == row[name] for name in spec.entity)
    ]
    if not seen:
        return None, None

    def rank(known: dict[str, Any]) -> Any:
        sky, wind = known["sky"], known["wind"]
        return known["hour"], sky is not None, sky or "", wind is not None, wind or 0.0

    newest = max(seen, key=rank)
    if spec.ttl is not None and (moment - newest["hour"]).total_seconds() > spec.ttl:
        return None, None
    return newest["wind"], newest["sky"]


@given(
    st.lists(
        st.fixed_dictionaries({"place": PLACES, "lane": LANES, "moment": TIMES, "n": st.integers(0, 9)}), max_size=15
    ),
    st.lists(
        st.fixed_dictionaries(
            {
                "place": PLACES,
                "lane": LANES,
                "hour": TIMES,
                "wind": st.none() | st.floats(-5, 5).map(abs),
                "sky": st.none() | st.sampled_from(["clear", "grey"]),
            }
        ),
        max_size=25,
    ),
    st.none() | st.integers(0, 300).map(float),
    st.sampled_from([("place",), ("place", "lane")]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200)
def test_each_row_sees_the_newest_it_may_and_no_row_is_lost(
    rows: list[dict[str, Any]], view: list[dict[str, Any]], ttl: float | None, entity: tuple[str, ...], shuffler: Any
) -> None:
    spec = spec_of(entity=entity, ttl=ttl, columns=("wind", "sky"))
    frame, known = pl.DataFrame(rows, schema=ROWS), pl.DataFrame(view, schema=VIEW)
    joined = join_views(frame, [(spec, known)], moment="moment")
    assert joined.select(frame.columns).equals(frame)
    assert list(joined.select("wind", "sky").iter_rows()) == [searched(row, view, spec) for row in rows]
    shuffled = list(view)
    shuffler.shuffle(shuffled)
    again = join_views(frame, [(spec, pl.DataFrame(shuffled, schema=VIEW))], moment="moment")
    assert again.equals(joined), "the order of the view does not matter"


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=20),
    st.lists(st.integers(0, 100), max_size=30),
    st.integers(0, 100),
)
@settings(max_examples=60)
def test_nothing_after_the_moment_changes_a_row(moments: list[int], hours: list[int], cut: int) -> None:
    rows = pl.DataFrame(
        {"place": ["a"] * len(moments), "moment": [START + timedelta(minutes=m) for m in moments]},
        schema={"place": pl.String, "moment": INSTANT},
    )
    view = pl.DataFrame(
        {"place": ["a"] * len(hours), "hour": [START + timedelta(minutes=m) for m in hours], "wind": hours},
        schema={"place": pl.String, "hour": INSTANT, "wind": pl.Int64},
    )
    edge = START + timedelta(minutes=cut)
    known = view.filter(pl.col("hour") <= edge)
    early = rows.filter(pl.col("moment") <= edge)
    whole = join_views(rows, [(spec_of(), view)], moment="moment").filter(pl.col("moment") <= edge)
    assert join_views(early, [(spec_of(), known)], moment="moment").equals(whole)


def frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = pl.DataFrame({"place": ["a", "b"], "lane": [1, 2], "moment": [START] * 2, "n": [1, 2]}, schema=ROWS)
    view = pl.DataFrame({"place": ["a"], "lane": [1], "hour": [START], "wind": [3.0], "sky": ["grey"]}, schema=VIEW)
    return rows, view


def test_several_views_and_default_columns() -> None:
    rows, view = frames()
    other = view.select("place", pl.col("hour").alias("seen"), rain=pl.lit(0.5), _digest=pl.lit(b"x"))
    joined = join_views(
        rows,
        [(spec_of(columns=("sky",)), view), (spec_of(view="rain", time="seen", ttl=0.0), other)],
        moment="moment",
    )
    assert joined.columns == [*rows.columns, "sky", "rain"]
    assert joined.rows() == [("a", 1, START, 1, "grey", 0.5), ("b", 2, START, 2, None, None)]
    assert join_views(rows, [], moment="moment").equals(rows)
    assert join_views(rows.clear(), [(spec_of(columns=("sky",)), view)], moment="moment").height == 0
    empty = join_views(rows, [(spec_of(columns=("sky",)), view.clear())], moment="moment")
    assert empty["sky"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("changes", "rows_without", "message"),
    [
        ({}, None, "already is a column 'lane'"),
        ({"columns": ("wnd",)}, None, "dataset 'hours' has no column 'wnd'"),
        ({"time": "day"}, None, "has no column 'day'"),
        ({"entity": ("town",)}, None, "has no column 'town'"),
        ({"columns": ("sky",)}, "place", "the rows have no column 'place', its entity"),
        ({"columns": ("sky",)}, "moment", "no column 'moment', the moment"),
        ({"columns": ("sky",), "time": "wind"}, None, "column 'wind' is Float64, which is no instant"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], rows_without: str | None, message: str) -> None:
    rows, view = frames()
    if rows_without:
        rows = rows.drop(rows_without)
    with pytest.raises(FeatureError, match=message):
        join_views(rows, [(spec_of(**changes), view)], moment="moment")


def test_types_and_zones_must_agree() -> None:
    rows, view = frames()
    spec = spec_of(columns=("sky",))
    with pytest.raises(FeatureError, match="entity 'place' is String in the rows and Int64 in dataset 'hours'"):
        join_views(rows, [(spec, view.with_columns(place=pl.lit(1, dtype=pl.Int64)))], moment="moment")
    naive = view.with_columns(pl.col("hour").dt.replace_time_zone(None))
    with pytest.raises(FeatureError, match="no instant with a time zone"):
        join_views(rows, [(spec, naive)], moment="moment")
    elsewhere = view.with_columns(pl.col("hour").dt.convert_time_zone("Asia/Tokyo"))
    assert join_views(rows, [(spec, elsewhere)], moment="moment")["sky"].to_list() == ["grey", None]
    narrow = view.with_columns(pl.col("lane").cast(pl.Int32))
    by_lane = spec_of(entity=("place", "lane"), columns=("sky",))
    assert join_views(rows, [(by_lane, narrow)], moment="moment")["sky"].to_list() == ["grey", None]


def test_two_views_may_not_give_the_same_name() -> None:
    rows, view = frames()
    spec = spec_of(columns=("sky",))
    with pytest.raises(FeatureError, match="already is a column 'sky'"):
        join_views(rows, [(spec, view), (spec_of(view="again", columns=("sky",)), view)], moment="moment")
