"""Verdicts: met, broken, or unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.judge import acceptable, judge, judge_slices
from trimtab.records.requirement import Estimate, Requirement


def requirement(
    metric: str = "quality.roc_auc", comparison: Any = ">=", limit: float = 0.66, **more: Any
) -> Requirement:
    return Requirement(metric=metric, comparison=comparison, limit=limit, **more)


def figure(at: float | None, low: float | None = None, high: float | None = None, rows: int = 1000) -> Estimate:
    return Estimate(figure=at, low=low, high=high, rows=rows)


def test_the_interval_decides() -> None:
    req = requirement()
    assert judge(req, figure(0.70, 0.68, 0.72), place="live").status == "met"
    assert judge(req, figure(0.60, 0.58, 0.62), place="live").status == "broken"
    straddling = judge(req, figure(0.651, 0.640, 0.664), place="release")
    assert straddling.status == "unknown"
    assert straddling.reason == "0.651 is below 0.66 but the interval 0.640..0.664 crosses it"
    assert (straddling.place, straddling.rows) == ("release", 1000)


def test_without_an_interval_the_figure_decides() -> None:
    assert judge(requirement(), figure(0.66), place="live").status == "met"
    assert judge(requirement(comparison=">"), figure(0.66), place="live").status == "broken"
    assert judge(requirement(comparison="=="), figure(0.66), place="live").status == "met"
    assert judge(requirement(comparison="=="), figure(0.65), place="live").status == "broken"


def test_figures_are_told_in_the_unit_of_the_declaration() -> None:
    slow = requirement("serving.latency_p95", "<=", 0.015, unit="ms", scale=0.001)
    said = judge(slow, figure(0.0213, 0.0201, 0.0226), place="live")
    assert said.status == "broken"
    assert said.reason == "21.3 ms is above 15 ms, and so is the whole interval 20.1..22.6 ms"
    money = requirement("value.per_1000", ">=", 12000, unit="USD")
    assert judge(money, figure(11950.4, 11000, 12500), place="live").reason.startswith(
        "11950 USD is below 12000 USD but"
    )


def test_too_few_rows_or_no_figure_is_unknown() -> None:
    few = judge(requirement(min_rows=300), figure(0.9, 0.8, 0.95, rows=299), place="live")
    assert few.status == "unknown"
    assert "299 rows are too few" in few.reason
    none = judge(requirement(), Estimate(figure=None, rows=500, reason="all rows are of one class"), place="live")
    assert (none.status, none.reason) == ("unknown", "all rows are of one class")


def test_what_is_counted_whole_needs_no_number_of_rows() -> None:
    memory = requirement("resources.memory", "<=", 600 * 2**20, unit="MiB", scale=2**20)
    assert judge(memory, Estimate(figure=81.0 * 2**20), place="live").status == "met"
    rows = requirement("data.rows", ">=", 1000)
    assert judge(rows, Estimate(figure=5.0, rows=5), place="data").status == "broken"


@given(
    limit=st.floats(-10, 10),
    at=st.floats(-10, 10),
    down=st.floats(0, 5),
    up=st.floats(0, 5),
    comparison=st.sampled_from([">=", "<=", ">", "<", "=="]),
)
def test_a_verdict_never_says_more_than_its_interval(
    limit: float, at: float, down: float, up: float, comparison: str
) -> None:
    verdict = judge(requirement(comparison=comparison, limit=limit), figure(at, at - down, at + up), place="live")
    holds = {">=": float.__ge__, "<=": float.__le__, ">": float.__gt__, "<": float.__lt__}
    if comparison != "==":
        ends = {holds[comparison](end, limit) for end in (at - down, at + up)}
        assert verdict.status == {(True,): "met", (False,): "broken"}.get(tuple(ends), "unknown")
    assert verdict.status != "met" or acceptable(verdict)
    assert verdict.status != "broken" or not acceptable(verdict)
    assert verdict.reason or verdict.status == "met"


def test_the_gate_lets_through_what_is_met_or_likely() -> None:
    req = requirement()
    assert acceptable(judge(req, figure(0.67, 0.65, 0.69), place="release"))
    assert not acceptable(judge(req, figure(0.651, 0.640, 0.664), place="release"))
    assert not acceptable(judge(req, Estimate(figure=None, reason="no rows"), place="release"))
    assert not acceptable(judge(req, figure(0.5, 0.4, 0.6), place="release"))


def test_the_worst_slice_decides_and_is_named() -> None:
    req = requirement("quality.recall", limit=0.55, by="carrier", min_rows=300)
    slices = {
        "AA": figure(0.70, 0.66, 0.74),
        "UA": figure(0.40, 0.36, 0.44),
        "DL": figure(0.56, 0.52, 0.60),
        "HA": figure(0.10, 0.00, 0.40, rows=20),
    }
    verdict = judge_slices(req, slices, place="live")
    assert (verdict.status, verdict.slice, verdict.figure) == ("broken", "UA", 0.40)
    assert verdict.reason.startswith("carrier=UA: 0.400 is below 0.55, and so is the whole interval")
    assert verdict.reason.endswith("1 with fewer than 300 rows or no figure left out")
    del slices["UA"]
    assert judge_slices(req, slices, place="live").status == "unknown"
    assert judge_slices(req, slices, place="live").slice == "DL"
    del slices["DL"]
    held = judge_slices(req, slices, place="live")
    assert (held.status, held.slice) == ("met", "AA")


def test_intervals_widen_with_the_number_of_slices() -> None:
    req = requirement("quality.recall", limit=0.55, by="carrier")
    alone = judge_slices(req, {"AA": figure(0.50, 0.46, 0.54)}, place="live")
    assert (alone.status, alone.low) == ("broken", pytest.approx(0.46))
    many = {"AA": figure(0.50, 0.46, 0.54)} | {f"c{i}": figure(0.8, 0.7, 0.9) for i in range(15)}
    among = judge_slices(req, many, place="live")
    assert (among.status, among.slice) == ("unknown", "AA")
    assert among.high == pytest.approx(0.50 + 0.04 * 2.9552 / 1.9600, abs=1e-4)  # z(1 - 0.025/16)


def test_no_slice_with_enough_rows_is_unknown() -> None:
    req = requirement("quality.recall", limit=0.55, by="carrier", min_rows=300)
    verdict = judge_slices(
        req, {"HA": figure(0.9, 0.8, 1.0, rows=20), "OO": figure(0.7, 0.3, 0.9, rows=5)}, place="live"
    )
    assert (verdict.status, verdict.slice) == ("unknown", "OO")
    assert "none of 2 slices by carrier has 300 rows" in verdict.reason
    empty = judge_slices(req, {}, place="live")
    assert (empty.status, empty.figure) == ("unknown", None)
    assert not acceptable(empty)


def test_shares_stay_within_0_and_1_when_widened() -> None:
    req = requirement("quality.recall", limit=0.55, by="carrier")
    verdict = judge_slices(req, {f"c{i}": figure(0.98, 0.93, 0.999) for i in range(9)}, place="live")
    assert verdict.high == 1.0
