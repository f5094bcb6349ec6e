"""Folders of images and sounds as datasets: facts, moments, labels, contents, and files that are not what they say."""

from __future__ import annotations

import io
import os
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
from blake3 import blake3
from PIL import Image

from trimtab.data.port import DataError, PagedSource
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import Taken
from trimtab.data.store.versions import DatasetStore

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def spec_of(source: str, options: dict[str, Any] | None = None, **changes: Any) -> DatasetSpec:
    fields = {"name": "photos", "source": source, "key": ("path",), "time": "at", "media": ("content",)} | changes
    return DatasetSpec(**fields, options=options or {})


def photo(path: Path, *, size: tuple[int, int] = (32, 20), taken: str = "", turn: int = 1, seed: int = 0) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = turn
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    image.save(path, exif=exif)
    settle(path)
    return path.read_bytes()


def settle(path: Path, at: datetime = NOON) -> None:
    os.utime(path, (at.timestamp(), at.timestamp()))


def collected(folder: Path, spec: DatasetSpec, now: datetime = NOW) -> tuple[DatasetStore, list[str]]:
    store, told = DatasetStore(folder / ".store", spec), list[Taken]()
    store.collect(open_source(spec, folder), until=now, now=now, told=told.append)
    return store, [note for taken in told for note in taken.notes]


def test_a_row_says_what_the_image_is(tmp_path: Path) -> None:
    data = photo(tmp_path / "p" / "cat" / "a.jpg", size=(32, 20), taken="2026:01:02 03:04:05", turn=6)
    photo(tmp_path / "p" / "dog" / "b.png", size=(8, 9))
    store, said = collected(tmp_path, spec_of("p/**/*.jpg", label="kind", timezone="Europe/Berlin"))
    assert not said
    (row,) = store.read().to_dicts()
    assert row["content"] == blake3(data).digest()
    assert store.packs is not None
    row.pop("content")
    assert row == {
        "path": "p/cat/a.jpg", "folder": "cat", "kind": "cat", "digest": blake3(data).hexdigest(), "bytes": len(data),
        "format": "JPEG", "width": 20, "height": 32, "channels": 3, "orientation": 6, "modified": NOON,
        "taken": "2026-01-02T03:04:05", "at": datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
    }  # fmt: skip


def test_a_version_is_whole_when_the_folder_is_gone(tmp_path: Path) -> None:
    contents = [photo(tmp_path / "p" / f"{n}.png", seed=n) for n in range(5)]
    store, _ = collected(tmp_path, spec_of("p/*.png"))
    for n in range(5):
        (tmp_path / "p" / f"{n}.png").unlink()
    rows = store.read().sort("path")
    assert [store.contents([digest])[0] for digest in rows["content"]] == contents
    assert store.verify().sound


