"""Datasets on the real store: what goes in comes out, once, under the name of its content."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.conftest import START, hours, trips

from trimtab.data.port import DIGEST, DataError
from trimtab.data.spec import ColumnRule
from trimtab.data.store.versions import DatasetStore
from trimtab.data.store.writing.lock import held
from trimtab.data.values.digest import content_digest
from trimtab.errors import TemporaryError

NOW = hours(10_000)


class Listed:
    """A source over a frame, which remembers what it was asked."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self.asked: list[tuple[datetime | None, datetime]] = []

    def expect(self, schema: Any) -> None:
        self.expected = dict(schema)

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        self.asked.append((since, until))
        low = since or datetime(1, 1, 1, tzinfo=UTC)
        return self.rows.filter((pl.col("at") > low) & (pl.col("at") <= until))


def test_collects_day_by_day_under_the_name_of_the_content(store: DatasetStore, tmp_path: Path) -> None:
    source = Listed(trips(0, 240))
    for day in range(1, 11):
        commit = store.collect(source, until=hours(24 * day), now=hours(24 * day))
        assert commit is not None
        assert commit.version == store.current()
    assert source.asked[3] == (hours(72), hours(96))
    last = store.current()
    assert last is not None
    assert (last.rows, last.added, last.until) == (240, 23, hours(240))
    assert (last.time_min, last.time_max) == (START, hours(239))
    whole = DatasetStore(tmp_path / "other", store.spec).collect(trips(0, 240)[::-1], until=hours(240), now=NOW)
    assert whole is not None
    assert whole.version.id == last.id
    rows = store.read(digests=True)
    assert rows.drop(DIGEST).equals(trips(0, 240).cast({"at": pl.Datetime("us", "UTC")}))
    assert content_digest(rows) == last.id
    assert store.verify().sound
    history = store.versions()
    assert [v.parent for v in history] == [None, *(v.id for v in history[:-1])]
    assert [store.version(v.id[:16]) for v in history] == history
    assert last.fact.version == last.id


def test_nothing_new_is_no_version(store: DatasetStore) -> None:
    source = Listed(trips(0, 24))
    assert store.collect(source, until=hours(24), now=hours(24)) is not None
    assert store.collect(source, until=hours(24), now=hours(30)) is None
    assert len(source.asked) == 1, "what was asked for once is not asked for again"
    assert store.collect(source, until=hours(48), now=hours(48)) is None
    assert store.collect(trips(0, 24), until=hours(48), now=hours(48)) is None
    assert store.collect(trips(0, 0), until=hours(48), now=hours(48)) is None
    assert len(store.versions()) == 1


def test_rows_are_sorted_filtered_and_chosen(store: DatasetStore) -> None:
    store.collect(trips(0, 30)[::-1], until=NOW, now=NOW)
    found = store.read(columns=["fare", "id"], since=hours(3), until=hours(6))
    assert found.to_dict(as_series=False) == {"fare": [5.0, 6.25, 7.5], "id": ["trip-4", "trip-5", "trip-6"]}
    with pytest.raises(DataError, match="no column 'fair'") as error:
        store.read(columns=["fair"])
    assert "'fare'" in error.value.hint


