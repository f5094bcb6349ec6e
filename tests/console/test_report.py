"""The page as a whole: complete, valid, safe, self-contained, quick and small."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from tests.console.history import COLUMNS, DAYS, REQUIREMENTS, START, History, backtests, system, year

from trimtab.console.report import collect, render
from trimtab.records.facts import Cause, ColumnDrift, DriftMeasured, PassFinished, ReleaseMoved, VerdictsGiven
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = "<script>alert('x')</script>\"' onload=1 & {{ 7 * 7 }}"


class Page(HTMLParser):
    """Counts elements, collects attributes and text, and fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def html() -> str:
    return render(collect(year(), backtests(), system()))


def test_the_page_is_whole(html: str) -> None:
    page = Page(html)
    for needed in ("Requirements over time", "Releases", "Drift by column", "Causes and actions", "Models", "Data"):
        assert needed in page.text
    charts = re.findall(r"<svg xmlns.*?</svg>", html, re.DOTALL)
    assert len(charts) == len(REQUIREMENTS) + 4  # two of value, releases, drift
    for chart in charts:
        assert ElementTree.fromstring(chart).get("aria-label")


def test_the_page_needs_nothing_beside_it(html: str) -> None:
    page = Page(html)
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "image", "use"}
    assert not [name for name, _ in page.attributes if name in ("src", "href", "xlink:href") or name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    assert set(re.findall(r"https?://[^\s\"']+", html)) == {"http://www.w3.org/2000/svg"}


def test_the_page_says_what_happened(html: str) -> None:
    text = Page(html).text
    assert "trained 9 models, promoted 6 releases, refused 3 and rolled back 1" in text
    assert "more than never retraining" in text
    assert "no better than the live model: value.per_1000 -12.4" in text
    for column in COLUMNS:
        assert column in text


def test_when_columns_changed_is_told(html: str) -> None:
    assert "column &#39;gate&#39; added: it was not there before" in html


def test_two_renders_are_the_same(html: str) -> None:
    assert render(collect(year(), backtests(), system())) == html


def test_nothing_a_user_wrote_becomes_markup() -> None:
    history = History()
    history.live = EVIL
    at = START
    bad = replace(history.verdict(1, 0.4, 0.01, 900, "live", EVIL), reason=EVIL)
    history.add("v", VerdictsGiven(place="live", subject=EVIL, verdicts=(bad,)), at)
    column = ColumnDrift(column=EVIL, statistic="ks", effect=0.3, low=0.2, high=0.4, rows=10, drifted=True)
    drift = DriftMeasured(model=EVIL, window_from=at, window_to=at, rows=10, columns=(column,))
    history.add("d", drift, at + timedelta(days=1))
    for to in ("candidate", "rejected"):
        history.add(f"r{to}", ReleaseMoved(release=EVIL, model=EVIL, source=None, to=to, why=EVIL, evidence=(bad,)), at)
    causes = (Cause(name=EVIL, evidence=EVIL),)
    history.add("p", PassFinished(number="1", causes=causes, actions=(), reason=EVIL), at)
    requirement = replace(REQUIREMENTS[1], by=EVIL, columns=(EVIL,))
    declared = replace(system(EVIL, EVIL), requirements=(requirement,))
    html = render(collect(history.entries, [replace(backtests()[0], policy=EVIL)], declared))
    page = Page(html)
    assert page.tags["script"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert") >= 8
    assert "{{ 7 * 7 }}" in page.text
    for chart in re.findall(r"<svg xmlns.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(chart)


def test_an_empty_ledger_gives_a_page() -> None:
    page = Page(render(collect([], [], system())))
    assert "no facts yet" in page.text
    assert page.text.count("not measured yet") == len(REQUIREMENTS)


def test_one_pass_gives_a_page() -> None:
    history = History()
    history.live = "m"
    history.a_day(5, START, 0)
    page = Page(render(collect(history.entries, [], system())))
    assert "quality.roc_auc" in page.text


def test_a_long_history_stays_quick_and_small() -> None:
    history = History()
    history.live = history.train(START, "no_model", 0.7)
    for day in range(1100):
        at = START + timedelta(days=day)
        history.a_day(day, at, day % 60)
        columns = tuple(
            ColumnDrift(column=f"c{i}", statistic="ks", effect=i / 100, low=0, high=1, rows=9, drifted=i > 20)
            for i in range(60)
        )
        fact = DriftMeasured(model="m", window_from=at, window_to=at, rows=9, columns=columns)
        history.add(f"more:{day}", fact, at)
        if day % 15 == 0:
            release = f"r-{day:04d}"
            history.move(at, release, release * 4, None, "candidate", "schedule")
            history.compare(at, release, release * 4, "champion", -1.0, 2.0)
            history.move(at, release, release * 4, "candidate", "rejected", "no better", evidence=True)
    began = time.perf_counter()
    html = render(collect(history.entries, backtests(), system()))
    assert time.perf_counter() - began <= 3.0
    assert len(html.encode()) <= 2_000_000
    assert "older releases are in the table below" in html
    assert "more columns drifted less" in html


def test_a_page_from_a_real_ledger(tmp_path: Path, html: str) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        drafts = [Draft(key=e.key, fact=e.fact, at=e.at, measured=e.measured) for e in year()]
        ledger.append_all(drafts)
        again = render(collect(ledger.entries(), backtests(), system()))
    assert again == html
    assert f"{DAYS} passes" in again