def test_sounds(tmp_path: Path) -> None:
    for name, rate, channels in (("a.wav", 8000, 1), ("b.wav", 16000, 2)):
        soundfile.write(tmp_path / name, np.zeros((rate // 2, channels), np.float32), rate)
        settle(tmp_path / name)
    store, _ = collected(tmp_path, spec_of("*.wav"))
    rows = store.read().sort("path")
    assert rows.select("duration", "sample_rate", "channels", "format").rows() == [
        (0.5, 8000, 1, "WAV"),
        (0.5, 16000, 2, "WAV"),
    ]
    assert rows["at"].to_list() == [NOON, NOON]


def bomb() -> bytes:
    """A PNG of a hundred thousand million pixels in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def test_what_cannot_be_read_goes_to_the_quarantine_with_its_reason(tmp_path: Path) -> None:
    whole = photo(tmp_path / "good.png")
    broken = {
        "bomb.png": (bomb(), "pixels; at most 100,000,000"),
        "cut.png": (whole[: len(whole) // 2], "damaged"),
        "empty.png": (b"", "the file is empty"),
        "text.png": (b"no image at all", "no image"),
        "large.png": (b"\x89PNG" + bytes(300_000), "at most 200,000"),
    }
    for name, (data, _) in broken.items():
        (tmp_path / name).write_bytes(data)
        settle(tmp_path / name)
    store, _ = collected(tmp_path, spec_of("*.png", {"max_bytes": 200_000}))
    assert store.read()["path"].to_list() == ["good.png"]
    refused = {row["key"]: row["row"] for row in store.quarantined().rows.to_dicts()}
    assert set(refused) == set(broken)
    for name, (_, reason) in broken.items():
        assert reason in refused[name], name
    again = DatasetStore(tmp_path / ".store", store.spec)
    again.collect(open_source(store.spec, tmp_path), until=NOW.replace(hour=1), now=NOW.replace(hour=1))
    assert again.quarantined().total == len(broken), "each once"


def test_a_sound_without_samples(tmp_path: Path) -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros((0, 1), np.float32), 8000, format="WAV")
    for name, data in (("a.wav", out.getvalue()), ("b.wav", b"")):
        (tmp_path / name).write_bytes(data)
        settle(tmp_path / name)
    store, _ = collected(tmp_path, spec_of("*.wav"))
    assert store.current() is None
    assert store.quarantined().total == 2
    assert "the sound is empty" in "".join(store.quarantined().rows["row"])


def test_a_file_that_is_being_copied_is_left_for_later(tmp_path: Path) -> None:
    whole = photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(whole[:300])
    store, said = collected(tmp_path, spec_of("*.png"))
    assert "b.png is left for later: the PNG image is damaged" in said[0]
    assert store.quarantined().total == 0
    (tmp_path / "b.png").write_bytes(whole)
    later = NOW.replace(month=12, year=2030)
    store, _ = collected(tmp_path, store.spec, later)
    assert store.read()["path"].to_list() == ["a.png", "b.png"]


def test_moments(tmp_path: Path) -> None:
    photo(tmp_path / "IMG_20260203_040506_x.jpg")
    photo(tmp_path / "other.jpg")
    named = spec_of("*.jpg", {"time_from": "name", "name_pattern": "IMG_%Y%m%d_%H%M%S"}, timezone="UTC")
    store, _ = collected(tmp_path, named)
    assert store.read()["at"].to_list() == [datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)]
    assert store.quarantined().reasons == {"missing: time at": 1}
    photo(tmp_path / "sub" / "c.jpg", taken="2026:01:02 03:04:05")
    with pytest.raises(DataError, match="have no time zone"):
        collected(tmp_path, spec_of("sub/*.jpg"))


def test_labels_from_a_sidecar_come_when_they_come(tmp_path: Path) -> None:
    for n in range(3):
        photo(tmp_path / "p" / f"{n}.jpg", seed=n)
    (tmp_path / "p" / "labels.csv").write_text("path,kind,price\n0.jpg,cat,3.5\np/1.jpg,dog,\n")
    spec = spec_of("p/*.jpg", {"sidecar": "p/labels.csv"}, label="kind")
    store, _ = collected(tmp_path, spec)
    rows = store.read().sort("path")
    assert rows["kind"].to_list() == ["cat", "dog", None]
    assert rows["price"].to_list() == [3.5, None, None]
    (tmp_path / "p" / "labels.csv").write_text("path,kind,price\n0.jpg,cat,3.5\np/1.jpg,dog,\n2.jpg,cow,1\n")
    store, _ = collected(tmp_path, spec, NOW.replace(hour=5))
    assert store.read().sort("path")["kind"].to_list() == ["cat", "dog", "cow"]
    (tmp_path / "p" / "labels.csv").write_text("file,kind\n0.jpg,cat\n")
    with pytest.raises(DataError, match="has no column 'path'"):
        collected(tmp_path, spec, NOW.replace(hour=6))


def test_each_file_once_from_any_cursor_and_no_page_too_large(tmp_path: Path) -> None:
    for n in range(12):
        photo(tmp_path / f"{n:02}.png", seed=n, size=(40, 40))
    from trimtab.data.sources.media import MediaSource

    source = MediaSource(spec_of("*.png"), tmp_path, "image", page_bytes=12_000)
    assert isinstance(source, PagedSource)
    pages = list(source.pages("", None, NOW))
    assert len(pages) > 3
    assert pl.concat([page.rows for page in pages if page.rows.height])["path"].to_list() == [
        f"{n:02}.png" for n in range(12)
    ]
    given = 0
    for page in pages:
        given += page.rows.height
        rest = list(source.pages(page.cursor, None, NOW))
        assert sum(page.rows.height for page in rest) == 12 - given
    settle(tmp_path / "11.png", datetime(2027, 1, 1, tzinfo=UTC))
    later = list(source.pages(pages[-1].cursor, None, NOW))
    assert not sum(page.rows.height for page in later), "it has not happened yet"
    out = list(source.pages(later[-1].cursor, None, datetime(2027, 2, 1, tzinfo=UTC)))
    assert out[0].rows["path"].to_list() == ["11.png"]
