"""Pages of rows over HTTP, asked of a real server: the shared suite for each kind of pages, and what only they can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.adapters.http.server import World, serving

from trimtab.adapters.http.data import HttpPages, spread
from trimtab.data.port import DataError
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.testing.sources import END, SourceSuite, moment, trips


def as_json(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as an interface gives them."""

    def cell(value: Any) -> Any:
        return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value

    return [{name: cell(value) for name, value in row.items()} for row in rows.to_dicts()]


class Served:
    """A server for each test, and a source that asks it."""

    PATH = ""
    OPTIONS: dict[str, Any] = {}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        self.world = World()
        with serving(self.world) as self.address:
            yield

    def source(self, **more: Any) -> HttpPages:
        options = {"tries": 3, **self.OPTIONS, **more}
        spec = DatasetSpec(name="trips", source=self.address + self.PATH, key=("id",), time="at", options=options)
        return HttpPages(spec, environment={"A_TOKEN": "s3cr3t", "A_KEY": "k3y"}, waiting=Waiting(sleep=lambda _: None))


class Pages(Served, SourceSuite):
    NAMES = "trips"

    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        self.world.rows += as_json(rows)

    def open(self, folder: Path, page_rows: int) -> HttpPages:
        self.world.size = page_rows
        return self.source()

    def spoil(self, folder: Path) -> bool:
        self.world.rows.append(as_json(trips(1, 2))[0] | {"id": "spoilt", "minutes": "twelve"})
        return True

    def break_off(self, folder: Path) -> bool:
        self.world.faults = iter(lambda: _gone, None)
        return True


def _gone(handler: Any) -> bool:
    handler.give(b"{}", 404)
    return True


@pytest.mark.slow
class TestCursor(Pages):
    PATH = "/cursor"
    OPTIONS = {"items": "data.items", "pages": "cursor", "next": "meta.next", "parameter": "after"}  # noqa: RUF012


class TestCursorOfASpan(Pages):
    PATH = "/cursor"
    OPTIONS = {  # noqa: RUF012
        **TestCursor.OPTIONS, "since_parameter": "since", "until_parameter": "until", "size_parameter": "limit",
        "page_size": 60,
    }  # fmt: skip

    def test_only_what_is_new_is_asked_for(self, tmp_path: Path) -> None:
        store = DatasetStore(tmp_path, self.spec("x"))
        self.put(tmp_path, "", trips(0, 200))
        store.collect(self.source(), until=moment(150), now=END)
        self.world.asked.clear()
        store.collect(self.source(), until=moment(180), now=END)
        assert [query for _, query, _ in self.world.asked] == [
            {"since": "2026-01-07T06:00:00Z", "until": "2026-01-08T12:00:00Z", "limit": "60"}
        ]
        assert store.version().rows == 181


class TestCursorThatAppends(Pages):
    PATH = "/cursor"
    OPTIONS = {**TestCursor.OPTIONS, "appends": True}  # noqa: RUF012

    def test_the_next_reading_goes_on_at_the_last_page(self, tmp_path: Path) -> None:
        store = DatasetStore(tmp_path, self.spec("x"))
        self.put(tmp_path, "", trips(0, 200))
        store.collect(self.source(), until=moment(500), now=END)
        self.put(tmp_path, "", trips(200, 300))
        self.world.asked.clear()
        store.collect(self.source(), until=moment(600), now=END)
        assert [query.get("after") for _, query, _ in self.world.asked] == ["c180", "c240"]
        assert store.version().rows == 300

    def test_it_rests_before_rows_that_are_not_out_yet(self, tmp_path: Path) -> None:
        store = DatasetStore(tmp_path, self.spec("x"))
        self.put(tmp_path, "", trips(0, 200))
        store.collect(self.source(), until=moment(70), now=END)
        self.world.asked.clear()
        store.collect(self.source(), until=moment(100), now=END)
        assert self.world.asked[0][1] == {"after": "c60"}
        assert store.version().rows == 101


class TestLink(Pages):
    PATH = "/link"
    OPTIONS = {"pages": "link"}  # noqa: RUF012


class TestOffset(Pages):
    PATH = "/offset"
    OPTIONS = {"items": "rows", "pages": "offset"}  # noqa: RUF012


@pytest.mark.slow
class TestNumber(Pages):
    PATH = "/number"
    OPTIONS = {"items": "rows", "pages": "number", "parameter": "p", "appends": True}  # noqa: RUF012


class TestMistakes(Served):
    """What an interface may do that makes its answers no rows."""

    PATH = "/cursor"
    OPTIONS = TestCursor.OPTIONS

    def said(self, body: object, **options: Any) -> str:
        def answer(handler: Any) -> bool:
            handler.give(body)
            return True

        self.world.faults = iter(lambda: answer, None)
        with pytest.raises(DataError) as caught:
            self.source(**options).fetch(None, END)
        assert caught.value.message.startswith("dataset 'trips': ")
        return caught.value.message

    def test_an_answer_without_rows_is_named(self) -> None:
        assert "has no list at 'data.items'; it has count, rows" in self.said({"rows": [], "count": 0})
        assert "has no list" in self.said("nothing")
        assert "a row of" in self.said({"data": {"items": [1]}})

    def test_a_cursor_that_comes_back_is_no_endless_loop(self) -> None:
        found = self.said({"data": {"items": as_json(trips(0, 2))}, "meta": {"next": "same"}})
        assert "gives the same page again after 2 pages" in found

    def test_an_empty_list_may_be_null(self) -> None:
        def answer(handler: Any) -> bool:
            handler.give({"data": {"items": None}, "meta": {"next": None}})
            return True

        self.world.faults = iter([answer])
        assert self.source().fetch(None, END).is_empty()

    def test_a_page_for_people_is_named(self) -> None:
        def answer(handler: Any) -> bool:
            handler.give(b"<html>log in</html>", headers=[("Content-Type", "text/html; charset=utf-8")])
            return True

        self.world.faults = iter([answer])
        with pytest.raises(DataError, match="a page for people, not with JSON"):
            self.source().fetch(None, END)


class TestUnix(Served):
    """Instants as seconds."""

    PATH = "/whole"

    def test_instants_may_be_numbers(self) -> None:
        self.world.rows = [{"id": "a", "at": moment(3).timestamp()}, {"id": "b", "at": None}]
        found = self.source(moments="unix").fetch(None, END)
        assert found["at"].to_list() == [moment(3), None]


def test_inner_tables_are_spread() -> None:
    row = {"id": 1, "user": {"id": 2, "name": {"first": "Ann"}}, "empty": {}, "tags": [1], "user_id": 9}
    assert spread(row) == {"id": 1, "user_id": 9, "user_name_first": "Ann", "empty": {}, "tags": [1]}
