"""A version goes into a DVC repository, and comes back out of it at its revision."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.adapters.conftest import absent
from tests.adapters.dvc.test_repository import DVC, Kept

from trimtab.adapters.dvc.exporting import export
from trimtab.data.port import DataError
from trimtab.data.store.versions import DatasetStore
from trimtab.testing.datasets import LATER, PICTURES, TRIPS, hours, pictures, trips

pytestmark = pytest.mark.component


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    if not DVC.exists():
        absent("DVC", "tools/component dvc")
    return Kept(tmp_path, {})


def test_rows_and_files_go_there_and_can_be_had_at_a_revision(kept: Kept, tmp_path: Path) -> None:
    rows = DatasetStore(tmp_path / "state", TRIPS)
    first = rows.collect(trips(0, 20), until=hours(20), now=LATER)
    media = DatasetStore(tmp_path / "state", PICTURES)
    media.collect(pictures({"cats/a.png": b"a" * 50, "b.png": b""}), until=LATER, now=LATER)
    assert first is not None
    assert export(rows, kept.folder / "trips", None, kept.environment) == kept.folder / "trips.dvc"
    export(media, kept.folder / "pictures", None, kept.environment)
    kept.run("git", "add", "-A")
    kept.run("git", "commit", "-q", "-m", "first")
    rows.collect(trips(20, 30), until=hours(30), now=LATER)
    export(rows, kept.folder / "trips", None, kept.environment)
    assert pl.read_parquet(kept.folder / "trips" / "rows.parquet").height == 30
    kept.run("git", "add", "-A")
    kept.run("git", "commit", "-q", "-m", "second")
    kept.run("git", "checkout", "-q", "HEAD~1")
    kept.run(DVC, "checkout", "-q", "--force")
    again = pl.read_parquet(kept.folder / "trips" / "rows.parquet")
    assert again.equals(rows.read(first.version.id))
    assert (kept.folder / "pictures" / "cats" / "a.png").read_bytes() == b"a" * 50
    assert (kept.folder / "pictures" / "b.png").read_bytes() == b""


def test_what_was_there_stays_when_it_cannot_be_done(kept: Kept, tmp_path: Path) -> None:
    store = DatasetStore(tmp_path / "state", TRIPS)
    store.collect(trips(0, 5), until=hours(5), now=LATER)
    (kept.folder / "mine").mkdir()
    with pytest.raises(DataError, match="DVC does not track it"):
        export(store, kept.folder / "mine", None, kept.environment)
    outside = tmp_path / "outside"
    outside.mkdir()
    with pytest.raises(DataError, match="is in no DVC repository"):
        export(store, outside / "trips", None, kept.environment)
    assert list(outside.iterdir()) == []
    with pytest.raises(DataError, match="DVC is not installed"):
        export(store, kept.folder / "trips", None, {"PATH": str(tmp_path)})
    assert not (kept.folder / "trips").exists()


def test_a_folder_that_dvc_tracks_becomes_a_version(kept: Kept, tmp_path: Path) -> None:
    """There and back: what a DVC repository holds at a revision is the version that went in."""
    import msgspec

    store = DatasetStore(tmp_path / "state", TRIPS)
    store.collect(trips(0, 20), until=hours(20), now=LATER)
    export(store, kept.folder / "trips", None, kept.environment)
    kept.run("git", "add", "-A")
    kept.run("git", "commit", "-q", "-m", "first")
    kept.run("git", "tag", "v1")
    other = DatasetStore(tmp_path / "other", msgspec.structs.replace(TRIPS, source=f"dvc:{kept.folder}"))
    other.collect(kept.source("v1", "trips/*.parquet").fetch(None, LATER), until=hours(20), now=LATER)
    assert other.version().id == store.version().id
