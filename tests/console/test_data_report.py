"""The page on a dataset's quality: whole, without scripts, and telling what is there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trimtab.console.data_charts import completeness_chart, distribution, reasons_chart
from trimtab.console.data_report import DataReport, collect, render
from trimtab.data.quality.measure import alone
from trimtab.data.quality.profile import profile
from trimtab.data.store.state import Quarantined
from trimtab.declaration.load import parse
from trimtab.declaration.system import System

START = datetime(2026, 1, 1, tzinfo=UTC)
DECLARED = """
[system]
name = "shop"
problem = "which orders come back"
task = "binary_classification"
[requirements]
"data.completeness" = { limit = ">= 90%", columns = ["price"] }
"data.validity" = ">= 99.9%"
"data.mean" = { limit = ">= 10", columns = ["price"] }
"data.rows" = { limit = ">= 1", by = "state" }
"data.distinct" = { limit = ">= 1", columns = ["mail"] }
[[data]]
name = "orders"
source = "orders.parquet"
key = "id"
time = "at"
label = "back"
valid = { state = ["new", "paid"] }
[model]
code = "model.py"
"""


@pytest.fixture
def system(tmp_path: Path) -> System:
    (tmp_path / "model.py").write_text("def train(train, valid, params): ...\n")
    return parse(DECLARED, tmp_path / "trimtab.toml")


def orders(rows: int = 600) -> pl.DataFrame:
    dice = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "id": [f"o-{n}" for n in range(rows)],
            "at": [START + timedelta(hours=n) for n in range(rows)],
            "back": dice.random(rows) < 0.2,
            "price": dice.gamma(2, 30, rows),
            "state": dice.choice(["new", "paid"], rows),
            "<b>odd</b>": dice.integers(0, 9, rows),
            "blob": [b"x"] * rows,
            "mail": [f"person{n}@b.example" for n in range(rows)],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    ).with_columns(price=pl.when(pl.col("at") > START + timedelta(days=20)).then(None).otherwise("price"))


def refused(reason: str = "invalid: state is not one of new, paid") -> Quarantined:
    row = '{"id":"o-9","state":"<script>","mail":"a@b.example","price":3.5}'
    rows = pl.DataFrame(
        {"reason": [reason], "seen_at": [START], "key": ["o-9"], "time": [START + timedelta(days=24)], "row": [row]},
        schema_overrides={"seen_at": pl.Datetime("us", "UTC"), "time": pl.Datetime("us", "UTC")},
    )
    return Quarantined({reason: 7}, rows)


def page_of(system: System, rows: pl.DataFrame, quarantined: Quarantined, hidden: tuple[str, ...] = ()) -> DataReport:
    return collect(
        rows,
        system.labelled,
        system,
        version="abcdef123456",
        hidden=hidden,
        quarantined=quarantined,
        entries=(),
        others=alone,
    )


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_page_tells_all_and_runs_nothing(system: System) -> None:
    data = page_of(system, orders(), refused(), hidden=("mail",))
    page = render(data)
    found = _Tags()
    found.feed(page)
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert not re.search(r"""(?:src|href)\s*=\s*["']""", page)
    assert "default-src 'none'" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert "&lt;script&gt;" in page
    assert "@b.example" not in page
    for said in (
        "orders",
        "600",
        "What is missing",
        "invalid: state is not one of new, paid",
        "Personal, and not shown: mail",
    ):
        assert said in page
    statuses = {verdict.metric: verdict.status for verdict in data.verdicts}
    assert statuses == {
        "data.completeness": "broken", "data.validity": "broken", "data.mean": "unknown", "data.rows": "met",
        "data.distinct": "met",
    }  # fmt: skip
    assert page.count("<svg") >= len(data.pictures)


def test_a_page_of_nothing_is_a_page(system: System) -> None:
    page = render(page_of(system, orders().clear(), Quarantined({}, refused().rows.clear())))
    assert "No row was refused" in page
    assert "No cell is missing" in page


def test_every_kind_of_column_is_drawn() -> None:
    rows = orders()
    drawn = {c.name: distribution(rows.get_column(c.name), c) for c in profile(rows, "orders").columns}
    assert {name for name, picture in drawn.items() if not picture} == {"blob"}
    assert drawn["<b>odd</b>"].count("v-") == 9
    far = rows.select(x=pl.when(pl.col("id") == "o-1").then(1e9).otherwise(pl.col("price")))
    assert "beyond" in distribution(far.get_column("x"), profile(far, "x").columns[0])
    nothing = pl.DataFrame({"x": [float("nan")] * 9})
    assert "nan" in distribution(nothing.get_column("x"), profile(nothing, "x").columns[0])


def test_gaps_are_drawn_where_they_are() -> None:
    chart = completeness_chart(orders(), "at")
    assert "price" in chart
    assert "heat h6" in chart
    assert completeness_chart(orders().drop("price"), "at") == ""
    assert completeness_chart(orders().head(1), "at") == ""
    assert reasons_chart([]) == ""
    assert reasons_chart([("why", 3)]).count("<rect") == 1
