"""One readable line for each kind of fact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.records.generated import KINDS, facts, keys, moments, of_type

from trimtab.records.describe import describe
from trimtab.records.facts import (
    ActionFinished,
    Cause,
    ColumnDrift,
    Compared,
    DatasetCommitted,
    DriftMeasured,
    PassFinished,
    PassPlanned,
    PlannedAction,
    ReleaseMoved,
    VerdictsGiven,
)
from trimtab.records.journal import Entry, kind_of
from trimtab.records.requirement import Verdict
from trimtab.records.studies import BacktestFinished

AT = datetime(2013, 4, 2, 5, tzinfo=UTC)


def entry(fact: Any, key: str = "k", at: datetime = AT) -> Entry[Any]:
    return Entry(seq=1, key=key, at=at, kind=kind_of(fact), fact=fact, measured={}, chain="")


def verdict(metric: str, status: str, figure: float | None, **more: Any) -> Verdict:
    given_ = {"comparison": ">=", "limit": 0.55, "place": "live", **more}
    return Verdict(metric=metric, status=status, figure=figure, **given_)


LATENCY = {"comparison": "<=", "limit": 0.015, "unit": "ms", "scale": 0.001}
SAID = [
    (
        ReleaseMoved(release="r-1a2b", model="m", source=None, to="shadow", why="passed 8 of 8 gates"),
        "2013-04-02 05:00  release    r-1a2b -> shadow   passed 8 of 8 gates",
    ),
    (
        VerdictsGiven(
            place="live",
            subject="r-1",
            verdicts=(
                verdict("quality.auc", "met", 0.7),
                verdict("quality.x", "unknown", None),
                verdict("serving.latency_p95", "broken", 0.0173, slice="carrier=AA", **LATENCY),
            ),
        ),
        "live r-1: 1 met, 1 broken, 1 unknown: latency_p95 for carrier=AA 17.3 ms (<= 15 ms)",
    ),
    (
        VerdictsGiven(place="live", subject="r-1", verdicts=(verdict("q", "unknown", None),)),
        "1 unknown: q unknown (>= 0.55)",
    ),
    (VerdictsGiven(place="data", subject="v", verdicts=(verdict("q", "met", 0.6),)), "data v: 1 met"),
    (
        DatasetCommitted(
            dataset="flights",
            version="ab12" * 16,
            parent=None,
            rows=12345,
            added=912,
            until=AT,
            quarantined={"late": 3},
        ),
        "flights ab12ab12: +912 rows to 12,345, 3 quarantined, until 2013-04-02 05:00",
    ),
    (
        Compared(
            release="r-2",
            challenger="m2",
            champion="m1",
            place="shadow",
            metric="quality.roc_auc",
            difference=0.0123,
            low=0.004,
            high=0.0203,
            rows=4000,
            verdict="better",
        ),
        "r-2 better than m1 in shadow: roc_auc +0.0123 [+0.004, +0.0203], 4,000 rows",
    ),
    (
        DriftMeasured(
            model="m-1",
            window_from=AT,
            window_to=AT,
            rows=10,
            columns=(
                ColumnDrift(column="dew", statistic="ks", effect=0.3, low=0.2, high=0.4, rows=9, drifted=True),
                ColumnDrift(column="temp", statistic="psi", effect=1.25, low=1, high=2, rows=9, drifted=True),
                ColumnDrift(column="hour", statistic="tv", effect=0.0, low=0, high=0, rows=9, drifted=False),
            ),
        ),
        "2 of 3 columns moved from m-1: temp psi 1.25, dew ks 0.3",
    ),
    (
        PassPlanned(
            number="1",
            causes=(Cause(name="data_drift", evidence="x"),),
            actions=(PlannedAction(verb="train", why="w"), PlannedAction(verb="gate", why="w")),
            reason="",
        ),
        "plan       train, gate, for data_drift",
    ),
    (
        PassFinished(number="7", causes=(), actions=(), reason="all is well"),
        "7: did nothing: all is well",
    ),
    (PassFinished(number="7", causes=(), actions=("a",), reason=""), "pass       7: 1 action"),
    (
        ActionFinished(action="a", verb="train", outcome="refused", summary="no\nrows\x1b[31m"),
        "train refused: no rows [31m",
    ),
    (
        BacktestFinished(
            policy="every:30d",
            start=AT,
            end=AT,
            predictions=10,
            value=123456.4,
            per_1000=433.21,
            retrainings=1,
            releases=2,
            refused=3,
            rolled_back=0,
            holds={},
            daily=(),
        ),
        "every:30d: value 123,456 (433 per 1,000), 1 retraining, 2 released, 3 refused, 0 rolled back",
    ),
]


@pytest.mark.parametrize(("fact", "said"), SAID, ids=[kind_of(fact) for fact, _ in SAID])
def test_it_says_what_happened(fact, said):
    assert said in describe(entry(fact), width=140)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(fact=facts, key=keys, at=moments)
def test_every_fact_fits_one_line(fact, key, at):
    line = describe(entry(fact, key, at))
    assert len(line) <= 100
    assert line.splitlines() == [line]
    assert len(describe(entry(fact, key, at), width=40)) <= 40


@pytest.mark.parametrize("kind", KINDS, ids=kind_of)
def test_every_kind_has_words_of_its_own(kind):
    @settings(max_examples=1, suppress_health_check=list(HealthCheck))
    @given(fact=of_type(kind))
    def holds(fact):
        assert describe(entry(fact)).startswith("2013-04-02 05:00  ")

    holds()
