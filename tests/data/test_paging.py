"""Sources of pages: the shared suite over a plain one in memory, and what the store makes of cursors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from trimtab.data.port import Page, Source, in_one_frame
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import Taken
from trimtab.data.store.versions import DatasetStore
from trimtab.data.store.writing.position import Position, Positions
from trimtab.errors import TemporaryError
from trimtab.testing.sources import END, SourceSuite, moment, trips

SPEC = DatasetSpec(name="trips", source="counted", key=("id",), time="at")


class Counted:
    """Rows in a Parquet file in order of time; the cursor is the key that was given last, padded to any length."""

    def __init__(self, folder: Path, page_rows: int, pad: int = 0) -> None:
        self._folder, self._rows, self._pad = folder, page_rows, pad
        self.begun: list[str] = []

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """Typed already."""

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        return in_one_frame(self, since, until)

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        del since
        self.begun.append(cursor)
        rows = pl.concat([pl.read_parquet(path) for path in sorted(self._folder.glob("*.parquet"))]).sort("id")
        if (self._folder / "broken").exists():
            rows = rows.head(70)
        last = json.loads(cursor)["last"] if cursor.startswith("{") else ""
        left = rows.filter((pl.col("id") > last) & (pl.col("at") <= until))
        for start in range(0, left.height, self._rows):
            page = left.slice(start, self._rows)
            text = json.dumps({"last": page["id"][-1], "pad": "x" * self._pad})
            yield Page(rows=page, cursor=text, share=min(1.0, (start + self._rows) / left.height))
        if (self._folder / "broken").exists():
            raise TemporaryError(f"{self._folder}/trips is not to be had", delay=1)


class TestCounted(SourceSuite):
    """The suite holds for a source as small as can be."""

    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(folder / f"{part}.parquet")

    def open(self, folder: Path, page_rows: int) -> Source:
        return Counted(folder, page_rows)

    def break_off(self, folder: Path) -> bool:
        (folder / "broken").touch()
        return True


@pytest.mark.parametrize("pad", [0, 5000])
def test_a_source_that_dies_in_the_middle_is_read_on_from_there(tmp_path: Path, pad: int) -> None:
    TestCounted().put(tmp_path / "world", "a", trips(0, 100))
    store = DatasetStore(tmp_path / "store", SPEC)
    (tmp_path / "world" / "broken").touch()
    with pytest.raises(TemporaryError):
        store.collect(Counted(tmp_path / "world", 20, pad), until=END, now=END)
    assert store.version().rows == 70
    (tmp_path / "world" / "broken").unlink()
    source = Counted(tmp_path / "world", 20, pad)
    told: list[Taken] = []
    DatasetStore(tmp_path / "store", SPEC).collect(source, until=END, now=END, told=told.append)
    assert json.loads(source.begun[0])["last"] == "trip-00069"
    assert [(taken.pages, taken.rows, taken.added) for taken in told] == [(1, 20, 20), (2, 30, 30)]
    assert told[-1].share == 1.0
    assert store.version().rows == 100


def test_a_reading_without_news_still_moves_on(tmp_path: Path) -> None:
    TestCounted().put(tmp_path / "world", "a", trips(0, 100))
    store = DatasetStore(tmp_path / "store", SPEC)
    store.collect(trips(0, 100), until=moment(200), now=moment(200))
    versions = len(store.versions())
    source = Counted(tmp_path / "world", 20, 3000)
    assert store.collect(source, until=END, now=END) is None
    assert len(store.versions()) == versions
    assert store.collect(source, until=moment(10_000), now=moment(10_000)) is None
    assert source.begun[0] == ""
    assert json.loads(source.begun[1])["last"] == "trip-00099"
    assert len(list((tmp_path / "store" / "trips" / "cursors").iterdir())) <= 4


def test_asked_at_the_same_moment_nothing_is_read(tmp_path: Path) -> None:
    TestCounted().put(tmp_path / "world", "a", trips(0, 30))
    store = DatasetStore(tmp_path / "store", SPEC)
    source = Counted(tmp_path / "world", 20)
    store.collect(source, until=END, now=END)
    store.collect(source, until=END, now=END)
    assert len(source.begun) == 1


def test_a_cursor_means_nothing_to_another_source(tmp_path: Path) -> None:
    one, other = Positions(tmp_path, "sql:a"), Positions(tmp_path, "sql:b")
    for cursor in ("short", "long" * 1000):
        one.move(Position(cursor=cursor, until=moment(1), version=""))
        assert one.of(None).cursor == cursor
        assert other.of(None) == Position()
    for path in (tmp_path / "cursors").iterdir():
        path.write_text("flipped")
    assert one.of(None) == Position()
