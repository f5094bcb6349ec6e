"""Stores that were damaged: what is wrong is found and named."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from tests.data.conftest import hours, trips
from tests.data.test_media import files

from trimtab.data.port import DIGEST, DataError
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import Verification
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import TemporaryError, TrimtabError

NOW = hours(10_000)


def check(store: DatasetStore) -> Verification | TrimtabError:
    """What a fresh process finds."""
    try:
        return DatasetStore(store._folder.parent, store.spec).verify()
    except TrimtabError as error:
        return error


def test_a_flipped_byte_is_found_and_the_rows_are_named(store: DatasetStore) -> None:
    store.collect(trips(0, 500), until=NOW, now=NOW)
    intact = store.read(digests=True)
    path = max(Path(store._table.place.uri).glob("data/*"), key=lambda file: file.stat().st_size)
    clean = path.read_bytes()
    dice = random.Random(3)
    found = named = 0
    for _ in range(60):
        place = dice.randrange(len(clean))
        path.write_bytes(clean[:place] + bytes([clean[place] ^ (1 << dice.randrange(8))]) + clean[place + 1 :])
        result = check(store)
        if isinstance(result, TrimtabError):
            found += 1
            assert store._table.place.uri in result.message
        elif not result.sound:
            found += 1
            named += bool(result.damages[0].keys)
            assert path.name in {damage.file for damage in result.damages} | {""} or result.damages[0].file == path.name
        else:  # the byte held no content: padding, statistics
            again = DatasetStore(store._folder.parent, store.spec).read(digests=True)
            assert again.equals(intact)
    path.write_bytes(clean)
    assert check(store) == store.verify()
    assert store.verify().sound
    assert found > 20
    assert named > 10


def test_a_flipped_byte_of_any_file_is_found_or_does_no_harm(
    make_store: Callable[..., DatasetStore], tmp_path: Path
) -> None:
    """In every kind of file: rows, deletions, manifests, transactions, tags, contents. It is found, or the version is
    as it was."""
    store = make_store(key=("path",), media=("content",), changes="replace")
    contents = {f"{n:02d}": bytes([n]) * 30 for n in range(40)}
    store.collect(files(dict(contents)), until=hours(1), now=NOW)
    store.collect(files({"03": b"new", "44": b"more"}, at=1), until=hours(2), now=NOW)
    intact, fact = store.read(digests=True), store.version()
    dice, found, kinds = random.Random(9), dict[str, int](), set[str]()
    for path in sorted(path for path in store._folder.rglob("*") if path.is_file() and path.name != "lock"):
        kind = path.parent.name
        kinds.add(kind)
        clean = path.read_bytes()
        for _ in range(12 if clean else 0):
            place = dice.randrange(len(clean))
            path.write_bytes(clean[:place] + bytes([clean[place] ^ (1 << dice.randrange(8))]) + clean[place + 1 :])
            try:
                fresh = DatasetStore(tmp_path, store.spec)
                sound = fresh.verify().sound
            except TrimtabError:
                sound = False
            if sound:
                assert fresh.read(digests=True).equals(intact), path
                assert fresh.version().fact == fact.fact, path
            else:
                found[kind] = found.get(kind, 0) + 1
        path.write_bytes(clean)
    assert {"data", "_deletions", "_versions", "_transactions", "tags", "packs"} <= kinds
    assert found["packs"] >= 12
    assert found["data"] > 0
    assert found["_versions"] > 0
    assert found["_deletions"] > 0
    assert DatasetStore(tmp_path, store.spec).verify().sound


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="a small file system is mounted by root alone")
def test_a_disk_that_is_full_leaves_nothing_half_committed(spec: DatasetSpec, tmp_path: Path) -> None:
    """A real file system of 4 MiB, filled by collecting until there is no room."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        dice, store = random.Random(4), DatasetStore(small, spec)
        told: TemporaryError | None = None
        for batch in range(200):
            rows = trips(batch * 100, batch * 100 + 100, note=[dice.randbytes(600).hex() for _ in range(100)])
            try:
                store.collect(rows, until=NOW, now=NOW)
            except TemporaryError as error:
                told = error
                break
        assert told is not None
        assert "full" in told.message or "No space" in told.message
        fresh = DatasetStore(small, spec)
        whole = fresh.version()
        assert whole.rows == batch * 100
        assert rows.filter(pl.col("id").is_in(fresh.read(columns=["id"])["id"].implode())).is_empty()
        assert all(fresh.verify(version.id).sound for version in fresh.versions())
        subprocess.run(["mount", "-o", "remount,size=16m", str(small)], check=True)
        again = DatasetStore(small, spec).collect(rows, until=NOW, now=NOW)
        assert again is not None
        assert again.version.rows == whole.rows + 100
        assert DatasetStore(small, spec).verify().sound
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_changed_cell_is_named_by_its_key(store: DatasetStore) -> None:
    """Rows written behind the store's back: well formed, and not what was stored."""
    commit = store.collect(trips(0, 50), until=NOW, now=NOW)
    assert commit is not None
    note = store._table.note(1)
    assert note is not None
    rows = store.read(digests=True)
    forged = rows.with_columns(fare=pl.when(pl.col("id") == "trip-7").then(1e6).otherwise("fare"))
    store._table.replace(forged.filter(pl.col("id") == "trip-7"), ["id"], rows.get_column(DIGEST).head(0), note)
    result = store.verify()
    assert not result.sound
    assert result.damages[0].keys == ("trip-7",)
    assert result.damages[0].rows == 1


