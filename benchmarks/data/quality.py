"""Quality requirements against the same checks written by hand in Polars, in one run and over one file.

usage: quality.py [--rows 500000] [--peers FOLDER] [--scan ROWS]

With --peers the same checks are made by Great Expectations and pointblank too, each in an environment of its own below
the folder. With --scan the requirements are measured on so many rows in Parquet files, written for it and removed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
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
_PIECE = 5_000_000
PEERS = {
    "great_expectations": ("great-expectations==1.24.1", "pyarrow"),
    "pointblank": ("pointblank==1.1.1", "polars", "pyarrow"),
}
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


def make(path: Path, rows: int, first: int = 0) -> None:
    """Orders with a few planted faults; `first` is the number of the first one."""
    dice = np.random.default_rng(3 + first)
    numbers = np.arange(first, first + rows)
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
            "country": pl.Series(COUNTRIES).gather(dice.integers(0, 20, rows)),
            "status": pl.Series(STATES).gather(dice.integers(0, 4, rows)),
            "flag": dice.random(rows) < 0.5,
        }
        | {f"f{i}": dice.normal(size=rows) for i in range(8)}
    )
    instants, n = pl.Datetime("us", "UTC"), pl.Series(numbers)
    frame = frame.with_columns(
        pl.col("created", "updated").cast(instants),
        amount=pl.when(pl.col("id") % 101 == 3).then(None).otherwise("amount"),
        email=pl.format("user{}@example{}.com", n, n % 97),
        sku=pl.when(pl.col("id") % 5003 == 9).then(pl.lit("BAD")).otherwise(pl.format("SKU-{}", n % 900_000 + 100_000)),
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
    """Peak memory in MiB of a process that measures once (not `ru_maxrss`, which counts its parent's too)."""
    code = (
        f"import re, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "import quality; from pathlib import Path; "
        f"quality.{which}(Path({str(path)!r})); "
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def peers(folder: Path, path: Path) -> None:
    """The same checks by other tools: seconds of the checks with reading the file, the peak of the process, faults."""
    for name, packages in PEERS.items():
        python = _environment(folder / name, packages)
        script = Path(__file__).with_name("peers") / f"{name}_checks.py"
        done = subprocess.run([str(python), str(script), str(path)], check=True, capture_output=True, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:<18}{told['seconds']:8.3f} s {told['peak']:8.0f} MiB   {told['found']}")


def _environment(home: Path, packages: Sequence[str]) -> Path:
    """The Python of an environment with these packages, made when it is not there."""
    python, made = home / "bin" / "python", home / "made-of.txt"
    wanted = "\n".join(packages)
    if not made.exists() or made.read_text("utf-8") != wanted:
        print(f"installing {home.name} ...", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(command, check=True)
        made.write_text(wanted, "utf-8")
    return python


def scan(rows: int) -> None:
    """All requirements over Parquet files of 5 million rows each, in a process whose peak is told."""
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, rows, _PIECE):
            make(Path(folder) / f"orders-{first:012}.parquet", min(_PIECE, rows - first), first)
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        begin = time.perf_counter()
        peak = _peak("ours", Path(folder) / "*.parquet")
        took = time.perf_counter() - begin
        print(f"scan of {rows:,} rows, {size / 2**30:.1f} GiB of Parquet: {took:.1f} s, {peak:.0f} MiB at most")


def main() -> None:
    """Print time and memory of all, and our ratio to the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="measure other tools too, installed below this")
    parser.add_argument("--scan", type=int, default=0, metavar="ROWS", help="measure only a scan of so many rows")
    asked = parser.parse_args()
    if asked.scan:
        scan(asked.scan)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.parquet"
        make(path, asked.rows)
        hand, mine = _timed(by_hand, path), _timed(ours, path)
        print(f"{asked.rows:,} rows of 20 columns, 23 checks")
        print(f"{'Polars by hand':<18}{hand:8.3f} s {_peak('by_hand', path):8.0f} MiB")
        print(f"{'trimtab':<18}{mine:8.3f} s {_peak('ours', path):8.0f} MiB   {mine / hand:.2f} times the bound")
        if asked.peers is not None:
            peers(asked.peers, path)
        print("; ".join(ours(path)))


if __name__ == "__main__":
    main()
