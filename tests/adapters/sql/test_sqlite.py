"""Rows of a database that is a file: the shared suite by time and by a cursor, and what only a database can."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trimtab.adapters.sql.data import SqlRows
from trimtab.data.port import DataError
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import TemporaryError
from trimtab.testing.sources import END, SourceSuite, moment, trips

COLUMNS = "id text, at text, minutes integer, fare real, town text, wet boolean"


def insert(file: Path, rows: pl.DataFrame) -> None:
    """Put rows into the table `trips`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"create table if not exists trips (number integer primary key autoincrement, {COLUMNS})")
        database.execute("create table if not exists other (id text)")
        cells = [[c.isoformat() if isinstance(c, datetime) else c for c in row] for row in rows.iter_rows()]
        named = ", ".join(rows.columns)
        database.executemany(f"insert into trips ({named}) values ({', '.join('?' * len(rows.columns))})", cells)


def opened(folder: Path, spec: DatasetSpec | None = None, **options: Any) -> SqlRows:
    """The source of the table in `folder`."""
    declared = {"table": "trips", "tries": 2, **options}
    if declared.get("query"):
        del declared["table"]
    spec = spec or DatasetSpec(name="trips", source="sql+sqlite:///a.db", key=("id",), time="at", options=declared)
    return SqlRows(spec, folder, environment={}, waiting=Waiting(sleep=lambda _: None))


class TestByTime(SourceSuite):
    OPTIONS: dict[str, Any] = {}  # noqa: RUF012

    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        insert(folder / "a.db", rows)

    def open(self, folder: Path, page_rows: int) -> SqlRows:
        return opened(folder, page_rows=page_rows, **self.OPTIONS)

    def spoil(self, folder: Path) -> bool:
        with closing(sqlite3.connect(folder / "a.db")) as database, database:
            database.execute(
                "insert into trips (id, at, minutes) values ('spoilt', ?, 'twelve')", [moment(1).isoformat()]
            )
        return True

    def break_off(self, folder: Path) -> bool:
        with closing(sqlite3.connect(folder / "a.db")) as database, database:
            database.execute("drop table trips")
        return True


class TestByCursor(TestByTime):
    OPTIONS = {"cursor": "number"}  # noqa: RUF012

    def test_only_what_lies_beyond_the_cursor_is_read_again(self, tmp_path: Path) -> None:
        insert(tmp_path / "a.db", trips(0, 100))
        store = DatasetStore(tmp_path / "store", DatasetSpec(name="trips", source="x", key=("id",), time="at"))
        store.collect(opened(tmp_path, cursor="number"), until=moment(60), now=END)
        insert(tmp_path / "a.db", trips(100, 120))
        source = opened(tmp_path, cursor="number")
        taken = []
        store.collect(source, until=moment(110), now=END, told=taken.append)
        assert store.version().rows == 111
        # 50 that are new, and those of the day before the first end, which a text of a time does not tell exactly
        assert 50 <= taken[-1].rows <= 50 + 2 * 26 + 24


@pytest.mark.slow
class TestQuery(TestByTime):
    OPTIONS = {"query": "select *, minutes * 2 as twice, ':at' as colon from trips where id <> 'x:y' or 1 = 1;"}  # noqa: RUF012


def refused(folder: Path, **options: Any) -> str:
    """What an attempt to read says."""
    with pytest.raises(DataError) as caught:
        opened(folder, **options).fetch(None, END)
    assert caught.value.message.startswith("dataset 'trips': ")
    return caught.value.message


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"there is no file {tmp_path / 'a.db'}" in refused(tmp_path)
    assert not (tmp_path / "a.db").exists()
    insert(tmp_path / "a.db", trips(0, 3))
    assert "no such table: trip" in refused(tmp_path, table="trip")
    assert "table 'trips' has no column 'version' (cursor)" in refused(tmp_path, cursor="version")
    assert "table 'other' has no column 'at' (time)" in refused(tmp_path, table="other")


def test_nothing_is_written(tmp_path: Path) -> None:
    """Not even by a query that would."""
    insert(tmp_path / "a.db", trips(0, 3))
    for query in ("with gone as (select 1) delete from trips returning *", "select 1 as id) ; delete from trips; --"):
        with pytest.raises(DataError):
            opened(tmp_path, query=query).fetch(None, END)
    assert opened(tmp_path).fetch(None, END).height == 3


def test_rows_without_time_or_key_are_given_and_refused_by_name(tmp_path: Path) -> None:
    rows = trips(0, 40).with_columns(
        at=pl.when(pl.col("id") == "trip-00003").then(None).otherwise("at"),
        id=pl.when(pl.col("id") == "trip-00005").then(None).otherwise("id"),
    )
    insert(tmp_path / "a.db", rows)
    store = DatasetStore(tmp_path / "store", DatasetSpec(name="trips", source="x", key=("id",), time="at"))
    store.collect(opened(tmp_path, page_rows=10), until=END, now=END)
    assert store.version().rows == 38
    assert store.quarantined().total == 2