def test_a_label_that_comes_later_takes_the_rows_place(make_store: Callable[..., DatasetStore]) -> None:
    store = make_store(label="late", predict_before=3600.0, label_delay=4 * 3600.0)
    early = trips(0, 24, late=pl.Series([None] * 24, dtype=pl.Boolean))
    first = store.collect(early, until=hours(24), now=hours(24))
    source = Listed(trips(0, 48))
    second = store.collect(source, until=hours(48), now=hours(48))
    assert source.asked == [(hours(21), hours(48))], "rows whose truth was not known are asked for again"
    assert first is not None
    assert second is not None
    assert (second.version.added, second.version.completed, second.version.rows) == (24, 2, 48)
    assert store.read().get_column("late").null_count() == 22
    assert store.read(first.version.id).get_column("late").null_count() == 24, "the older version is as it was"
    assert content_digest(store.read(digests=True)) == second.version.id
    assert store.verify().sound
    assert store.verify(first.version.id).sound
    assert store.collect(Listed(trips(0, 48)), until=hours(49), now=hours(49)) is None


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("my id", ["it's", "back\\slash", 'ü"\n']),
        ("a/b", [-1, 0, 2**62]),
        ("SELECT", [b"", b"x", b"it's"]),
        ("d", [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]),
        ("f", [0.0, 0.1, -1e300]),
    ],
)
def test_keys_of_any_kind_are_found_again(make_store: Callable[..., DatasetStore], name: str, cells: list[Any]) -> None:
    store = make_store(key=(name, "town"), label="late")
    rows = trips(0, 3, late=pl.Series([None] * 3, dtype=pl.Boolean), town=["a", "a", "it's"])
    rows = rows.with_columns(pl.Series(name, cells))
    store.collect(rows, until=NOW, now=NOW)
    commit = store.collect(rows.with_columns(late=pl.lit(value=True)), until=NOW, now=NOW)
    assert commit is not None
    assert (commit.version.added, commit.version.completed) == (0, 3)
    assert store.collect(rows.with_columns(late=pl.lit(value=False)), until=NOW, now=NOW) is None
    assert store.quarantined().total == 3
    assert store.read()[name].to_list() == cells
    assert store.verify().sound


def test_rows_that_come_late_are_found(make_store: Callable[..., DatasetStore]) -> None:
    store = make_store(late=6 * 3600.0)
    store.collect(Listed(trips(0, 20)), until=hours(24), now=hours(24))
    commit = store.collect(Listed(trips(0, 30)), until=hours(30), now=hours(30))
    assert commit is not None
    assert (commit.version.added, commit.same) == (10, 1)


def test_a_known_key_with_other_content_is_refused_and_kept(store: DatasetStore) -> None:
    store.collect(trips(0, 10), until=hours(10), now=NOW)
    changed = trips(0, 12).with_columns(fare=pl.when(pl.col("id") == "trip-3").then(99.0).otherwise("fare"))
    commit = store.collect(changed, until=hours(12), now=NOW)
    assert commit is not None
    reason = "duplicate: its key is stored with other content"
    assert commit.refused == {reason: 1}
    assert commit.version.quarantined == {reason: 1}
    assert store.read().filter(pl.col("id") == "trip-3")["fare"].to_list() == [3.75]
    kept = store.quarantined()
    assert kept.total == 1
    row = kept.rows.row(0, named=True)
    assert (row["reason"], row["key"], row["seen_at"]) == (reason, "trip-3", NOW)
    assert json.loads(row["row"])["fare"] == 99.0


def test_a_row_is_refused_once_however_often_it_comes(store: DatasetStore) -> None:
    bad = trips(5, 6, id=pl.Series([None], dtype=pl.String))
    assert store.collect(bad, until=hours(6), now=hours(6)) is None, "no version without an accepted row"
    assert store.collect(bad, until=hours(7), now=hours(7)) is None
    commit = store.collect(pl.concat([bad, trips(8, 9)]), until=hours(9), now=hours(9))
    assert commit is not None
    assert commit.version.quarantined == {"missing: key id": 1}
    later = store.collect(pl.concat([bad, trips(9, 10)]), until=hours(10), now=hours(10))
    assert later is not None
    assert later.version.quarantined == {}, "each refused row belongs to one version"
    assert store.quarantined().reasons == {"missing: key id": 1}


def test_columns_may_be_added_but_not_lost(store: DatasetStore) -> None:
    first = store.collect(trips(0, 5), until=hours(5), now=NOW)
    commit = store.collect(trips(5, 10, wind=[0.5] * 5), until=hours(10), now=NOW)
    assert first is not None
    assert commit is not None
    assert commit.version.new_columns == ("wind",)
    assert store.read()["wind"].to_list() == [None] * 5 + [0.5] * 5
    assert "wind" not in store.read(first.version.id).columns
    assert store.verify().sound
    with pytest.raises(DataError, match="column 'town' is missing"):
        store.collect(trips(10, 12).drop("town"), until=hours(12), now=NOW)
    assert store.current() == commit.version


