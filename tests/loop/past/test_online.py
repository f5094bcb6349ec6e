"""The loop publishes feature views for servers as soon as their dataset or declaration changes, and not otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from tests.loop.conftest import BAKERY

from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.declaration.load import load
from trimtab.features.spec import FeatureViewSpec
from trimtab.inference.lookup.port import Known
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.loop.past.online import publisher

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = FeatureViewSpec(view="weather", source="hours", entity=("place",), time="hour", ttl=7200.0)


def micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def hours(*back: int) -> pl.DataFrame:
    moments = [NOW - timedelta(hours=hour) for hour in back]
    return pl.DataFrame({"place": ["a"] * len(back), "hour": moments, "wind": [float(hour) for hour in back]})


@pytest.fixture
def published(tmp_path):
    """A refresh of the loop, the store it reads, the snapshot it writes, and what it said."""
    dataset = DatasetSpec(name="hours", source="hours.parquet", key=("place", "hour"), time="hour")
    store = DatasetStore(tmp_path / "data", dataset)
    said: list[tuple[str, str]] = []

    def refreshing(*views: FeatureViewSpec):
        system = msgspec.structs.replace(load(BAKERY), features=views)
        return publisher(system, {"hours": store}, tmp_path / "features.db", lambda *words: said.append(words))

    return refreshing, store, FeatureSnapshot(tmp_path / "features.db"), said


def test_views_follow_their_datasets(published):
    refreshing, store, snapshot, said = published
    refresh = refreshing(SPEC)
    refresh(NOW)
    assert (list(snapshot.views()), said) == ([], [])
    store.collect(hours(3, 2), until=NOW, now=NOW)
    refresh(NOW)
    assert snapshot.read("weather", [("a",)], [micros(NOW)]) == [Known(micros(NOW - timedelta(hours=2)), (2.0,))]
    assert len(said) == 1
    assert said[0][1].startswith("view 'weather' is published for servers: 2 rows of ")
    refresh(NOW + timedelta(hours=1))
    assert len(said) == 1
    store.collect(hours(0), until=NOW, now=NOW)
    refresh(NOW)
    assert snapshot.read("weather", [("a",)], [micros(NOW)]) == [Known(micros(NOW), (0.0,))]


def test_views_follow_their_declaration(published):
    refreshing, store, snapshot, said = published
    store.collect(hours(3, 2), until=NOW, now=NOW)
    refreshing(SPEC)(NOW)
    refreshing(msgspec.structs.replace(SPEC, line=7))(NOW)
    assert len(said) == 1
    refreshing(msgspec.structs.replace(SPEC, ttl=60.0))(NOW)
    assert [view.ttl for view in snapshot.views()] == [60.0]
    refresh = refreshing()
    assert refresh is not None
    refresh(NOW)
    assert list(snapshot.views()) == []


def test_a_view_that_cannot_be_published_leaves_the_others_alone(published):
    refreshing, store, snapshot, said = published
    store.collect(hours(2), until=NOW, now=NOW)
    wrong = msgspec.structs.replace(SPEC, view="wrong", columns=("win",))
    refreshing(wrong, SPEC)(NOW)
    assert [view.name for view in snapshot.views()] == ["weather"]
    assert "failed: view 'wrong'" in said[0][1]
    assert "did you mean 'wind'?" in said[0][1]


def test_nothing_is_made_where_no_view_is_declared(published, tmp_path):
    refreshing = published[0]
    assert refreshing() is None
    assert not (tmp_path / "features.db").exists()
