"""What a day costs: one collection a day for a year, on a large dataset and on a small one, then reading it all.

usage: collecting.py [--days 365] [--rows 900] [--first 0]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.data.store.versions import DatasetStore
from trimtab.data.values.digest import row_digests

START = datetime(2025, 1, 1, tzinfo=UTC)


def rows_of(first: int, count: int, a_day: int) -> pl.DataFrame:
    """Rows of 20 columns, `a_day` of them a day."""
    dice = np.random.default_rng(first)
    numbers = np.arange(first, first + count)
    step = 86_400_000_000 // a_day
    return pl.DataFrame(
        {
            "id": [f"row-{n:09d}" for n in numbers],
            "at": int(START.timestamp() * 1e6) + (numbers + 1) * step - step // 2,
            "carrier": np.array(["AA", "B6", "DL", "UA", "WN"])[dice.integers(0, 5, count)],
            "origin": np.array(["EWR", "JFK", "LGA"])[dice.integers(0, 3, count)],
            "dest": [f"D{n}" for n in dice.integers(0, 100, count)],
            "late": dice.random(count) < 0.2,
        }
        | {f"n{i}": dice.integers(0, 2000, count) for i in range(10)}
        | {f"x{i}": dice.normal(size=count) for i in range(4)}
    ).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def year(root: Path, name: str, a_day: int, days: int, first: int) -> None:
    """Collect and print."""
    spec = DatasetSpec(name=name, source="x", key=("id",), time="at", valid=(ColumnRule(column="n0", low=0),))
    store = DatasetStore(root, spec)
    if first:
        until = START + timedelta(days=first)
        spent, _ = _seconds(lambda: store.collect(rows_of(0, first * a_day, a_day), until=until, now=until))
        print(f"{name}: first {first * a_day:,} rows in {spent:.2f} s")
    spent_by_day = []
    for day in range(first, first + days):
        batch = rows_of(day * a_day, a_day, a_day)
        until = START + timedelta(days=day + 1)
        spent, commit = _seconds(lambda b=batch, u=until: store.collect(b, until=u, now=u))
        assert commit is not None
        spent_by_day.append(spent * 1e3)
    ordered = sorted(spent_by_day)
    print(
        f"{name}: {days} days of {a_day} rows: median {statistics.median(ordered):.1f} ms, "
        f"95% {ordered[int(len(ordered) * 0.95)]:.1f} ms, worst {ordered[-1]:.1f} ms (joins parts)"
    )
    spent, rows = _seconds(store.read)
    size = sum(path.stat().st_size for path in root.joinpath(name).rglob("*") if path.is_file())
    print(f"{name}: read all {rows.height:,} rows in {spent:.3f} s; {size / 2**20:.1f} MiB with every version")
    print(f"{name}: verify {_seconds(store.verify)[0]:.2f} s, list {days} versions {_seconds(store.versions)[0]:.3f} s")
    cold = DatasetStore(root, spec)
    until = START + timedelta(days=first + days + 1)
    batch = rows_of((first + days) * a_day, a_day, a_day)
    print(
        f"{name}: a fresh process's first day {_seconds(lambda: cold.collect(batch, until=until, now=until))[0]:.3f} s"
    )


def main() -> None:
    """A large and a small dataset, and digests alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--rows", type=int, default=900)
    parser.add_argument("--first", type=int, default=330)
    asked = parser.parse_args()
    many = rows_of(0, 200_000, asked.rows)
    print(f"digests: {200_000 / _seconds(lambda: row_digests(many))[0]:,.0f} rows/s of 20 columns")
    with tempfile.TemporaryDirectory() as folder:
        year(Path(folder), "large", asked.rows, asked.days, asked.first)
        year(Path(folder), "small", 72, asked.days, 0)


if __name__ == "__main__":
    main()