def test_a_lost_row_is_found(store: DatasetStore) -> None:
    store.collect(trips(0, 50), until=NOW, now=NOW)
    import lance

    lance.dataset(store._table.place.uri).delete("id = 'trip-9'")
    result = store.verify()
    assert [damage.reason for damage in result.damages] == [
        "the rows are not those of the version: 49 rows where there were 50"
    ]


def test_a_row_stored_twice_is_found(store: DatasetStore) -> None:
    store.collect(trips(0, 5), until=NOW, now=NOW)
    note = store._table.note(1)
    assert note is not None
    store._table.append(store.read(digests=True).head(1).select([*store.version().columns, DIGEST]), note)
    assert not store.verify().sound


@pytest.mark.parametrize("size", [0, 40])
def test_a_torn_manifest_is_an_error_that_names_the_store(store: DatasetStore, size: int) -> None:
    store.collect(trips(0, 5), until=NOW, now=NOW)
    manifest = next(Path(store._table.place.uri).glob("_versions/*.manifest"))
    manifest.write_bytes(manifest.read_bytes()[:size])
    fresh = DatasetStore(store._folder.parent, store.spec)
    for call in (fresh.current, fresh.read, fresh.verify):
        with pytest.raises(DataError, match="is damaged or unreadable") as error:
            call()
        assert store._table.place.uri in error.value.message


def test_a_lost_file_is_named(store: DatasetStore) -> None:
    store.collect(trips(0, 5), until=NOW, now=NOW)
    store.collect(trips(5, 9), until=NOW, now=NOW)
    victim = min(Path(store._table.place.uri).glob("data/*"), key=lambda file: file.stat().st_mtime)
    victim.unlink()
    result = DatasetStore(store._folder.parent, store.spec).verify()
    assert [damage.file for damage in result.damages] == [victim.name]
    assert result.damages[0].rows == 5


def test_a_foreign_table_is_told(store: DatasetStore) -> None:
    import lance

    store._folder.mkdir(parents=True)
    lance.write_dataset(trips(0, 3).to_arrow(), store._table.place.uri)
    with pytest.raises(DataError, match="was not written by Trimtab"):
        store.current()


def test_a_full_disk_is_temporary_and_nothing_is_committed(
    store: DatasetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.collect(trips(0, 5), until=NOW, now=NOW)
    import lance

    def full(*_: object, **__: object) -> None:
        raise OSError("LanceError(IO): Generic LocalFileSystem error: No space left on device (os error 28)")

    with monkeypatch.context() as patched:
        patched.setattr(lance, "write_dataset", full)
        with pytest.raises(TemporaryError, match="is full; nothing was committed") as error:
            store.collect(trips(5, 9), until=NOW, now=NOW)
    assert error.value.delay > 0
    commit = store.collect(trips(5, 9), until=NOW, now=NOW)
    assert commit is not None
    assert commit.version.rows == 9


def test_a_folder_that_may_not_be_written(tmp_path: Path, store: DatasetStore) -> None:
    (tmp_path / "trips").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        store.collect(trips(0, 5), until=NOW, now=NOW)
