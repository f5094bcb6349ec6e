"""Rows of a real PostgreSQL: the shared suite by time and by a cursor, its types, its zones, and what it does wrong."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.adapters.postgresql.server import PASSWORD, Postgres

from trimtab.adapters.sql.data import SqlRows
from trimtab.data.port import DataError
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.times import UTC_TIME
from trimtab.errors import TemporaryError
from trimtab.testing.sources import END, SourceSuite, moment, trips

pytestmark = pytest.mark.component


def run(server: Postgres, *statements: str, rows: pl.DataFrame | None = None, table: str = "") -> None:
    """Carry out statements as the owner, and put rows into a table."""
    address = sa.make_url(server.address).set(drivername="postgresql+pg8000", password=PASSWORD)
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        if rows is not None:
            names = ", ".join(rows.columns)
            places = ", ".join(f":{name}" for name in rows.columns)
            connection.execute(sa.text(f"insert into {table} ({names}) values ({places})"), rows.to_dicts())


def source(server: Postgres, table: str, *, waiting: Waiting | None = None, **more: Any) -> SqlRows:
    options = {"table": table, "password_env": "PASSWORD", "tries": 2, **more}
    if "query" in options:
        del options["table"]
    zone = options.pop("timezone", None)
    spec = DatasetSpec(
        name="trips", source=f"sql+{server.address}", key=("id",), time="at", options=options, timezone=zone
    )
    return SqlRows(spec, Path(), environment={"PASSWORD": PASSWORD}, waiting=waiting or Waiting(sleep=lambda _: None))


class TestByTime(SourceSuite):
    OPTIONS: dict[str, Any] = {}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def _table(self, postgresql: Postgres) -> None:
        self.server = postgresql
        columns = "id text, at timestamptz, minutes integer, fare double precision, town text, wet boolean"
        made = f"create table public.trips (number bigserial, {columns})"
        run(postgresql, "drop table if exists public.trips", made, "create index on public.trips (at, id)")

    def put(self, folder: Path, part: str, rows: pl.DataFrame) -> None:
        run(self.server, rows=rows, table="public.trips")

    def open(self, folder: Path, page_rows: int) -> SqlRows:
        return source(self.server, "public.trips", page_rows=page_rows, **self.OPTIONS)

    def break_off(self, folder: Path) -> bool:
        run(self.server, "drop table public.trips")
        return True


class TestByCursor(TestByTime):
    OPTIONS = {"cursor": "number"}  # noqa: RUF012


def test_every_common_type_has_its_column(postgresql: Postgres) -> None:
    run(
        postgresql,
        "drop table if exists kinds",
        """create table kinds (id uuid, at timestamptz, price numeric(10, 2), day date, hour time, whole bigint,
           small smallint, ratio real, raw bytea, said jsonb, many integer[], long interval, local timestamp,
           c char(3))""",
        """insert into kinds values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2026-03-29 01:30:00+02', 12.50,
           '2026-03-29', '10:11:12.5', 9007199254740993, 7, 0.5, '\\x00ff', '{"b": [1, null], "a": "x"}', '{1,2}',
           '1 day 02:00:00', '2026-03-29 12:00:00', 'abc')""",
        "insert into kinds (id, at) values ('b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2026-03-30 00:00:00Z')",
    )
    found = source(postgresql, "kinds", timezone="Europe/Berlin").fetch(None, END).sort("at")
    assert found.schema["at"] == found.schema["local"] == UTC_TIME
    row = found.row(0, named=True)
    assert row["id"] == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert row["at"] == datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    assert row["local"] == datetime(2026, 3, 29, 10, tzinfo=UTC)  # summer time has begun
    assert (row["price"], row["whole"], row["small"], row["ratio"]) == (12.5, 9007199254740993, 7, 0.5)
    assert (str(row["day"]), str(row["hour"]), row["raw"], row["c"]) == (
        "2026-03-29",
        "10:11:12.500000",
        b"\x00\xff",
        "abc",
    )
    assert (row["said"], row["many"]) == ('{"a":"x","b":[1,null]}', "[1,2]")
    assert row["long"].total_seconds() == 26 * 3600
    assert all(cell is None for name, cell in found.row(1, named=True).items() if name not in ("id", "at"))


def test_nothing_is_written(postgresql: Postgres) -> None:
    """By a query that would, even as the owner."""
    run(postgresql, "drop table if exists kept", "create table kept (id text, at timestamptz)")
    run(postgresql, "create or replace function spoil() returns text language sql as "
                    "$$ insert into kept values ('x', now()) returning id $$")  # fmt: skip
    with pytest.raises(DataError, match="read-only transaction"):
        source(postgresql, "", query="select spoil() as id, now() as at").fetch(None, END)


def test_a_wrong_password_is_named_and_not_told(postgresql: Postgres) -> None:
    asked = source(postgresql, "trips")
    asked._environment = {"PASSWORD": "another-secret"}
    with pytest.raises(DataError) as caught:
        asked.fetch(None, END)
    told = "".join(traceback.format_exception(caught.value))
    assert "password authentication failed" in caught.value.message
    assert "another-secret" not in told


def test_a_server_that_goes_away_is_waited_for(postgresql: Postgres) -> None:
    """It comes back, and reading goes on behind the last page."""
    run(
        postgresql,
        "drop table if exists public.trips",
        "create table public.trips (id text, at timestamptz, minutes integer, fare float, town text, wet boolean)",
        rows=trips(0, 500),
        table="public.trips",
    )
    slept = list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        postgresql.start()

    pages = source(postgresql, "public.trips", page_rows=100, waiting=Waiting(sleep=sleep)).pages("", None, END)
    found = [next(pages).rows]
    postgresql.stop()
    found += [page.rows for page in pages]
    assert sorted(key for rows in found if rows.height for key in rows["id"]) == trips(0, 500)["id"].to_list()
    assert len(slept) == 1


def test_nobody_there(postgresql: Postgres) -> None:
    postgresql.stop()
    try:
        with pytest.raises(TemporaryError, match="dataset 'trips'") as caught:
            source(postgresql, "public.trips").fetch(None, END)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    finally:
        postgresql.start()


def test_a_statement_that_takes_too_long_is_ended(postgresql: Postgres) -> None:
    with pytest.raises(TemporaryError, match="statement timeout"):
        source(postgresql, "", query="select 'a' as id, now() as at, pg_sleep(5)::text", timeout=0.2).fetch(None, END)


def test_much_is_streamed_in_little_memory(postgresql: Postgres) -> None:
    """The server keeps the rows; here lies a page at a time."""
    query = ("select n::text as id, timestamptz '2026-01-01' + n * interval '1 second' as at, "
             "repeat(md5(n::text), 8) as text from generate_series(1, 100000) as n")  # fmt: skip
    sizes = [p.rows.height for p in source(postgresql, "", query=query, page_rows=5000).pages("", None, END)]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 5001
    assert moment(0) < END
