"""Requirements that look into other datasets, by slice and over windows of their own: alike from the store and from a
history, as of the moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from trimtab.declaration.load import parse
from trimtab.declaration.system import System
from trimtab.loop.past.history import HistoricDatasets, load_history, load_others
from trimtab.loop.past.stored import StoredDatasets
from trimtab.records.ledger import Ledger
from trimtab.records.requirement import Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
DECLARED = """
[system]
name = "shop"
problem = "which orders come back"
task = "binary_classification"
[requirements]
"data.referential" = ">= 99%"
"data.accuracy" = { limit = ">= 90%", columns = ["price"] }
"data.timeliness" = { limit = "<= 1 h", quantile = 0.9 }
"data.rows" = [{ limit = ">= 20", by = "shop" }, { limit = ">= 200", window = "40 d" }, ">= 1"]
"data.completeness" = { limit = ">= 99%", columns = ["price"], by = "shop" }
[[data]]
name = "orders"
source = "orders.parquet"
key = "id"
time = "at"
label = "back"
recorded = "seen"
references = { shop = "shops.name" }
trusted = { price = { value = "ledger.paid", within = 0.01 } }
[[data]]
name = "shops"
source = "shops.parquet"
key = "name"
time = "opened"
[[data]]
name = "ledger"
source = "ledger.parquet"
key = "order"
time = "at"
[model]
code = "model.py"
[policy]
window = "10 d"
"""


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Forty days of orders; a shop opens on the twentieth that is in the list of shops ten days later only."""
    rows = 480
    at = [START + timedelta(hours=2 * n) for n in range(rows)]
    shops = ["north" if n % 2 else "south" if n < 240 or n % 4 else "east" for n in range(rows)]
    orders = pl.DataFrame(
        {
            "id": [f"o{n}" for n in range(rows)],
            "at": at,
            "seen": [moment + timedelta(minutes=30 if n % 20 else 300) for n, moment in enumerate(at)],
            "shop": shops,
            "price": [float(n % 50) for n in range(rows)],
            "back": [n % 5 == 0 for n in range(rows)],
        }
    )
    opened = {"north": 0, "south": 0, "east": 30}
    shop_rows = {
        "name": list(opened),
        "opened": [START - timedelta(days=1) + timedelta(days=d) for d in opened.values()],
    }
    paid = {
        "order": [f"o{n}" for n in range(0, rows, 2)],
        "at": at[::2],
        "paid": [float(n % 50) for n in range(0, rows, 2)],
    }
    for name, frame in {"orders": orders, "shops": pl.DataFrame(shop_rows), "ledger": pl.DataFrame(paid)}.items():
        frame.with_columns(pl.col(pl.Datetime).cast(pl.Datetime("us", "UTC"))).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    (tmp_path / "model.py").write_text("def train(train, valid, params): ...\n")
    return parse(DECLARED, tmp_path / "trimtab.toml")


def judged(system: System, folder: Path, day: int) -> tuple[dict[str, Verdict], dict[str, Verdict]]:
    now = START + timedelta(days=day)
    with Ledger.open(None) as ledger:
        stored = StoredDatasets(system, folder / "state", ledger)
        stored.collect(now)
        ours = stored.verdicts(now)
        assert stored.verdicts(now) == ours
    end = START + timedelta(days=60)
    theirs = HistoricDatasets(system, load_history(system, end), load_others(system, end)).verdicts(now)
    return _named(ours), _named(theirs)


def _named(verdicts: tuple[Verdict, ...]) -> dict[str, Verdict]:
    return {f"{v.metric} {n}": v for n, v in enumerate(verdicts)}


@pytest.mark.parametrize("day", [15, 25, 35])
def test_the_store_and_a_history_say_the_same(system: System, tmp_path: Path, day: int) -> None:
    ours, theirs = judged(system, tmp_path, day)
    assert {name: (v.status, v.figure) for name, v in ours.items()} == {
        name: (v.status, v.figure) for name, v in theirs.items()
    }
    figures = {name: v.figure for name, v in ours.items()}
    assert figures["data.rows 4"] == min(12 * day + 1, 480)
    assert figures["data.rows 5"] == 120.0
    assert figures["data.accuracy 1"] == 1.0
    assert ours["data.timeliness 2"].figure == 1800.0
    # What a shop's row says counts from the moment that it was known.
    assert ours["data.referential 0"].status == ("broken" if day == 25 else "met")
    assert ours["data.completeness 6"].status in ("met", "unknown")
