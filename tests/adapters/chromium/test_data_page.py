"""The page on a dataset's quality in a real browser: wide and narrow, light and dark, and nothing to complain of."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.adapters.chromium.chrome import Chrome
from tests.console import history

from trimtab.console.data_report import collect, render
from trimtab.data.quality.measure import alone
from trimtab.data.store.state import Quarantined

pytestmark = pytest.mark.component


def flights(rows: int = 9_000) -> pl.DataFrame:
    """Flights of a year; a station falls silent in the summer."""
    dice = np.random.default_rng(4)
    at = [history.START + timedelta(days=history.DAYS * n / rows) for n in range(rows)]
    frame = pl.DataFrame(
        {
            "id": [f"UA{n % 2000:04}-{n}" for n in range(rows)],
            "at": at,
            "carrier": dice.choice(
                ["UA", "B6", "EV", "DL", "AA", "MQ", "9E"], rows, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.07, 0.03]
            ),
            "dest": dice.choice(["ATL", "ORD", "BOS", "LAX"], rows),
            "distance": dice.gamma(3, 350, rows) + 90,
            "hour": dice.integers(5, 24, rows),
            "temp": 12 + 10 * np.sin(np.arange(rows) / rows * 6) + dice.normal(0, 3, rows),
            "a_column_with_quite_a_long_name_indeed": dice.random(rows),
            "late": dice.random(rows) < 0.22,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    day = pl.int_range(pl.len()) * history.DAYS // rows
    silent = day.is_between(120, 150) | (pl.int_range(pl.len()) % 97 == 0)
    return frame.with_columns(temp=pl.when(~silent).then("temp"))


def refused() -> Quarantined:
    reasons = {
        "invalid: distance is not within 10..6000": 412,
        "duplicate: its key is stored with other content": 37,
        "wrong type: at cannot be read as a time": 5,
    }
    rows = pl.DataFrame(
        [
            {"reason": reason, "seen_at": history.START + timedelta(days=9), "key": f"UA{n}", "time": None,
             "row": '{"flight":"UA17-3","distance":99999.0,"carrier":"UA","dest":"ATL"}'}
            for n, reason in enumerate(reasons)
        ],
        schema={"reason": pl.String, "seen_at": pl.Datetime("us", "UTC"), "key": pl.String,
                "time": pl.Datetime("us", "UTC"), "row": pl.String},
    )  # fmt: skip
    return Quarantined(reasons, rows)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_fits(chrome: Chrome, tmp_path: Path, width: int, dark: bool) -> None:
    system = history.system()
    page = tmp_path / "quality.html"
    data = collect(
        flights(), system.labelled, system, version="643d9991aa", hidden=("passenger",), quarantined=refused(),
        entries=history.year(), others=alone,
    )  # fmt: skip
    page.write_text(render(data), "utf-8")
    chrome.look(width, 900, dark=dark)
    chrome.open(page.as_uri())
    chrome.wait("document.querySelectorAll('svg').length > 12")
    assert chrome.run("document.documentElement.scrollWidth <= window.innerWidth")
    ink = chrome.run("getComputedStyle(document.body).backgroundColor")
    assert (ink == "rgb(14, 20, 27)") == dark
    said = chrome.run("document.body.innerText")
    for word in ("Requirements", "What is missing", "What was refused", "learned from", "How the values lie"):
        assert word.lower() in said.lower()
    bars = chrome.run(
        "[...document.querySelectorAll('.shapes svg')].filter(s => s.getBoundingClientRect().height < 20).length"
    )
    assert bars == 0
    assert not chrome.complaints
    chrome.keep_picture(f"data-{width}-{'dark' if dark else 'light'}")
