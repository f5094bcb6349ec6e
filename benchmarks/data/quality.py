"""Quality requirements against the same checks written by hand in Polars, in one run and over one file.

usage: quality.py [--rows 500000]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trimtab.data.quality.measure import measure
from trimtab.data.spec import ColumnRule, DatasetSpec
from trimtab.records.requirement import Requirement

COUNTRIES = [f"C{i:02d}" for i in range(20)]
STATES = ["new", "paid", "sent", "done"]
EMAIL, SKU = r"[^@\s]+@[^@\s]+\.[a-z]+", r"SKU-[0-9]{6}"
START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
FULL = ["id", "qty", "price", "total", "email", "sku", "created", "updated", "f0", "f1", "f2", "f3"]
SPEC = DatasetSpec(
    name="orders",
    source="orders.parquet",
    key=("id",),
    time="created",
    valid=(
        ColumnRule(column="amount", low=0, high=10_000),
        ColumnRule(column="qty", low=1, high=100),
        ColumnRule(column="email", pattern=EMAIL),
        ColumnRule(column="sku", pattern=SKU),
        ColumnRule(column="country", allowed=tuple(COUNTRIES)),
        ColumnRule(column="status", allowed=tuple(STATES)),
    ),
    consistent=("updated >= created", "total >= price"),
)
REQUIREMENTS = [
    Requirement(metric="data.completeness", comparison=">=", limit=1.0, columns=tuple(FULL)),
    Requirement(metric="data.completeness", comparison=">=", limit=0.98, columns=("amount",)),
    Requirement(metric="data.validity", comparison=">=", limit=0.999),
    Requirement(metric="data.uniqueness", comparison=">=", limit=1.0),
    Requirement(metric="data.consistency", comparison=">=", limit=0.999),
    Requirement(metric="data.freshness", comparison="<=", limit=3 * 86_400.0),
    Requirement(metric="data.rows", comparison=">=", limit=1.0),
]


def make(path: Path, rows: int) -> None:
    """Orders with a few planted faults."""
    dice = np.random.default_rng(3)
    numbers = np.arange(rows)
    created = int(START.timestamp() * 1e6) + dice.integers(0, 20 * 86_400_000_000, rows)
    qty = dice.integers(1, 101, rows)
    price = np.round(dice.uniform(1, 100, rows), 2)
    frame = pl.DataFrame(
        {
            "id": np.where(numbers % 100_003 == 7, 1, numbers),
            "amount": dice.gamma(2, 50, rows),
            "qty": qty,
            "price": price,
            "total": qty * price,
            "created": created,
            "updated": created + dice.integers(0, 86_400_000_000, rows),
            "country": np.array(COUNTRIES)[dice.integers(0, 20, rows)],
            "status": np.array(STATES)[dice.integers(0, 4, rows)],
            "flag": dice.random(rows) < 0.5,
            "email": [f"user{n}@example{n % 97}.com" for n in numbers],
            "sku": [f"SKU-{n % 900_000 + 100_000}" for n in numbers],
        }
        | {f"f{i}": dice.normal(size=rows) for i in range(8)}
    )
    instants = pl.Datetime("us", "UTC")
    frame = frame.with_columns(
        pl.col("created", "updated").cast(instants),
        amount=pl.when(pl.col("id") % 101 == 3).then(None).otherwise("amount"),
        sku=pl.when(pl.col("id") % 5003 == 9).then(pl.lit("BAD")).otherwise("sku"),
    )
    frame.write_parquet(path, row_group_size=250_000)


def by_hand(path: Path) -> dict[str, Any]:
    """The bound: the counts that the figures need, in one streaming query."""
    c = pl.col
    query = pl.scan_parquet(path).select(
        rows=pl.len(),
        **{f"null {name}": c(name).null_count() for name in FULL},
        amount_null=c("amount").null_count(),
        keys=c("id").n_unique(),
        amount=(~c("amount").is_between(0, 10_000)).sum(),
        qty=(~c("qty").is_between(1, 100)).sum(),
        email=(~c("email").str.contains(f"^{EMAIL}$")).sum(),
        sku=(~c("sku").str.contains(f"^{SKU}$")).sum(),
        country=(~c("country").is_in(COUNTRIES)).sum(),
        status=(~c("status").is_in(STATES)).sum(),
        order=(c("updated") < c("created")).sum(),
        cross=(c("total") < c("price")).sum(),
        newest=c("created").max(),
    )
    return query.collect(engine="streaming").row(0, named=True)


def ours(path: Path) -> list[str]:
    """The same file through the declared requirements."""
    verdicts = measure(pl.scan_parquet(path), SPEC, REQUIREMENTS, now=NOW, quarantined={})
    return [f"{verdict.metric} {verdict.status} {verdict.figure:.6g}" for verdict in verdicts if verdict.figure]


def _timed(work: Callable[[Path], Any], path: Path) -> float:
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        work(path)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _peak(which: str, path: Path) -> float:
    """Peak memory in MiB of a process that measures once."""
    code = (
        f"import resource, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "import quality; from pathlib import Path; "
        f"quality.{which}(Path({str(path)!r})); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print time and memory of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.parquet"
        make(path, asked.rows)
        hand, mine = _timed(by_hand, path), _timed(ours, path)
        print(f"{asked.rows:,} rows of 20 columns, 23 checks")
        print(f"Polars by hand {hand:8.3f} s {_peak('by_hand', path):8.0f} MiB")
        print(f"trimtab        {mine:8.3f} s {_peak('ours', path):8.0f} MiB   {mine / hand:.2f} times the bound")
        print("; ".join(ours(path)))


if __name__ == "__main__":
    main()