def test_equal_orders_are_never_torn_apart(tmp_path: Path) -> None:
    """Rows of one time and key lie on one page, so that one that goes on behind it misses none."""
    same = pl.concat([trips(1, 2)] * 25 + [trips(0, 1)] * 5 + [trips(2, 3)])
    insert(tmp_path / "a.db", same)
    pages = list(opened(tmp_path, page_rows=10).pages("", None, END))
    given = 0
    for page in pages:
        given += page.rows.height
        rest = [after.rows.height for after in opened(tmp_path, page_rows=10).pages(page.cursor, None, END)]
        assert given + sum(rest) == 31
    assert given == 31


def test_a_busy_database_is_waited_for(tmp_path: Path) -> None:
    insert(tmp_path / "a.db", trips(0, 3))
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        spec = DatasetSpec(
            name="trips", source="sql+sqlite:///a.db", key=("id",), time="at", options={"table": "trips", "tries": 2}
        )
        slept = list[float]()

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            other.execute("rollback")

        source = SqlRows(spec, tmp_path, environment={}, waiting=Waiting(sleep=sleep))
        assert source.fetch(None, END).height == 3
        assert len(slept) == 1
        other.execute("begin exclusive")
        with pytest.raises(TemporaryError, match="locked"):
            opened(tmp_path, tries=1).fetch(None, END)


def test_times_of_no_zone_need_one(tmp_path: Path) -> None:
    rows = trips(0, 30).with_columns(at=pl.col("at").dt.strftime("%Y-%m-%d %H:%M:%S"))
    insert(tmp_path / "a.db", rows)
    assert "have no time zone" in refused(tmp_path)
    options = {"table": "trips"}
    spec = DatasetSpec(
        name="trips", source="sql+sqlite:///a.db", key=("id",), time="at", options=options, timezone="Asia/Tokyo"
    )
    found = opened(tmp_path, spec).fetch(moment(0), moment(10))
    assert found.filter(pl.col("at") > moment(0))["id"].to_list() == [f"trip-{n:05}" for n in range(10, 20)]


@pytest.mark.parametrize("wrong", ["MISSING", "NOT_ONE"])
def test_an_address_may_come_from_the_environment(tmp_path: Path, wrong: str) -> None:
    insert(tmp_path / "a.db", trips(0, 3))
    environment = {"SHOP": "sqlite:///a.db", "NOT_ONE": "what: is:this"}

    def source(variable: str) -> SqlRows:
        options = {"table": "trips"}
        spec = DatasetSpec(name="trips", source=f"sql:{variable}", key=("id",), time="at", options=options)
        return SqlRows(spec, tmp_path, environment=environment)

    assert source("SHOP").fetch(None, END).height == 3
    with pytest.raises(DataError, match=r"variable MISSING|address cannot be read"):
        source(wrong).fetch(None, END)


def test_a_change_to_an_old_row_is_seen_by_its_cursor(tmp_path: Path) -> None:
    """Also one that became visible after later ones, as far as `late` looks back."""
    insert(tmp_path / "a.db", trips(0, 30))

    def change(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
            database.execute(statement)

    change("alter table trips add column changed integer default 1")
    change("update trips set town = null where id = 'trip-00003'")
    spec = DatasetSpec(
        name="trips",
        source="sql+sqlite:///a.db",
        key=("id",),
        time="at",
        options={"table": "trips", "cursor": "changed"},
    )
    store = DatasetStore(tmp_path / "store", spec)
    store.collect(opened(tmp_path, spec), until=moment(400), now=END)
    change("update trips set town = 'Bonn', changed = 2 where id = 'trip-00003'")
    taken: list[Any] = []
    store.collect(opened(tmp_path, spec), until=moment(401), now=END, told=taken.append)
    assert taken[-1].rows == 1
    found = store.read()
    assert found.filter(pl.col("town") == "Bonn")["id"].to_list() == ["trip-00003"]
    assert "changed" not in found.columns
    assert store.quarantined().total == 0


def test_a_driver_that_is_not_there_is_named(tmp_path: Path) -> None:
    def hint(source: str) -> str:
        spec = DatasetSpec(name="trips", source=source, key=("id",), time="at", options={"table": "trips"})
        with pytest.raises(DataError) as caught:
            SqlRows(spec, tmp_path, environment={}).fetch(None, END)
        assert caught.value.message.startswith("dataset 'trips': ")
        return caught.value.hint

    assert hint("sql+mysql://reader@db/shop") == "pip install pymysql"
    assert "SQLAlchemy dialect" in hint("sql+unheardof://reader@db/shop")
