"""A person that the live model learned from was forgotten: what the loop makes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from tests.loop.observed import POLICY, compared, release, seen, verdict

from trimtab.loop.passes.causes import diagnose
from trimtab.loop.passes.gate import decide
from trimtab.loop.passes.observation import LastTraining, Progress
from trimtab.loop.passes.plan import make_plan
from trimtab.loop.people.forgotten import forgotten_by, tainted_models
from trimtab.records.facts import PersonForgotten, TrainingTried
from trimtab.records.ledger import Ledger

NOW = datetime(2024, 3, 1, tzinfo=UTC)


def forgotten(person: str, *models: str) -> PersonForgotten:
    return PersonForgotten(person=person, keys=1, versions={}, models=models, telemetry=(), features=0)


def test_the_ledger_tells_who_was_forgotten_and_whether_a_training_has_answered_it() -> None:
    with Ledger.open(None) as ledger:
        assert forgotten_by(ledger, "m1") is None
        ledger.append("forgotten:a", forgotten("a", "m1", "m2"), at=NOW)
        ledger.append("forgotten:b", forgotten("b", "m2"), at=NOW)
        assert tainted_models(ledger) == {"m1", "m2"}
        one, two = forgotten_by(ledger, "m1"), forgotten_by(ledger, "m2")
        assert one is not None
        assert two is not None
        assert (one.people, two.people, one.unanswered) == (1, 2, True)
        assert "someone" in one.evidence
        tried = TrainingTried(action="x", code="c", params="p", known_rows=5, model="m3")
        ledger.append("tried:x", tried, at=NOW)
        after = forgotten_by(ledger, "m1")
        assert after is not None
        assert not after.unanswered


def test_it_trains_whatever_the_policy_says_and_once() -> None:
    just = LastTraining(at=NOW, rows=10_000, code="", params="")
    look = seen(last_training=just, forgotten="the live model learned from someone", unanswered=True)
    policy = msgspec.structs.replace(POLICY, retrain_on=())
    causes = diagnose(look, policy)
    assert [cause.name for cause in causes] == ["person_forgotten"]
    assert [action.verb for action in make_plan(look, causes, policy).actions] == ["train"]
    answered = msgspec.structs.replace(look, unanswered=False)
    assert make_plan(answered, causes, policy).actions == ()
    leak = verdict("data.personal_patterns", "broken", place="data")
    plan = make_plan(msgspec.structs.replace(look, data=(leak,)), causes, policy)
    assert plan.actions == ()
    assert "data.personal_patterns" in plan.reason


def test_a_model_that_has_to_go_need_not_be_beaten_but_what_is_required_must_hold() -> None:
    worse = [compared("worse")]
    assert not decide([], [], worse).passed
    assert decide([], [], worse, must_go=True).passed
    broken = verdict("quality.roc_auc", "broken", place="release")
    assert not decide([broken], [], worse, must_go=True).passed


def test_no_way_back_to_who_learned_from_a_forgotten_person() -> None:
    old = release("r-000", "shadow", standby=True)
    better = msgspec.structs.replace(compared("better", "r-000"), difference=2.0, low=1.9, high=2.1)
    look = seen(old, standby=Progress(rows=200, compared=better))
    assert [action.verb for action in make_plan(look, (), POLICY).actions] == ["rollback"]
    tainted = msgspec.structs.replace(look, tainted=frozenset({old.model}))
    assert "rollback" not in [action.verb for action in make_plan(tainted, (), POLICY).actions]
