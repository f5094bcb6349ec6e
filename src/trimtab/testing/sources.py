"""The shared suite of `Source` and `PagedSource`: what everything that rows come from must hold.

A test module derives from it and says how rows get to where the source finds them, and how the source is opened:

    class TestMySource(SourceSuite):
        def put(self, folder, part, rows): my_server(folder).insert(rows)
        def open(self, folder, page_rows): return MySource(self.spec("my:trips"), page_rows=page_rows)

`folder` is each test's own. A source that is opened twice on one folder sees the same world, as the next process would.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from trimtab.data.port import UNREAD, PagedSource, Source, in_one_frame
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import Taken
from trimtab.data.store.versions import DatasetStore
from trimtab.data.values.times import UTC_TIME
from trimtab.errors import TrimtabError

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=400)
_MANY = 500
_PAGE = 60


def moment(hours: float) -> datetime:
    """So many hours after the beginning of the suite's world."""
    return START + timedelta(hours=hours)


def trips(first: int, last: int) -> pl.DataFrame:
    """One row an hour, from `first` to before `last`: a key, an instant, and a column of each common type."""
    numbers = range(first, last)
    return pl.DataFrame(
        {
            "id": [f"trip-{n:05}" for n in numbers],
            "at": pl.Series([moment(n) for n in numbers], dtype=UTC_TIME),
            "minutes": pl.Series([n % 50 for n in numbers], dtype=pl.Int64),
            "fare": pl.Series([n * 1.25 + 0.5 for n in numbers], dtype=pl.Float64),
            "town": pl.Series(["Ulm, an der Donau" if n % 3 else None for n in numbers], dtype=pl.String),
            "wet": pl.Series([bool(n % 2) for n in numbers], dtype=pl.Boolean),
        }
    )


class _StoppedError(Exception):
    """Stands for a kill: nothing after it runs."""


