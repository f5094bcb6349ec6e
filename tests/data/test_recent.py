"""The newest rows beside the table: always what the table has, and enough to find nothing new."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.conftest import hours, trips

from trimtab.data.port import DIGEST
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore

NOW = hours(10_000)


def same(store: DatasetStore, since: float) -> None:
    """What is held is what the table has."""
    held = store.recent(hours(since)).sort("at", "id")
    there = store.read(since=hours(since), digests=True)
    assert held.select(there.columns).equals(there)


def stable(store: DatasetStore) -> None:
    """Keep the newest rows once the file system's clock has gone on."""
    time.sleep(0.06)
    store.remember()


@given(
    st.lists(st.tuples(st.integers(1, 80), st.integers(0, 30), st.booleans(), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 60),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_held_rows_are_those_of_the_table(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool, bool]], span: int
) -> None:
    """Rows come, come again, are filled in later, and processes begin anew."""
    spec = DatasetSpec(name="trips", source="trips.parquet", key=("id",), time="at", late=30 * 3600.0)
    folder = tmp_path_factory.mktemp("store")
    store, end = DatasetStore(folder, spec), 0
    for more, again, hollow, anew in steps:
        begin, end = max(0, end - again), end + more
        rows = trips(begin, end)
        if hollow:
            rows = rows.with_columns(town=pl.when(pl.col("at") > hours(end - 5)).then(None).otherwise("town"))
        store.collect(rows, until=hours(end), now=NOW)
        same(store, end - span)
        if anew:
            stable(store)
            store = DatasetStore(folder, spec)
            same(store, end - span)


def test_nothing_new_is_found_without_opening_the_table(store: DatasetStore, tmp_path: Path) -> None:
    store.collect(trips(0, 100), until=hours(100), now=NOW)
    store.recent(hours(50))
    stable(store)
    again = f"""
import sys
from datetime import timedelta
from tests.data.conftest import hours, trips
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from pathlib import Path

store = DatasetStore(Path({str(tmp_path)!r}), DatasetSpec(name="trips", source="x", key=("id",), time="at"))
version = store.current()
assert version.rows == 100 and version.number > 0
assert store.collect(trips(60, 100), until=hours(101), now=hours(10_000)) is None
assert store.recent(hours(50)).height == 49
store.remember()
assert "lance" not in sys.modules
assert store.collect(trips(99, 103), until=hours(103), now=hours(10_000)).version.rows == 103
assert "lance" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", again], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same(store, 95)
    assert store.current() == store.version()


def test_rows_of_an_older_version_do_not_count(make_store: Callable[..., DatasetStore], tmp_path: Path) -> None:
    store = make_store()
    store.collect(trips(0, 10), until=hours(10), now=NOW)
    stable(store)
    before = (tmp_path / "trips" / "recent.json").read_bytes()
    files = {path: path.read_bytes() for path in (tmp_path / "trips").glob("recent-*")}
    store.collect(trips(10, 20), until=hours(20), now=NOW)
    stable(store)
    (tmp_path / "trips" / "recent.json").write_bytes(before)
    for path, content in files.items():
        path.write_bytes(content)
    other = make_store()
    version = other.current()
    assert version is not None
    assert version.rows == 20
    same(other, 0)


@pytest.mark.parametrize("damage", ["note", "rows", "gone", "cut"])
def test_a_damaged_copy_is_passed_over(make_store: Callable[..., DatasetStore], tmp_path: Path, damage: str) -> None:
    store = make_store()
    store.collect(trips(0, 30), until=hours(30), now=NOW)
    stable(store)
    note, (rows,) = tmp_path / "trips" / "recent.json", (tmp_path / "trips").glob("recent-*.arrow")
    if damage == "note":
        note.write_text("{")
    elif damage == "gone":
        rows.unlink()
    else:
        rows.write_bytes(b"" if damage == "rows" else rows.read_bytes()[:100])
    other = make_store()
    assert other.collect(trips(20, 30), until=hours(31), now=NOW) is None
    same(other, 10)


def test_a_copied_folder_is_read_from_its_table(store: DatasetStore, spec: DatasetSpec, tmp_path: Path) -> None:
    store.collect(trips(0, 30), until=hours(30), now=NOW)
    stable(store)
    shutil.copytree(tmp_path, tmp_path.parent / "copy")
    same(DatasetStore(tmp_path.parent / "copy", spec), 3)


def test_what_is_held_is_let_go_with_time(store: DatasetStore) -> None:
    for day in range(5):
        store.collect(trips(24 * day, 24 * day + 24), until=hours(24 * day + 24), now=NOW)
        held = store.recent(hours(24 * day))
        assert held.height == 23
        assert DIGEST in held.columns
    assert store.recent(hours(119) - timedelta(hours=100)).height == 100
