"""A server that looks features up sees what training joined, row by row."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.features.join import FeatureError, join_views
from trimtab.features.publish import HISTORY, publish_view
from trimtab.features.spec import FeatureViewSpec
from trimtab.inference.lookup.filling import Filling
from trimtab.inference.lookup.snapshot import FeatureSnapshot

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VIEW = {
    "place": pl.String,
    "lane": pl.Int64,
    "hour": pl.Datetime("us", "UTC"),
    "wind": pl.Float64,
    "sky": pl.String,
    "wet": pl.Boolean,
}
HOURS = st.integers(-72, 6).map(lambda hour: NOW + timedelta(hours=hour))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "place": st.none() | st.sampled_from("ab"),
            "lane": st.none() | st.integers(1, 2),
            "hour": st.none() | HOURS,
            "wind": st.none() | st.floats(-5, 5),
            "sky": st.none() | st.sampled_from(["grey", "blue"]),
            "wet": st.none() | st.booleans(),
        }
    ),
    max_size=40,
)
ASKED = st.lists(
    st.tuples(
        st.none() | st.sampled_from("abc"),
        st.integers(1, 3),
        st.integers(0, int(HISTORY.total_seconds())).map(lambda second: NOW - timedelta(seconds=second)),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=100)
@given(ROWS, ASKED, st.none() | st.sampled_from([3600.0, 7200.0, 90_000.0]), st.booleans())
def test_what_is_looked_up_is_what_was_joined(tmp_path_factory, rows, asked, ttl, by_both):
    spec = FeatureViewSpec(
        view="weather", source="hours", entity=("place", "lane") if by_both else ("place",), time="hour", ttl=ttl,
        columns=("wind", "sky", "wet"),
    )  # fmt: skip
    frame = pl.DataFrame(rows, schema=VIEW)
    wanted = pl.DataFrame(
        {"place": [a[0] for a in asked], "lane": [a[1] for a in asked], "moment": [a[2] for a in asked]},
        schema={"place": pl.String, "lane": pl.Int64, "moment": pl.Datetime("us", "UTC")},
    )
    joined = join_views(wanted, [(spec, frame)], moment="moment")
    snapshot = FeatureSnapshot(tmp_path_factory.mktemp("features") / "features.db")
    publish_view(snapshot, spec, frame, version="1", now=NOW)
    filling = Filling(snapshot, ["wind", "sky", "wet"])
    sent = [{"place": place, "lane": lane} for place, lane, _ in asked]
    at = [round(moment.timestamp() * 1e6) for _, _, moment in asked]
    counts: dict[str, Counter[str]] = {}
    found = filling.fill(sent, at, filling.needed(sent, snapshot.views()), counts)
    assert [(one["wind"], one["sky"], one["wet"]) for one in found] == joined.select("wind", "sky", "wet").rows()
    snapshot.close()


def test_what_can_be_told_at_no_moment_is_left_out(tmp_path):
    hours = [NOW - timedelta(hours=hour) for hour in range(0, 100)]
    frame = pl.DataFrame({"place": ["a"] * 100, "hour": hours, "wind": [1.0] * 100})
    snapshot = FeatureSnapshot(tmp_path / "features.db")
    base = {"source": "hours", "entity": ("place",), "time": "hour"}
    short = FeatureViewSpec(view="short", ttl=3600.0, **base)
    assert publish_view(snapshot, short, frame, version="1", now=NOW) == 48 + 1 + 1
    lasting = FeatureViewSpec(view="lasting", **base)
    assert publish_view(snapshot, lasting, frame, version="1", now=NOW) == 48 + 1 + 1  # and the newest before


def test_types_that_cannot_be_looked_up_by_are_refused(tmp_path):
    snapshot = FeatureSnapshot(tmp_path / "features.db")
    spec = FeatureViewSpec(view="v", source="s", entity=("place",), time="hour")
    frame = pl.DataFrame({"place": [1.5], "hour": [NOW], "wind": [1.0]})
    with pytest.raises(FeatureError, match="entity 'place' is Float64, which cannot be looked up by"):
        publish_view(snapshot, spec, frame, version="1", now=NOW)
    with pytest.raises(FeatureError, match="has no column 'hour'"):
        publish_view(snapshot, spec, frame.drop("hour"), version="1", now=NOW)


def test_categories_and_dates_are_told_as_training_has_them(tmp_path):
    spec = FeatureViewSpec(view="v", source="s", entity=("place",), time="hour")
    frame = pl.DataFrame({"place": ["a"], "hour": [NOW], "day": [NOW.date()], "n": [3], "kind": ["x"]}).with_columns(
        pl.col("place", "kind").cast(pl.Categorical), pl.col("n").cast(pl.Int32)
    )
    snapshot = FeatureSnapshot(tmp_path / "features.db")
    publish_view(snapshot, spec, frame, version="1", now=NOW)
    (view,) = snapshot.views()
    (known,) = snapshot.read("v", [("a",)], [round(NOW.timestamp() * 1e6)])
    assert known is not None
    assert dict(zip(view.columns, known.values, strict=True)) == {"day": NOW, "n": 3.0, "kind": "x"}
