"""Sources: the right rows of the span, in UTC, and errors that name the file, or the line of the user's code."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.conftest import hours, trips

from trimtab.data.port import UNREAD, DataError
from trimtab.data.sources.opening import open_source
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.errors import DeclarationError, TemporaryError

NOW = hours(1000)
UTC_TIME = pl.Datetime("us", "UTC")


def spec_of(source: str, **changes: Any) -> DatasetSpec:
    return DatasetSpec(**({"name": "trips", "source": source, "key": ("id",), "time": "at"} | changes))


def ids(rows: pl.DataFrame) -> list[int]:
    return sorted(int(name.removeprefix("trip-")) for name in rows["id"])


def module(folder: Path, text: str, name: str = "sources.py") -> None:
    (folder / name).write_text(text)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_files_give_the_rows_of_the_span(tmp_path: Path, ending: str) -> None:
    for n in range(3):
        part = trips(10 * n, 10 * n + 10)
        part.write_parquet(tmp_path / f"part-{n}.parquet")
        part.write_csv(tmp_path / f"part-{n}.csv")
    source = open_source(spec_of(f"part-*.{ending}"), tmp_path)
    assert ids(source.fetch(None, hours(12))) == list(range(13))
    found = source.fetch(hours(12), hours(25))
    assert ids(found) == list(range(13, 26))
    assert found.schema["at"] == UTC_TIME
    assert found.sort("at").drop("at").equals(trips(13, 26).drop("at"))
    assert source.fetch(hours(50), hours(60)).is_empty()
    one = open_source(spec_of(str(tmp_path / f"part-1.{ending}")), Path("/"))
    assert ids(one.fetch(None, NOW)) == list(range(10, 20))


def test_naive_files_need_a_zone(tmp_path: Path) -> None:
    rows = trips(0, 48).with_columns(pl.col("at").dt.replace_time_zone(None))
    rows.write_parquet(tmp_path / "t.parquet")
    rows.write_csv(tmp_path / "t.csv", datetime_format="%Y-%m-%d %H:%M:%S")
    for ending in ("parquet", "csv"):
        with pytest.raises(DataError, match="times in column 'at' have no time zone"):
            open_source(spec_of(f"t.{ending}"), tmp_path).fetch(None, NOW)
        source = open_source(spec_of(f"t.{ending}", timezone="America/New_York"), tmp_path)
        found = source.fetch(hours(14), hours(17))
        assert sorted(found["at"]) == [hours(15), hours(16), hours(17)]
        assert ids(found) == [10, 11, 12]


def test_dates_as_times(tmp_path: Path) -> None:
    days = pl.DataFrame({"id": ["a", "b"], "at": ["2026-01-01", "2026-01-02"]})
    days.write_csv(tmp_path / "d.csv")
    days.with_columns(pl.col("at").str.to_date()).write_parquet(tmp_path / "d.parquet")
    for ending in ("csv", "parquet"):
        source = open_source(spec_of(f"d.{ending}", timezone="UTC"), tmp_path)
        assert source.fetch(hours(0), NOW)["id"].to_list() == ["b"]


def test_csv_cells_are_read_one_by_one(tmp_path: Path) -> None:
    lines = ["id,at,minutes,zip,ok,day"]
    lines += [f"k{n},2026-01-01T{n:02}:00:00Z,{n},0{n},true,2026-01-0{n + 1}" for n in range(5)]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    store = DatasetStore(tmp_path / "store", spec_of("*.csv"))
    assert store.collect(open_source(store.spec, tmp_path), until=hours(4), now=NOW) is not None
    stored = store.read()
    assert stored.schema["zip"] == pl.String, "digits with a leading zero are no number"
    assert (stored.schema["minutes"], stored.schema["ok"], stored.schema["day"]) == (pl.Int64, pl.Boolean, pl.Date)
    (tmp_path / "b.csv").write_text(
        "id,at,minutes,zip,ok,day\nk6,2026-01-01T06:00:00Z,six,77,false,\nk7,2026-01-01T07:00:00Z,7,88,,2026-01-09\n"
        "k8,noon,8,99,true,2026-01-01\n"
    )
    commit = store.collect(open_source(store.spec, tmp_path), until=hours(8), now=NOW)
    assert commit is not None
    assert commit.version.added == 1
    assert store.read()["zip"].to_list() == ["00", "01", "02", "03", "04", "88"]
    kept = store.quarantined()
    assert sum(kept.reasons.values()) == 2
    told = "".join(kept.rows["row"])
    assert "six" in told
    assert "noon" in told


def test_unreadable_cells_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at,n\na,2026-01-01T00:00:00Z,1\nb,2026-01-01T01:00:00Z,x\n")
    source = open_source(spec_of("a.csv"), tmp_path)
    source.expect({"n": pl.Int64()})
    found = source.fetch(None, NOW)
    assert found["n"].to_list() == [1, None]
    assert found[UNREAD].to_list()[0] is None
    assert '"n":"x"' in found[UNREAD].to_list()[1]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_half_written_file_is_named_and_the_others_are_collected(tmp_path: Path, ending: str) -> None:
    trips(0, 400).write_parquet(tmp_path / "a.parquet")
    trips(400, 800).write_parquet(tmp_path / "b.parquet")
    half = tmp_path / f"b.{ending}"
    if ending == "parquet":
        half.write_bytes(half.read_bytes()[:-100])
    else:
        trips(0, 4).write_csv(tmp_path / "a.csv")
        half.write_text('id,at,minutes\n"trip-1,2026')
    os.utime(half, (0, 0))  # nobody writes to it any more
    store = DatasetStore(tmp_path / "store", spec_of(f"*.{ending}"))
    with pytest.raises(DataError, match=f"b.{ending} cannot be read") as error:
        store.collect(open_source(store.spec, tmp_path), until=NOW, now=NOW)
    assert "half written" in error.value.hint
    assert store.read().height == (400 if ending == "parquet" else 4)


def test_files_that_are_not_there_or_lack_the_time(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file matches 'part-\*.csv'"):
        open_source(spec_of("part-*.csv"), tmp_path).fetch(None, NOW)
    trips(0, 2).drop("at").write_parquet(tmp_path / "t.parquet")
    trips(0, 2).drop("at").write_csv(tmp_path / "t.csv")
    for ending in ("parquet", "csv"):
        with pytest.raises(DataError, match=r"has no column 'at' \(time\)"):
            open_source(spec_of(f"t.{ending}"), tmp_path).fetch(None, NOW)
    (tmp_path / "empty.csv").write_text("")
    os.utime(tmp_path / "empty.csv", (0, 0))
    with pytest.raises(DataError, match=r"empty.csv cannot be read"):
        open_source(spec_of("empty.csv"), tmp_path).fetch(None, NOW)


@pytest.mark.parametrize("source", ["trips.xlsx", "python:sources", "python::x", "trips", "python:a:b:c"])
def test_sources_nobody_can_open(tmp_path: Path, source: str) -> None:
    with pytest.raises(DeclarationError, match="cannot read source") as error:
        open_source(spec_of(source, line=12), tmp_path)
    assert error.value.line == 12


def test_a_function_gives_rows(tmp_path: Path) -> None:
    module(
        tmp_path,
        "import polars as pl\nfrom lines import rows\n\n"
        "def trips(since, until):\n    import lines\n    return rows(since, until).lazy()\n\n"
        "def dicts(since, until):\n    return [{'id': 'a', 'at': until}]\n\n"
        "def nothing(since, until):\n    return []\n",
    )
    module(
        tmp_path,
        "import polars as pl\nfrom datetime import datetime, timedelta, timezone\n"
        "def rows(since, until):\n    return pl.DataFrame({'id': ['x'], 'at': [until - timedelta(hours=1)]})\n",
        "lines.py",
    )
    before = set(sys.modules)
    found = open_source(spec_of("python:sources:trips"), tmp_path).fetch(None, hours(5))
    assert found["at"].to_list() == [hours(4)]
    assert found.schema["at"] == UTC_TIME
    assert not {"sources", "lines"} & (set(sys.modules) - before), "the user's modules stay their own"
    assert open_source(spec_of("python:sources:dicts"), tmp_path).fetch(None, hours(5))["at"].to_list() == [hours(5)]
    assert open_source(spec_of("python:sources:nothing"), tmp_path).fetch(None, hours(5)).is_empty()


def test_two_systems_may_each_have_a_sources_module(tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        module(folder, f"NAME = '{name}'\n", "part.py")
        module(
            folder,
            "def rows(since, until):\n    import part\n    return [{'id': part.NAME, 'at': until}]\n",
        )
        sources.append(open_source(spec_of("python:sources:rows"), folder))
    found = [source.fetch(None, NOW)["id"].item() for source in (*sources, *sources)]
    assert found == ["one", "two", "one", "two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def rows(since, until):\n    return 1 / 0\n", r"sources.py:2: ZeroDivisionError: division by zero"),
        ("import sys\ndef rows(since, until):\n    sys.exit(3)\n", r"sources.py:3: SystemExit: 3"),
        ("def rows(since, until):\n    return 7\n", "gave int, which is no table"),
        ("def rows(since, until):\n    return [{'id': 1}]\n", r"gave no column 'at'"),
        ("def rows():\n    return []\n", r"TypeError: rows\(\) takes 0 positional arguments"),
        (
            "import polars\ndef rows(since, until):\n    return polars.LazyFrame({'a': [1]}).select('b')\n",
            "ColumnNotFound",
        ),
    ],
)
def test_what_user_code_does_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    module(tmp_path, text)
    with pytest.raises(DataError, match=message):
        open_source(spec_of("python:sources:rows"), tmp_path).fetch(None, NOW)


def test_user_code_that_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="there is no"):
        open_source(spec_of("python:sources:rows"), tmp_path)
    module(tmp_path, "x = 1\ndef rows(:\n")
    with pytest.raises(DataError, match=r"sources.py:2: SyntaxError"):
        open_source(spec_of("python:sources:rows"), tmp_path)
    module(tmp_path, "import nothing_like_it\n")
    with pytest.raises(DataError, match=r"sources.py:1: ModuleNotFoundError"):
        open_source(spec_of("python:sources:rows"), tmp_path)
    module(tmp_path, "def flights(since, until): ...\n")
    with pytest.raises(DeclarationError, match="no function 'rows'") as error:
        open_source(spec_of("python:sources:rows"), tmp_path)
    assert "flights" in error.value.hint


def test_our_own_errors_pass_through(tmp_path: Path) -> None:
    module(
        tmp_path,
        "from trimtab.errors import TemporaryError\n"
        "def rows(since, until):\n    raise TemporaryError('the line is down', delay=5)\n",
    )
    with pytest.raises(TemporaryError, match="the line is down"):
        open_source(spec_of("python:sources:rows"), tmp_path).fetch(None, NOW)


def test_rows_of_the_future_are_refused_by_name(tmp_path: Path) -> None:
    module(
        tmp_path,
        "from datetime import timedelta\n"
        "def rows(since, until):\n"
        "    return [{'id': 'now', 'at': until}, {'id': 'later', 'at': until + timedelta(days=1)}]\n",
    )
    store = DatasetStore(tmp_path / "store", spec_of("python:sources:rows"))
    commit = store.collect(open_source(store.spec, tmp_path), until=hours(5), now=hours(5))
    assert commit is not None
    assert commit.refused == {"future: at lies after the present": 1}
    assert store.read()["id"].to_list() == ["now"]


def test_a_whole_year_of_files_takes_its_days(tmp_path: Path) -> None:
    for day in range(20):
        trips(24 * day, 24 * day + 24).write_csv(tmp_path / f"{day:03}.csv")
    spec = spec_of("*.csv", valid=(ColumnRule(column="minutes", low=0, high=60),))
    store = DatasetStore(tmp_path / "store", spec)
    source = open_source(spec, tmp_path)
    for day in range(1, 6):
        store.collect(source, until=hours(24 * day), now=hours(24 * day))
    current = store.current()
    assert current is not None
    assert (current.rows, current.until) == (121, hours(120))
    assert store.read()["at"].max() == datetime(2026, 1, 6, tzinfo=UTC)
