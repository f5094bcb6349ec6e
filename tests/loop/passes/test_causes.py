"""Named causes, each with its evidence, and none that the policy does not name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from tests.loop.observed import DAY, NOW, observations, policies, seen, trained, verdict

from trimtab.declaration.system import Policy, Trigger
from trimtab.loop.passes.causes import diagnose
from trimtab.loop.passes.observation import Observation
from trimtab.records.facts import ColumnDrift


def drifted(column: str, effect: float, *, is_so: bool = True) -> ColumnDrift:
    return ColumnDrift(column=column, statistic="ks", effect=effect, low=0.0, high=1.0, rows=100, drifted=is_so)


def causes(trigger: Trigger, observation: Observation) -> dict[str, str]:
    return {cause.name: cause.evidence for cause in diagnose(observation, Policy(retrain_on=(trigger,)))}


def observed(**known: Any) -> Observation:
    """As `seen`, with `verdicts` for the verdicts of the live release."""
    verdicts = known.pop("verdicts", ())
    return msgspec.structs.replace(seen(**known), live=verdicts)


AUC = verdict("quality.roc_auc", "broken")
VALUE = verdict("value.per_1000", "broken")
LATENCY = verdict("serving.latency_p95", "broken")
CASES: list[tuple[Trigger, dict[str, Any], str | None]] = [
    (Trigger(cause="data_drift"), {}, None),
    (Trigger(cause="data_drift"), {"drift": (drifted("a", 0.2, is_so=False),)}, None),
    (
        Trigger(cause="data_drift"),
        {"drift": tuple(drifted(c, e) for c, e in [("a", 0.2), ("b", 0.4), ("c", 0.1), ("d", 0.3)])},
        "4 of 4 columns drifted: b (ks 0.40), d (ks 0.30), a (ks 0.20) and 1 more",
    ),
    (Trigger(cause="concept_drift"), {"concept": ""}, None),
    (Trigger(cause="concept_drift"), {"concept": "the loss rose"}, "the loss rose"),
    (Trigger(cause="schema_changed"), {"schema": ""}, None),
    (Trigger(cause="schema_changed"), {"schema": "trips: column 'a' added"}, "trips: column 'a' added"),
    (Trigger(cause="requirement_broken"), {"verdicts": (verdict("quality.roc_auc", "unknown"),)}, None),
    (Trigger(cause="requirement_broken"), {"verdicts": (LATENCY,)}, None),
    (
        Trigger(cause="requirement_broken"),
        {"verdicts": (AUC, LATENCY, VALUE)},
        "quality.roc_auc broken: it is broken; value.per_1000 broken: it is broken",
    ),
    (
        Trigger(cause="requirement_broken", metric="value.per_1000"),
        {"verdicts": (AUC, VALUE)},
        "value.per_1000 broken: it is broken",
    ),
    (Trigger(cause="requirement_broken", metric="quality.f1"), {"verdicts": (AUC, VALUE)}, None),
    (Trigger(cause="schedule", amount=5 * DAY), {"last_training": trained(4.99)}, None),
    (Trigger(cause="schedule", amount=5 * DAY), {"last_training": trained(5)}, "last trained 5.0 d ago"),
    (Trigger(cause="schedule", amount=5 * DAY), {"last_training": None}, None),
    (Trigger(cause="new_rows", amount=201), {"known_rows": 1200}, None),
    (
        Trigger(cause="new_rows", amount=200),
        {"known_rows": 1200},
        "200 labelled rows since the last training on 1,000",
    ),
    (Trigger(cause="new_rows", amount=0.21, relative=True), {"known_rows": 1200}, None),
    (
        Trigger(cause="new_rows", amount=0.2, relative=True),
        {"known_rows": 1200},
        "200 labelled rows since the last training on 1,000",
    ),
    (Trigger(cause="code_changed"), {}, None),
    (Trigger(cause="code_changed"), {"code": "new"}, "code changed since the last training"),
    (Trigger(cause="code_changed"), {"params": "new"}, "hyper-parameters changed since the last training"),
    (
        Trigger(cause="code_changed"),
        {"code": "new", "params": "new"},
        "code and hyper-parameters changed since the last training",
    ),
    (Trigger(cause="code_changed"), {"code": "new", "last_training": None}, None),
]


@pytest.mark.parametrize(("trigger", "known", "evidence"), CASES)
def test_each_cause(trigger: Trigger, known: dict[str, Any], evidence: str | None) -> None:
    found = causes(trigger, observed(**known))
    assert found == ({} if evidence is None else {trigger.cause: evidence})


def test_without_a_live_release_that_is_the_only_cause() -> None:
    everything = Policy(retrain_on=(Trigger(cause="schedule", amount=1.0), Trigger(cause="concept_drift")))
    found = diagnose(seen(live=None, concept="the loss rose", last_training=trained(9)), everything)
    assert [(cause.name, cause.evidence) for cause in found] == [("no_model", "no release is live")]


@settings(max_examples=100)
@given(observation=observations(turn=2), policy=policies())
def test_no_cause_is_made_up(observation: Observation, policy: Policy) -> None:
    found = diagnose(observation, policy)
    last = observation.last_training
    begun = last is not None and last.outside and (observation.code, observation.params) == (last.code, last.params)
    named = [*(["training_interrupted"] if begun else []), *(trigger.cause for trigger in policy.retrain_on)]
    if observation.releases.live is None:
        assert [cause.name for cause in found] == ["no_model"]
    else:
        assert [cause.name for cause in found] == [name for name in named if name in {c.name for c in found}]
    assert all(cause.evidence for cause in found)
    assert diagnose(observation, policy) == found


@settings(max_examples=50)
@given(observation=observations(turn=2), policy=policies())
def test_waiting_makes_no_schedule_less_due(observation: Observation, policy: Policy) -> None:
    later = msgspec.structs.replace(observation, now=NOW + timedelta(days=1))
    due, due_later = ({c.name for c in diagnose(o, policy)} for o in (observation, later))
    assert due <= due_later
