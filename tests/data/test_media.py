"""The bytes of media: kept once, read back as they were, and a flipped byte is found wherever it lies."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.conftest import hours

from trimtab.data.port import DataError
from trimtab.data.store import packs as packing
from trimtab.data.store.packs import Packs
from trimtab.data.store.versions import DatasetStore
from trimtab.records.objects import LocalObjects, keeps_one_of_two

NOW = hours(10_000)


def files(contents: dict[str, bytes | None], at: float = 0) -> pl.DataFrame:
    """Rows as a folder of files gives them."""
    cells = pl.Series(list(contents.values()), dtype=pl.Binary)
    return pl.DataFrame({"path": list(contents), "at": [hours(at)] * len(contents), "content": cells})


@pytest.fixture
def pictures(make_store: Callable[..., DatasetStore]) -> DatasetStore:
    return make_store(key=("path",), media=("content",), changes="replace")


def test_a_row_holds_the_digest_and_the_bytes_come_back(pictures: DatasetStore) -> None:
    given_files = {"a.png": b"one", "b.png": b"", "c.png": None, "d.png": b"one"}
    commit = pictures.collect(files(given_files), until=NOW, now=NOW)
    assert commit is not None
    rows = pictures.read()
    digests = dict(zip(rows["path"], rows["content"], strict=True))
    assert digests == {k: None if v is None else blake3(v).digest() for k, v in given_files.items()}
    assert pictures.contents([digests["d.png"], digests["b.png"], digests["a.png"]]) == [b"one", b"", b"one"]
    assert pictures.verify().sound
    assert pictures.collect(files(given_files), until=NOW, now=NOW) is None
    with pytest.raises(DataError, match="is missing"):
        pictures.contents([b"x" * 32])


def test_a_file_that_changed_takes_the_place_of_the_old_one(pictures: DatasetStore) -> None:
    first = pictures.collect(files({"a": b"old", "b": b"same"}), until=NOW, now=NOW)
    second = pictures.collect(files({"a": b"new", "b": b"same"}, at=1), until=NOW, now=NOW)
    assert first is not None
    assert second is not None
    assert (second.version.rows, second.version.added, second.version.completed) == (2, 0, 2)
    found = pictures.diff(first.version.id)
    assert (found.added, found.removed, found.changed) == (0, 0, 2)
    for version, content in ((first.version.id, b"old"), (second.version.id, b"new")):
        row = pictures.read(version).filter(pl.col("path") == "a")
        assert pictures.contents(row["content"].to_list()) == [content]
        assert pictures.verify(version).sound


def test_without_replace_a_changed_file_is_refused(make_store: Callable[..., DatasetStore]) -> None:
    store = make_store(key=("path",), media=("content",))
    store.collect(files({"a": b"old"}), until=NOW, now=NOW)
    assert store.collect(files({"a": b"new"}), until=NOW, now=NOW) is None
    assert store.quarantined().total == 1


def test_media_must_be_bytes(pictures: DatasetStore) -> None:
    rows = files({"a": b"x"}).with_columns(content=pl.lit("a path"))
    with pytest.raises(DataError, match="holds String, not bytes"):
        pictures.collect(rows, until=NOW, now=NOW)


@given(
    st.lists(st.lists(st.binary(max_size=60), max_size=12), max_size=5),
    st.integers(20, 200),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packs_give_back_what_they_were_given(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("packs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packing, "_PACK", size)
        kept: dict[bytes, bytes] = {}
        for batch in batches:
            digests = Packs(LocalObjects(folder)).put(batch)
            assert digests == [blake3(content).digest() for content in batch]
            kept |= dict(zip(digests, batch, strict=True))
        packs = Packs(LocalObjects(folder), folder / "cache")
        assert packs.get(list(kept)) == list(kept.values())
        assert packs.wrong(kept) == {}
        assert Packs(LocalObjects(folder), folder / "cache").get(list(kept)) == list(kept.values())
        keep = set(list(kept)[::2])
        packs.sweep(keep, dry=False)
        again = Packs(LocalObjects(folder))
        assert again.get(list(keep)) == [kept[digest] for digest in keep]


def test_a_flipped_byte_of_a_pack_is_found_wherever_it_lies(pictures: DatasetStore, tmp_path: Path) -> None:
    dice = random.Random(5)
    contents: dict[str, bytes | None] = {f"{n:02d}.jpg": dice.randbytes(50) for n in range(40)}
    pictures.collect(files(contents), until=NOW, now=NOW)
    (pack,) = (tmp_path / "trips" / "media" / "packs").iterdir()
    clean = pack.read_bytes()
    for place in [0, len(clean) - 1, *(dice.randrange(len(clean)) for _ in range(60))]:
        pack.write_bytes(clean[:place] + bytes([clean[place] ^ (1 << dice.randrange(8))]) + clean[place + 1 :])
        found = DatasetStore(tmp_path, pictures.spec).verify()
        assert not found.sound, place
        assert found.damages[0].rows >= 1
        if place < 40 * 50:
            assert [(damage.file, damage.rows, damage.keys) for damage in found.damages] == [
                (pack.name, 1, (f"{place // 50:02d}.jpg",))
            ]
    pack.write_bytes(clean)
    assert DatasetStore(tmp_path, pictures.spec).verify().sound
    pack.unlink()
    lost = DatasetStore(tmp_path, pictures.spec)
    assert [damage.rows for damage in lost.verify().damages] == [40]
    lost.collect(files(contents, at=1), until=NOW, now=NOW)
    assert lost.verify().sound, "what is collected again is there again"


def test_a_folder_keeps_one_of_two(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "new")
    assert keeps_one_of_two(objects)
    assert objects.sizes("") == {}
    assert objects.first("nothing") == ""
    assert objects.get("a/b") is None
