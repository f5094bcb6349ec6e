"""Passes for real: what a killed one had planned is done once, and what fails is kept and not tried for ever."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.loop.conftest import Make, Run

from trimtab.declaration.system import ReleaseStep, Trigger
from trimtab.loop.past.history import HistoricDatasets
from trimtab.loop.releases import Releases, fold
from trimtab.records.base import Record
from trimtab.records.facts import (
    ActionFinished,
    ActionIntended,
    ModelTrained,
    PassFinished,
    PassPlanned,
    PlannedAction,
    ReleaseMoved,
    SystemDeclared,
    TrainingFailed,
    TrainingTried,
)
from trimtab.records.journal import comparable

START = datetime(2024, 1, 21, 6, tzinfo=UTC)
LATER = START + timedelta(days=13)


def releases(run: Run) -> Releases:
    return fold((entry.at, entry.fact) for entry in run.ledger.entries(ReleaseMoved))


def everything(run: Run) -> list[Any]:
    return [comparable(entry) for entry in run.ledger.entries()]


class KilledError(Exception):
    """Stands for a kill at one instant: nothing after it is done."""


def test_settling_trains_gates_and_makes_live_and_then_rests(make: Make) -> None:
    run = make(policy={"retrain_on": ()})
    passes = run.loop.settle(START)
    assert [done.actions for done in passes] == [("collect",), ("train",), ("gate",), ()]
    assert passes[-1].reason == "nothing to do: r-001 is live and no declared cause holds"
    live = releases(run).live
    assert live is not None
    assert (live.release, run.serving.generation()) == ("r-001", 2)
    again = run.loop.settle(START + timedelta(minutes=5))
    assert [done.actions for done in again] == [("collect",), ()]
    assert run.ledger.count(ModelTrained) == run.ledger.count(SystemDeclared) == 1
    assert run.ledger.verify() is None


def test_every_action_is_meant_before_and_told_after(make: Make) -> None:
    run = make()
    run.replay(LATER)
    kinds = [(entry.kind, entry.key.partition(":")[2]) for entry in run.ledger.entries()]
    intents = [name for kind, name in kinds if kind == "action_intended"]
    outcomes = [name for kind, name in kinds if kind == "action_finished"]
    assert intents == outcomes
    assert len(intents) == len(set(intents)) > 15
    for name in intents:
        number = name.rpartition(".")[0]
        order = [
            kinds.index(("pass_planned", number)),
            kinds.index(("action_intended", name)),
            kinds.index(("action_finished", name)),
            kinds.index(("pass_finished", number)),
        ]
        assert order == sorted(order)


@pytest.mark.parametrize("writes", range(1, 12))
def test_killed_after_any_write_it_comes_to_the_same(make: Make, writes: int) -> None:
    """The ledger is cut off after each of the first transactions of a day; then the loop is run again."""
    undisturbed = make(policy={"retrain_on": ()})
    undisturbed.loop.settle(START)

    run = make(policy={"retrain_on": ()})
    append, appended = run.ledger.append_all, []

    def until_killed(*args: Any, **known: Any) -> list[bool]:
        if len(appended) == writes:
            raise KilledError
        appended.append(1)
        return append(*args, **known)

    run.ledger.append_all = until_killed  # type: ignore[method-assign]
    try:
        run.loop.settle(START)
    except KilledError:
        run.ledger.append_all = append  # type: ignore[method-assign]
        run.loop.settle(START)
    assert everything(run) == everything(undisturbed)
    assert run.serving.generation() == undisturbed.serving.generation()


def test_what_a_person_asks_for_is_done_once(make: Make) -> None:
    run = make(policy={"retrain_on": ()})
    run.loop.settle(START)
    asked = PlannedAction(verb="force", why="a person in a hurry", arguments={"code": "blunder.py"})
    first = run.loop.by_hand(asked, "by-hand/1", LATER)
    assert (first.outcome, run.loop.by_hand(asked, "by-hand/1", LATER)) == ("done", first)
    found = releases(run)
    assert found.live is not None
    assert found.standby is not None
    assert (found.live.release, found.standby.release) == ("r-002", "r-001")
    assert run.ledger.count(TrainingTried) == 1, "a person's training is none of the loop's own"
    back = run.loop.by_hand(PlannedAction(verb="rollback", why="it was wrong", arguments={}), "by-hand/2", LATER)
    assert back.summary.startswith("r-002 rolled back to r-001: it was wrong")
    assert releases(run).live == releases(run).named("r-001")
    again = run.loop.by_hand(PlannedAction(verb="rollback", why="again", arguments={}), "by-hand/3", LATER)
    assert (again.outcome, again.summary) == ("refused", "there is no release to go back to from r-001")
    unknown = PlannedAction(verb="promote", why="a slip", arguments={"release": "r-009"})
    slip = run.loop.by_hand(unknown, "by-hand/4", LATER)
    assert (slip.outcome, slip.summary.partition(" (")[0]) == ("failed", "no release is called 'r-009'")


def test_a_blunder_that_was_forced_live_is_undone_by_the_loop(make: Make) -> None:
    run = make(policy={"retrain_on": (), "watch": 9 * 86_400.0})
    run.replay(START + timedelta(days=2))
    forced = START + timedelta(days=2)
    asked = PlannedAction(verb="force", why="a person in a hurry", arguments={"code": "blunder.py"})
    run.loop.by_hand(asked, "by-hand/1", forced)
    run.replay(START + timedelta(days=10))
    found = releases(run)
    assert found.live is not None
    assert found.live.release == "r-001"
    blunder = found.named("r-002")
    assert blunder is not None
    assert blunder.stage == "rolled_back"
    why = next(e.fact.why for e in run.ledger.entries(ReleaseMoved, prefix="release:r-002:rolled_back"))
    assert re.match(r"r-001 does better than r-002 on the same rows: [\w.]+ \+", why), why


class Few(Record, kw_only=True):
    """A training that cannot be: why, and what the summary says."""

    known: int
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Few(known=25, said="too few labelled rows: 25, need 30"),
        Few(known=45, said="too few training rows"),
    ],
    ids=["too few rows", "all rows in the holdout"],
)
def test_too_few_rows_are_told_once_and_tried_again_with_more(make: Make, case: Few) -> None:
    run = make()
    plenty = run.history
    labelled = plenty.drop_nulls("sold_out")
    run.actor.datasets = run.observer.datasets = HistoricDatasets(run.system, labelled.head(case.known))
    passes = run.loop.settle(START)
    assert [done.actions for done in passes] == [("collect",), ("train",), ()]
    assert passes[-1].reason == "would train, but no source gave new labelled rows since the last training"
    (failed,) = [e.fact for e in run.ledger.entries(ActionFinished) if e.fact.outcome == "failed"]
    assert case.said in failed.summary
    assert [e.fact.model for e in run.ledger.entries(TrainingTried)] == [""]
    assert [d.actions for d in run.loop.settle(START + timedelta(hours=1))] == [("collect",), ()]
    run.actor.datasets = run.observer.datasets = run.gate.datasets = HistoricDatasets(run.system, plenty)
    assert run.loop.settle(START + timedelta(days=1))[-1].reason.startswith("nothing to do: r-001 is live")


BROKEN = {
    "raises": ("def train(train, valid, params):\n    raise ValueError('no flour')\n", "train() raised ValueError"),
    "cannot be imported": ("import nothing_of_this_name\ndef train(t, v, p): ...\n", "ModuleNotFoundError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_code_that_fails_is_told_once_and_the_live_model_stays(make: Make, case: str) -> None:
    run = make(own=True, policy={"retrain_on": (Trigger(cause="code_changed"),), "cooldown": 0.0})
    run.loop.settle(START)
    model = Path(run.system.folder) / "model.py"
    model.write_text(BROKEN[case][0])
    passes = run.loop.settle(LATER)
    assert [done.actions for done in passes] == [("collect",), ("train",), ()]
    (failed,) = [e.fact for e in run.ledger.entries(ActionFinished) if e.fact.outcome == "failed"]
    assert BROKEN[case][1] in failed.summary
    live = releases(run).live
    assert live is not None
    assert live.release == "r-001"
    assert run.ledger.count(TrainingFailed) <= 1
    model.write_text((Path(__file__).parents[2] / "systems" / "bakery" / "model.py").read_text() + "\nGOOD = 1\n")
    assert run.loop.settle(LATER + timedelta(days=1))[1].actions == ("train",)


@pytest.mark.parametrize("source", ["def train(:\n", "x = 1\n"], ids=["does not parse", "has no train"])
def test_code_that_cannot_be_read_is_told_and_the_live_model_stays(make: Make, source: str) -> None:
    run = make(own=True, policy={"retrain_on": (Trigger(cause="code_changed"),)})
    run.loop.settle(START)
    model = Path(run.system.folder) / "model.py"
    good = model.read_text()
    model.write_text(source)
    run.loop.settle(LATER)
    told = [e.fact for e in run.ledger.entries(ActionFinished) if e.fact.outcome == "failed"]
    assert [(fact.verb, "model.py" in fact.summary) for fact in told] == [("train", True)], "once, not in every pass"
    live = releases(run).live
    assert live is not None
    assert live.release == "r-001"
    model.write_text(good)
    assert run.loop.settle(LATER)[-1].actions == ()


def test_a_stage_at_a_time(make: Make) -> None:
    """Shadow, canary and live in as many passes, each with its evidence; the former one stands by, then is let go."""
    run = make(policy={"retrain_on": (Trigger(cause="schedule", amount=5 * 86_400.0),)})
    run.replay(START + timedelta(days=16))
    to = [(e.fact.release, e.fact.source, e.fact.to) for e in run.ledger.entries(ReleaseMoved)]
    second = [move[1:] for move in to if move[0] == "r-002"]
    assert second[:2] == [(None, "candidate"), ("candidate", "shadow")] or second[1] == ("candidate", "rejected")
    passed = next((name for name, _, stage in to if stage == "live" and name != "r-001"), None)
    assert passed is not None, to
    stages = [stage for name, _, stage in to if name == passed]
    assert stages[:4] == ["candidate", "shadow", "canary", "live"]
    assert ("r-001", "live", "shadow") in to
    for entry in run.ledger.entries(ReleaseMoved, prefix=f"release:{passed}:"):
        assert entry.fact.why


def test_a_policy_of_live_alone_goes_there_from_the_gate(make: Make) -> None:
    run = make(policy={"retrain_on": (), "release": (ReleaseStep(stage="live"),)})
    run.loop.settle(START)
    assert [e.fact.to for e in run.ledger.entries(ReleaseMoved)] == ["candidate", "live"]
    assert run.ledger.count(PassPlanned) + 1 == run.ledger.count(PassFinished)
    assert run.ledger.count(ActionIntended) == 3