class SourceSuite(ABC):
    """Run by pytest. What a source cannot show is said by the attributes below."""

    NAMES = "trips"
    """A text that every error of the source names: the file, the table, the address, the dataset."""

    @abstractmethod
    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        """Let the source find these rows too. `part` names them, each time anew: it may name a file."""

    @abstractmethod
    def open(self, folder: Path, page_rows: int) -> Source:
        """The source, as a new process would open it, before or after rows were put there. A source of pages gives
        about `page_rows` rows a page."""

    def spoil(self, folder: Path) -> bool:
        """Let the source find one more row, of key `spoilt` and time `moment(1)`, whose `minutes` are the text
        `twelve`. False where everything in it has a type, so that this cannot be."""
        del folder
        return False

    def break_off(self, folder: Path) -> bool:
        """Make the source fail from now on, as far as it reads what was put last. False where it cannot fail."""
        del folder
        return False

    def spec(self, source: str, **fields: Any) -> DatasetSpec:
        """The declaration of the suite's dataset."""
        declared = {"name": "trips", "source": source, "key": ("id",), "time": "at"} | fields
        return DatasetSpec(**declared)

    def test_every_row_comes_once_and_as_it_is(self, tmp_path: Path) -> None:
        """Every cell, every null, UTC instants; asked again, the same."""
        world = trips(0, _MANY)
        self.put(tmp_path, "a", world)
        source = self.open(tmp_path, _PAGE)
        source.expect(world.schema)
        for _ in range(2):
            found = source.fetch(None, END)
            assert found.schema["at"] == UTC_TIME
            _same(found, world)

    def test_a_span_leaves_its_beginning_out_and_takes_its_end(self, tmp_path: Path) -> None:
        """since < time <= until; a fetch may give more before it, and nothing later."""
        self.put(tmp_path, "a", trips(0, 100))
        source = self.open(tmp_path, _PAGE)
        found = source.fetch(moment(10), moment(20))
        assert set(trips(11, 21)["id"]) <= set(found["id"])
        assert found.filter(pl.col("at") > moment(20)).is_empty()

    def test_an_empty_span_is_an_empty_frame(self, tmp_path: Path) -> None:
        """And no error."""
        self.put(tmp_path, "a", trips(0, 10))
        assert self.open(tmp_path, _PAGE).fetch(None, moment(-5)).is_empty()

    def test_pages_are_small_and_give_every_row_once(self, tmp_path: Path) -> None:
        """However many rows there are, a page is about as large as was asked for."""
        self.put(tmp_path, "a", trips(0, _MANY))
        source = self.open(tmp_path, _PAGE)
        if not isinstance(source, PagedSource):
            return
        pages = [page.rows for page in source.pages("", None, END)]
        assert max(page.height for page in pages) <= 3 * _PAGE
        found = pl.concat([page for page in pages if page.height], how="diagonal_relaxed")
        _same(found, trips(0, _MANY))
        _same(in_one_frame(source, None, END), trips(0, _MANY))
        shares = [page.share for page in source.pages("", None, END) if page.share is not None]
        assert shares == sorted(shares)
        assert all(0 <= share <= 1 for share in shares)

    def test_reading_goes_on_from_any_cursor(self, tmp_path: Path) -> None:
        """By another process: what was given before it and what it gives are everything."""
        self.put(tmp_path, "a", trips(0, _MANY // 2))
        self.put(tmp_path, "b", trips(_MANY // 2, _MANY))
        source = self.open(tmp_path, _PAGE)
        if not isinstance(source, PagedSource):
            return
        pages = list(source.pages("", None, END))
        given: set[str] = set()
        for page in pages:
            given |= set(page.rows["id"]) if page.rows.height else set()
            again = self.open(tmp_path, _PAGE)
            assert isinstance(again, PagedSource)
            rest = in_one_frame_from(again, page.cursor)
            assert given | rest == set(trips(0, _MANY)["id"])
        assert len(pages) > 3

    def test_a_cursor_it_does_not_know_is_the_beginning(self, tmp_path: Path) -> None:
        """Another version of it may have written that."""
        self.put(tmp_path, "a", trips(0, 100))
        source = self.open(tmp_path, _PAGE)
        if isinstance(source, PagedSource):
            assert in_one_frame_from(source, "what is this?") == set(trips(0, 100)["id"])

    def test_stopped_after_each_page_and_collected_again(self, tmp_path: Path) -> None:
        """The same versions as in one go, and no row twice; nor is much read that was committed."""
        self.put(tmp_path / "world", "a", trips(0, _MANY))
        first = self.open(tmp_path / "world", _PAGE)
        if not isinstance(first, PagedSource):
            return
        whole = self._store(tmp_path / "whole")
        whole.collect(first, until=END, now=END)
        read = 0

        def stop(taken: Taken) -> None:
            nonlocal read
            read += taken.rows
            raise _StoppedError

        for _ in range(100):
            store = self._store(tmp_path / "stopped")
            try:
                store.collect(self.open(tmp_path / "world", _PAGE), until=END, now=END, told=stop)
                break
            except _StoppedError:
                continue
        found = self._store(tmp_path / "stopped")
        assert found.version().id == whole.version().id
        assert found.version().rows == _MANY
        assert found.quarantined().total == 0
        assert read <= 2 * _MANY
        assert found.verify().sound

    def test_rows_put_there_later_are_collected(self, tmp_path: Path) -> None:
        """Once each, over several collections, with rows that are not out yet left for the one that asks for them."""
        world, store = tmp_path / "world", self._store(tmp_path / "store")
        self.put(world, "a", trips(0, 60))
        store.collect(self.open(world, _PAGE), until=moment(40), now=moment(40))
        assert set(store.read()["id"]) == set(trips(0, 41)["id"])
        self.put(world, "b", trips(60, 130))
        store.collect(self.open(world, _PAGE), until=moment(100), now=moment(100))
        assert set(store.read()["id"]) == set(trips(0, 101)["id"])
        store.collect(self.open(world, _PAGE), until=moment(101), now=moment(101))
        store.collect(self.open(world, _PAGE), until=END, now=END)
        _same(store.read(), trips(0, 130))
        assert store.quarantined().total == 0
        assert store.collect(self.open(world, _PAGE), until=END + timedelta(days=1), now=END) is None

    def test_a_cell_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        """With its text, so that the row can be refused by name; the rows beside it are taken."""
        self.put(tmp_path / "world", "a", trips(0, 50))
        store = self._store(tmp_path / "store")
        store.collect(self.open(tmp_path / "world", _PAGE), until=moment(0), now=END)
        if not self.spoil(tmp_path / "world"):
            return
        source = self.open(tmp_path / "world", _PAGE)
        source.expect(trips(0, 1).schema)
        found = source.fetch(None, END).filter(pl.col("id") == "spoilt")
        assert found["minutes"].to_list() == [None]
        assert "twelve" in found[UNREAD].item()
        store.collect(self.open(tmp_path / "world", _PAGE), until=END, now=END)
        assert set(store.read()["id"]) == set(trips(0, 50)["id"])
        assert store.quarantined().rows["key"].to_list() == ["spoilt"]
        assert "twelve" in store.quarantined().rows["row"].item()

    def test_a_failure_is_named_and_costs_nothing_that_was_collected(self, tmp_path: Path) -> None:
        """It is one of our own errors, in one line."""
        world, store = tmp_path / "world", self._store(tmp_path / "store")
        self.put(world, "a", trips(0, 50))
        store.collect(self.open(world, _PAGE), until=END, now=END)
        self.put(world, "b", trips(50, 90))
        if not self.break_off(world):
            return
        try:
            store.collect(self.open(world, _PAGE), until=END + timedelta(days=1), now=END)
        except TrimtabError as error:
            assert self.NAMES in error.message
            assert "\n" not in error.message
        else:
            raise AssertionError("it failed without a word")
        assert set(trips(0, 50)["id"]) <= set(store.read()["id"])
        assert store.verify().sound

    def _store(self, folder: Path) -> DatasetStore:
        return DatasetStore(folder, self.spec("the suite's"))


def in_one_frame_from(source: PagedSource, cursor: str) -> set[str]:
    """The keys that a source gives from a cursor on."""
    pages = [page.rows for page in source.pages(cursor, None, END)]
    return {key for page in pages if page.height for key in page["id"].to_list()}


def _same(found: pl.DataFrame, wanted: pl.DataFrame) -> None:
    """The same rows, in any order, with the same cells; one that is null in all of `found` may lack a type."""
    assert set(wanted.columns) <= set(found.columns), found.columns
    assert found.height == wanted.height, (found.height, wanted.height)
    left = found.select(wanted.columns).cast(wanted.schema).sort("id")
    assert left.equals(wanted.sort("id"), null_equal=True)
