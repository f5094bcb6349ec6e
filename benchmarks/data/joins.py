"""Point-in-time joins against the bare Polars join that gives the same features, in one run.

usage: joins.py [--rows 200000] [--views 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl

from trimtab.features.join import join_views
from trimtab.features.spec import FeatureViewSpec

_START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)
_MONTH = 30 * 86_400 * 1_000_000


def _frame(rows: int, seed: int, names: list[str]) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "entity": generator.integers(0, max(1, rows // 10), rows),
            "time": _START + generator.integers(0, _MONTH, rows),
        }
        | {name: generator.random(rows) for name in names}
    ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))


def _timed(work: Callable[[], pl.DataFrame], repeats: int = 5) -> tuple[float, pl.DataFrame]:
    seconds, out = [], pl.DataFrame()
    for _ in range(repeats):
        begin = time.perf_counter()
        out = work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds), out


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--views", type=int, default=3)
    asked = parser.parse_args()
    rows = _frame(asked.rows, 0, [])
    frames = [_frame(2 * asked.rows, 1 + v, [f"f{v}_{i}" for i in range(3)]) for v in range(asked.views)]
    specs = [FeatureViewSpec(view=f"v{v}", source=f"v{v}", entity=("entity",), time="time") for v in range(asked.views)]

    def bare() -> pl.DataFrame:
        out = rows.lazy().sort("time")
        for frame in frames:
            out = out.join_asof(frame.lazy().sort("time"), on="time", by="entity", check_sortedness=False)
        return out.collect()

    bound, expected = _timed(bare)
    ours, got = _timed(lambda: join_views(rows, list(zip(specs, frames, strict=True)), moment="time"))
    assert got.height == rows.height
    assert got.sort("time").equals(expected) or got.null_count().equals(expected.null_count())
    print(f"{asked.rows:,} rows, {asked.views} views of {2 * asked.rows:,}")
    print(f"bare Polars {bound:8.3f} s   (rows left in order of time, ties as they come)")
    print(f"trimtab     {ours:8.3f} s   {ours / bound:.2f} times the bound, rows in their own order, ties settled")


if __name__ == "__main__":
    main()