def test_a_column_of_nulls_waits_for_its_type(store: DatasetStore) -> None:
    first = store.collect(trips(0, 3, note=[None] * 3), until=hours(3), now=NOW)
    assert first is not None
    assert "note" not in first.version.columns
    second = store.collect(trips(3, 5, note=["a", None]), until=hours(5), now=NOW)
    assert second is not None
    assert second.version.new_columns == ("note",)
    assert store.read()["note"].to_list() == [None, None, None, "a", None]


def test_a_column_left_by_a_killed_process_is_no_content(store: DatasetStore) -> None:
    store.collect(trips(0, 3), until=hours(3), now=NOW)
    store._table.add_columns({"wind": pl.String()})
    assert "wind" not in store.read().columns
    assert store.collect(trips(3, 5), until=hours(5), now=NOW) is not None
    commit = store.collect(trips(5, 8, wind=[1.5] * 3), until=hours(8), now=NOW)
    assert commit is not None
    assert commit.version.new_columns == ("wind",)
    assert store.read()["wind"].to_list() == [None] * 5 + [1.5] * 3
    assert store.verify().sound


def test_a_missing_tag_is_mended(store: DatasetStore) -> None:
    commit = store.collect(trips(0, 3), until=hours(3), now=NOW)
    assert commit is not None
    tag = next(Path(store._table.place.uri).glob("_refs/tags/*.json"))
    tag.unlink()
    assert store.current() == commit.version
    assert store.versions() == [commit.version]
    assert store.version(commit.version.id) == commit.version
    store.collect(trips(3, 5), until=hours(5), now=NOW)
    assert tag.is_file()
    assert len(store.versions()) == 2


def test_many_commits_are_joined_and_every_version_stays(store: DatasetStore) -> None:
    for n in range(80):
        store.collect(trips(3 * n, 3 * n + 3), until=hours(3 * n + 3), now=NOW)
    assert store._table.small_parts(1_000_000) < 40
    history = store.versions()
    assert [version.rows for version in history] == list(range(3, 243, 3))
    for version in history[::20]:
        assert content_digest(store.read(version.id, digests=True)) == version.id
    again = DatasetStore(store._folder.parent, store.spec)
    assert again.current() == store.current()
    assert again.collect(trips(0, 240), until=hours(300), now=NOW) is None


def test_versions_are_found_by_id_prefix_and_tag(store: DatasetStore) -> None:
    first = store.collect(trips(0, 3), until=hours(3), now=NOW)
    second = store.collect(trips(3, 6), until=hours(6), now=NOW)
    assert first is not None
    assert second is not None
    store.tag("before-summer", first.version.id)
    for name in (first.version.id, first.version.id[:8], first.version.id[:20], "before-summer"):
        assert store.version(name) == first.version
    assert store.version() == second.version
    store.tag("before-summer")
    assert store.version("before-summer") == second.version
    with pytest.raises(DataError, match="no version 'before-sumer'") as error:
        store.read("before-sumer")
    assert "before-summer" in error.value.hint
    wrong = first.version.id[:16] + "0" * 48
    with pytest.raises(DataError, match="no version"):
        store.version(wrong)
    for name in ("", "ü", "a b", "../x", ".hidden", "v-mine"):
        with pytest.raises(DataError, match="cannot name a version"):
            store.tag(name)


