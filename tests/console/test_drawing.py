"""Ticks, scales, words and intervals: what every chart and table stands on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isclose
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.console.history import backtests

from trimtab.console import words
from trimtab.console.advantage import difference
from trimtab.console.svg import Scale, element, text, ticks, time_ticks
from trimtab.records.studies import BacktestFinished

moments = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 10))
def test_ticks_are_round_even_and_within(low: float, width: float, count: int) -> None:
    high = low + width
    if high <= low or width < 1e-9 * abs(low):
        return
    values, decimals = ticks(low, high, count)
    tolerance = 1e-6 * width
    assert all(low - tolerance <= value <= high + tolerance for value in values)
    assert len(values) <= count + 1
    steps = [(b - a) / width for a, b in pairwise(values)]
    assert max(steps, default=0.0) - min(steps, default=0.0) < 1e-5
    assert len({f"{value:.{decimals}f}" for value in values}) == len(values)


@given(moments, st.floats(3600, 40 * 365 * 86400), st.integers(4, 12))
def test_time_ticks_are_within_and_few(start: datetime, seconds: float, most: int) -> None:
    end = start + timedelta(seconds=seconds)
    found = time_ticks(start, end, most)
    leeway = timedelta(hours=12)  # a history that begins in the first hours of a month still shows its name
    assert all(start - leeway <= moment <= end for moment, _ in found)
    assert [m for m, _ in found] == sorted({m for m, _ in found})
    assert len(found) <= most + 2


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-2e6, 2e6))
def test_a_scale_stays_within_the_picture(low: float, high: float, value: float) -> None:
    scale = Scale(low=min(low, high), high=max(low, high), start=10.0, end=90.0)
    assert 10.0 <= scale(value) <= 90.0


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"))))
def test_any_text_stays_text(content: str) -> None:
    drawn = element("g", text(1, 2, content, content), title=content, data_x=content)
    root = ElementTree.fromstring(drawn)
    assert root.get("data-x") == content
    assert [child.tag for child in root.iter()] == (["g", "title", "text"] if content else ["g", "text"])
    assert "".join(root.find("text").itertext()) == content  # type: ignore[union-attr]


@given(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-9), st.integers(2, 6))
def test_a_written_figure_reads_back(value: float, digits: int) -> None:
    back = float(words.significant(value, digits).replace(",", "").replace(words.MINUS, "-"))
    assert isclose(back, value, rel_tol=0.51 * 10.0 ** (1 - digits), abs_tol=1e-12)


@pytest.mark.parametrize(
    ("value", "unit", "scale", "written"),
    [
        (0.70123, "", 1.0, "0.701"),
        (0.0123, "ms", 0.001, "12.3 ms"),
        (0.98412, "%", 0.01, "98.4%"),
        (1204.4, "USD", 1.0, "1,204 USD"),
        (-31.25, "USD", 1.0, f"{words.MINUS}31.2 USD"),
        (0.0, "", 1.0, "0"),
        (None, "ms", 0.001, words.NO_FIGURE),
        (0.9999, "", 1.0, "1.00"),
    ],
)  # fmt: skip
def test_figures_in_their_units(value: float | None, unit: str, scale: float, written: str) -> None:
    assert words.figure(value, unit, scale) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"), [(0, 0, "—"), (999, 1000, "99.9%"), (1, 1000, "0.1%"), (3, 4, "75%")]
)
def test_shares_never_round_to_all_or_nothing(part: int, whole: int, written: str) -> None:
    assert words.share(part, whole) == written


ANY_RESULT = backtests()[0]


def of(values: list[float]) -> BacktestFinished:
    days = [(f"{datetime(2013, 3, 1, tzinfo=UTC) + timedelta(days=i):%Y-%m-%d}", 900, v) for i, v in enumerate(values)]
    return replace(ANY_RESULT, daily=tuple(days), value=sum(values))


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=28, max_size=60))
def test_a_difference_is_opposite_the_other_way(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = of([a for a, _ in pairs]), of([b for _, b in pairs])
    there, back = difference(ours, theirs), difference(theirs, ours)
    assert there is not None
    assert back is not None
    assert isclose(there.figure, -back.figure, abs_tol=1e-6)
    assert isclose(there.low or 0.0, -(back.high or 0.0), abs_tol=1e-6)
    assert (there.low or 0.0) <= there.figure <= (there.high or 0.0)


def test_a_difference_over_few_weeks_has_no_interval() -> None:
    found = difference(of([2.0] * 20), of([1.0] * 20))
    assert found is not None
    assert (found.figure, found.low, found.high) == (20.0, None, None)
    assert difference(of([]), of([1.0])) is None


def test_the_interval_covers_the_truth_when_days_of_a_week_move_together() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        weeks = np.repeat(random.normal(3.0, 20.0, 43), 7)[:300]
        lead = weeks + random.normal(0, 10.0, 300)
        found = difference(of(list(lead)), of([0.0] * 300))
        assert found is not None
        covered += (found.low or 0.0) <= 3.0 * 300 <= (found.high or 0.0)
    assert 0.91 <= covered / 200 <= 0.99
