"""Two runs of one history compare equal though their clocks and memory differ, and unequal when anything else does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from tests.records.generated import of_type

from trimtab.records.facts import (
    AnyFact,
    Compared,
    ModelTrained,
    PassFinished,
    ReleaseMoved,
    TrainingFailed,
    VerdictsGiven,
)
from trimtab.records.ledger import Ledger, comparable
from trimtab.records.model import ModelIdentity
from trimtab.records.requirement import Estimate, Verdict

AT = datetime(2013, 4, 2, 5, tzinfo=UTC)
LATENCY = Verdict(
    metric="serving.latency_p95",
    status="met",
    comparison="<=",
    limit=0.015,
    figure=0.003,
    low=0.002,
    high=0.004,
    rows=500,
    place="live",
    reason="3 ms",
)
RECALL = Verdict(metric="quality.recall", status="met", comparison=">=", limit=0.5, figure=0.6, rows=10, place="live")
SLOWER = msgspec.structs.replace(LATENCY, figure=0.009, low=0.008, high=None, rows=498, reason="9 ms")


def comparable_of(fact: AnyFact, at: datetime = AT, **measured: float) -> tuple[Any, ...]:
    with Ledger.open(None) as ledger:
        ledger.append("first", PassFinished(number="1", causes=(), actions=(), reason=""), at=AT)
        ledger.append("key", fact, at=at, measured=measured)
        return comparable(ledger.get("key"))


@pytest.mark.parametrize("wrap", ["verdicts", "release"])
def test_figures_of_speed_and_memory_are_left_out(wrap):
    def given_by(*verdicts: Verdict) -> AnyFact:
        if wrap == "verdicts":
            return VerdictsGiven(place="live", subject="r", verdicts=verdicts)
        return ReleaseMoved(release="r", model="m", source=None, to="live", why="", evidence=verdicts)

    usual = comparable_of(given_by(LATENCY, RECALL), seconds=1.0)
    assert comparable_of(given_by(SLOWER, RECALL), seconds=2.0) == usual
    for other in (
        given_by(msgspec.structs.replace(LATENCY, status="broken"), RECALL),
        given_by(msgspec.structs.replace(LATENCY, limit=0.02), RECALL),
        given_by(LATENCY, msgspec.structs.replace(RECALL, figure=0.61)),
        given_by(LATENCY, msgspec.structs.replace(RECALL, rows=11)),
        given_by(RECALL, LATENCY),
        given_by(LATENCY),
    ):
        assert comparable_of(other) != usual
    assert comparable_of(given_by(LATENCY, RECALL), at=datetime(2013, 4, 3, tzinfo=UTC)) != usual


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(trained=of_type(ModelTrained))
def test_estimates_of_a_model_too(trained):
    def with_time(seconds: float, auc: float) -> ModelTrained:
        slow = {"resources.train_time": Estimate(figure=seconds, rows=1), "quality.roc_auc": Estimate(figure=auc)}
        by = {"serving.latency_p95|carrier=AA": Estimate(figure=seconds)}
        return msgspec.structs.replace(trained, metrics=slow, baseline=slow, slices=by)

    assert comparable_of(with_time(1.0, 0.7)) == comparable_of(with_time(2.0, 0.7))
    assert comparable_of(with_time(1.0, 0.7)) != comparable_of(with_time(1.0, 0.71))


def test_comparisons_of_speed_keep_their_verdict():
    usual = Compared(
        release="r",
        challenger="a",
        champion="b",
        place="canary",
        metric="serving.latency_p95",
        difference=0.1,
        low=0.0,
        high=0.2,
        rows=9,
        verdict="better",
    )
    replace = msgspec.structs.replace
    assert comparable_of(usual) == comparable_of(replace(usual, difference=0.3, high=0.4))
    assert comparable_of(usual) != comparable_of(replace(usual, verdict="worse"))
    quality = replace(usual, metric="quality.recall")
    assert comparable_of(quality) != comparable_of(replace(quality, difference=0.3))


def test_what_a_failed_training_printed_is_left_out_and_why_it_failed_is_not():
    identity = ModelIdentity(id="m", code="c", params="p", data="d")
    usual = TrainingFailed(identity=identity, reason="train() raised ValueError: no rows", log="begun at 05:12:01")
    replace = msgspec.structs.replace
    assert comparable_of(usual) == comparable_of(replace(usual, log="begun at 05:13:47"))
    assert comparable_of(usual) != comparable_of(replace(usual, reason="train() raised KeyError: 'x'"))
    assert comparable_of(usual) != comparable_of(replace(usual, identity=replace(identity, data="e")))