def test_difference_names_keys_and_columns_that_moved(make_store: Callable[..., DatasetStore]) -> None:
    store = make_store(label="late")
    first = store.collect(trips(0, 20, late=[None] + [True] * 19), until=hours(20), now=NOW)
    store.collect(trips(20, 40, fare=[1000.0] * 20).vstack(trips(0, 1)), until=hours(40), now=NOW)
    assert first is not None
    found = store.diff(first.version.id)
    assert (found.added, found.removed, found.changed, found.same) == (20, 0, 1, 19)
    assert found.changed_keys == ("trip-0",)
    assert found.labels_changed == 1
    assert found.added_keys[0] == "trip-20"
    by_column = {moved.column: moved for moved in found.movement}
    assert by_column["fare"].distance == pytest.approx(0.5)
    assert by_column["town"].statistic == "tv"
    assert by_column["late"].nulls_before == 0.05
    back = store.diff(store.version().id, first.version.id)
    assert (back.added, back.removed) == (0, 20)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_export_is_whole_or_not_there(store: DatasetStore, tmp_path: Path, ending: str) -> None:
    store.collect(trips(0, 7), until=hours(7), now=NOW)
    path = tmp_path / f"out.{ending}"
    assert store.export(path) == 7
    again = pl.read_parquet(path) if ending == "parquet" else pl.read_csv(path, try_parse_dates=True)
    assert again.drop("at").equals(store.read().drop("at"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f"out.{ending}", "trips"])
    with pytest.raises(DataError, match=r"\.parquet or \.csv"):
        store.export(tmp_path / "out.xlsx")
    with pytest.raises(DataError, match="cannot write"):
        store.export(tmp_path / "missing" / f"out.{ending}")


def test_an_empty_dataset_says_so(store: DatasetStore) -> None:
    assert store.current() is None
    assert store.versions() == []
    assert store.quarantined().total == 0
    with pytest.raises(DataError, match="has no version yet"):
        store.read()


def test_one_process_writes_at_a_time(store: DatasetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.data.store.writing.lock._PATIENCE", 0.1)
    with held(store._folder / "lock"), pytest.raises(TemporaryError, match="another process is writing"):
        store.collect(trips(0, 3), until=hours(3), now=NOW)
    assert store.collect(trips(0, 3), until=hours(3), now=NOW) is not None


def _rows_in_a_child(folder: str, queue: Any) -> None:
    from trimtab.data.spec import DatasetSpec

    spec = DatasetSpec(name="trips", source="trips.parquet", key=("id",), time="at")
    queue.put(DatasetStore(Path(folder), spec).read().height)


def test_another_process_reads_what_this_one_wrote(store: DatasetStore, tmp_path: Path) -> None:
    store.collect(trips(0, 9), until=hours(9), now=NOW)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_rows_in_a_child, args=(str(tmp_path), queue))
    child.start()
    assert queue.get(timeout=30) == 9
    child.join(10)


def test_rules_and_reasons_reach_the_version(make_store: Callable[..., DatasetStore]) -> None:
    store = make_store(valid=(ColumnRule(column="fare", low=0.0),))
    rows = trips(0, 10).with_columns(fare=pl.when(pl.col("id") == "trip-2").then(-1.0).otherwise("fare"))
    commit = store.collect(rows, until=hours(10), now=NOW)
    assert commit is not None
    assert commit.version.rows == 9
    assert commit.version.quarantined == {"invalid: fare is not at least 0": 1}


@given(cuts=st.lists(st.integers(1, 59), max_size=4), overlap=st.integers(0, 6), seed=st.integers(0, 99))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_how_rows_were_cut_into_batches_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], overlap: int, seed: int
) -> None:
    from trimtab.data.spec import DatasetSpec

    spec = DatasetSpec(name="trips", source="trips.parquet", key=("id",), time="at")
    store = DatasetStore(tmp_path_factory.mktemp("cut"), spec)
    rows = trips(0, 60)
    edges = sorted({0, 60, *cuts})
    for low, high in pairwise(edges):
        batch = rows[max(0, low - overlap) : high].sample(fraction=1.0, shuffle=True, seed=seed)
        store.collect(batch.select(sorted(batch.columns)), until=hours(high), now=NOW)
    assert store.read().select(rows.columns).equals(rows.cast({"at": pl.Datetime("us", "UTC")}))
    plain = DatasetStore(tmp_path_factory.mktemp("whole"), spec)
    plain.collect(rows, until=hours(60), now=NOW + timedelta(days=1))
    assert store.version().id == plain.version().id
