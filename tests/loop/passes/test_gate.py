"""The release gate: its rule by a table, and its judgement of real small models on real rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.loop.conftest import Make, Run
from tests.loop.observed import compared, verdict

from trimtab.declaration.requirements.grammar import Context, parse_requirement
from trimtab.loop.passes.gate import Decision, decide
from trimtab.loop.past.scored import scores_on
from trimtab.loop.releases import ReleaseState, fold
from trimtab.loop.status import read_status
from trimtab.records.facts import Compared, ModelTrained, PlannedAction, ReleaseMoved, VerdictsGiven
from trimtab.records.requirement import Requirement, Verdict

EARLY = datetime(2024, 1, 21, 6, tzinfo=UTC)
LATE = datetime(2024, 2, 20, 6, tzinfo=UTC)

MET = verdict("quality.roc_auc", "met", figure=0.8)
LIKELY = verdict("quality.roc_auc", "unknown", figure=0.72)
UNLIKELY = verdict("quality.roc_auc", "unknown", figure=0.68)
UNMEASURED = verdict("quality.roc_auc", "unknown")
BROKEN = verdict("quality.roc_auc", "broken", figure=0.6)
OTHER = verdict("quality.recall", "broken", figure=0.1)
BETTER, WORSE, SAME = compared("better"), compared("worse"), compared("no_difference")
AHEAD = msgspec.structs.replace(SAME, difference=0.1)
BEHIND = msgspec.structs.replace(SAME, difference=-0.1)

EXCUSED = (
    "excused from quality.roc_auc, which is broken (it is broken): "
    "the live model does not hold it on the same rows either: it is"
)

CASES: list[tuple[list[Verdict], list[Verdict] | None, list[Compared], bool, str]] = [
    ([MET], None, [], True, "passed 1 requirement"),
    ([], None, [], True, "passed 0 requirements"),
    ([MET, LIKELY], None, [], True, "passed 2 requirements (too little evidence to prove quality.roc_auc)"),
    ([UNLIKELY], None, [], False, "quality.roc_auc unknown: it is unknown"),
    ([UNMEASURED], None, [], False, "quality.roc_auc unknown"),
    ([MET, OTHER, BROKEN], None, [], False, "quality.recall broken: it is broken; quality.roc_auc broken"),
    ([MET], [MET], [BETTER], True, "passed 1 requirement; quality.log_loss +1 (+0.5..+1.5, 200 rows)"),
    ([MET], [MET], [AHEAD], True, "passed"),
    ([MET], [MET], [WORSE], False, "worse than the live model"),
    ([MET], [MET], [BETTER, WORSE], False, "worse than the live model"),
    ([MET], [MET], [BEHIND], False, "no better than the live model"),
    ([MET], [MET], [SAME], False, "no better than the live model"),
    ([MET], [MET], [BEHIND, AHEAD], True, "passed"),
    ([BROKEN], [MET], [BETTER], False, "quality.roc_auc broken"),
    (
        [BROKEN, MET],
        [BROKEN, MET],
        [BETTER],
        True,
        f"passed 1 of 2 requirements; {EXCUSED} broken (it is broken); qual",
    ),
    ([MET, BROKEN], [MET, UNMEASURED], [BETTER], True, f"passed 1 of 2 requirements; {EXCUSED} unknown (it is unkn"),
    ([BROKEN, MET], [MET, BROKEN], [BETTER], False, "quality.roc_auc broken"),  # asked for twice: overall, and by slice
    ([BROKEN], [BROKEN], [BEHIND], False, "no better than the live model"),
    ([BROKEN, OTHER], [BROKEN], [BETTER], False, "quality.recall broken"),
]


@pytest.mark.parametrize(("challenger", "champion", "comparisons", "passed", "why"), CASES)
def test_the_rule(challenger: Any, champion: Any, comparisons: Any, passed: bool, why: str) -> None:
    decision = decide(challenger, champion, comparisons)
    assert decision.passed is passed
    assert decision.why.startswith(why)


@pytest.fixture
def run(make: Make) -> Run:
    return make()


def train(run: Run, now: datetime, code: str = "model.py") -> tuple[ReleaseState, ModelTrained]:
    """A candidate trained for real, with its facts in the ledger."""
    run.datasets.collect(now)
    result, _ = run.actor._trained(code, "a test", f"test-{now:%m-%d}-{code}", now)
    assert result.outcome == "done", result.summary
    run.ledger.append_all(result.facts)
    releases = fold((entry.at, entry.fact) for entry in run.ledger.entries(ReleaseMoved))
    return releases.all[-1], run.observer.model(releases.all[-1].model)


def judged(run: Run, release: ReleaseState, model: ModelTrained, champion: ModelTrained | None) -> Decision:
    decision, facts = run.gate.judge(release, model, champion, f"test-{release.release}", LATE)
    run.ledger.append_all(facts)
    return decision


def test_a_first_model_is_judged_on_its_requirements_alone(run: Run) -> None:
    release, model = train(run, EARLY)
    decision = judged(run, release, model, None)
    assert decision.passed, decision.why
    (given,) = [entry.fact for entry in run.ledger.entries(VerdictsGiven)]
    assert [v.metric for v in given.verdicts] == [
        "quality.roc_auc",
        "quality.accuracy",
        "value.per_1000",
        "resources.train_time",
    ]
    assert {v.status for v in given.verdicts} <= {"met", "unknown"}
    assert given.verdicts[0].figure == pytest.approx(model.metrics["quality.roc_auc"].figure)
    assert given.verdicts[1].slice in ("abbey", "bridge", "corner", "dock")
    assert given.verdicts[3].figure is not None
    assert run.ledger.count(Compared) == 0


def test_a_requirement_that_nothing_can_meet_refuses_a_first_model(make: Make) -> None:
    asked = Requirement(
        metric="quality.roc_auc", comparison=">=", limit=0.999, places=("release", "live"), text=">= 0.999"
    )
    run = make(requirements=(asked,))
    release, model = train(run, EARLY)
    decision = judged(run, release, model, None)
    assert not decision.passed
    assert decision.why.startswith("quality.roc_auc broken")


@pytest.mark.parametrize(("seconds", "passed"), [(0.1, True), (1e-9, False)])
def test_a_model_is_explainable_when_a_row_is_explained_in_time(make: Make, seconds: float, passed: bool) -> None:
    asked = parse_requirement("explainable", True, Context(task="binary_classification", explain_time=seconds))
    run = make(requirements=(asked,))
    release, model = train(run, EARLY)
    decision = judged(run, release, model, None)
    assert decision.passed is passed, decision.why
    (given,) = [entry.fact for entry in run.ledger.entries(VerdictsGiven)]
    (found,) = given.verdicts
    assert (found.metric, found.status) == ("serving.explain_time", "met" if passed else "broken")
    assert found.figure is not None
    assert 1e-9 < found.figure < 0.1


def test_more_rows_pass_and_a_blunder_does_not(run: Run) -> None:
    _, champion = train(run, EARLY)
    release, challenger = train(run, LATE)
    blunder, spoilt = train(run, LATE, "blunder.py")
    assert challenger.evaluated is not None
    assert challenger.rows > champion.rows

    good = judged(run, release, challenger, champion)
    assert good.passed, good.why
    bad = judged(run, blunder, spoilt, champion)
    assert not bad.passed
    facts = {(entry.fact.release, entry.fact.metric): entry.fact for entry in run.ledger.entries(Compared)}
    metrics = ("value.per_1000", "quality.log_loss", "quality.roc_auc")
    assert set(facts) == {(r.release, m) for r in (release, blunder) for m in metrics}
    assert facts[blunder.release, "quality.log_loss"].verdict == "worse"
    for fact in facts.values():
        assert fact.place == "release"
        assert fact.champion == champion.identity.id
        assert fact.rows == facts[release.release, "value.per_1000"].rows
        assert fact.low <= fact.difference <= fact.high


def test_a_challenger_is_compared_by_what_has_not_seen_the_holdout(run: Run) -> None:
    """What is shipped was fitted on the holdout too; the comparison must be made by what was fitted before."""
    _, champion = train(run, EARLY)
    release, challenger = train(run, LATE)
    rows = run.gate._holdout(challenger, LATE)
    label = rows["sold_out"].cast(float).to_numpy()
    assert challenger.evaluated is not None
    shipped, fair = (scores_on(run.gate.blobs, which, rows) for which in (challenger.bundle, challenger.evaluated))
    assert not (shipped == fair).all()
    judged(run, release, challenger, champion)
    loss = next(e.fact for e in run.ledger.entries(Compared) if e.fact.metric == "quality.log_loss")
    old = scores_on(run.gate.blobs, champion.bundle, rows)

    def mean_loss(score: Any) -> float:
        score = np.clip(score, 1e-7, 1 - 1e-7)
        return float(-(label * np.log(score) + (1 - label) * np.log1p(-score)).mean())

    assert loss.difference == pytest.approx(mean_loss(old) - mean_loss(fair), abs=1e-6)
    assert loss.rows == rows.height
    known = run.datasets.labelled(LATE)
    assert rows["_moment"].min() >= challenger.valid_from
    assert rows["_moment"].max() == challenger.valid_to == known.drop_nulls("sold_out")["_moment"].max()


def test_a_live_model_that_learned_from_the_holdout_is_compared_as_it_was_before(run: Run) -> None:
    """Trained again on the same rows, as after a change of code: what ships learned from all of them."""
    release, model = train(run, LATE)
    judged(run, release, model, model)
    compared = [e.fact for e in run.ledger.entries(Compared)]
    assert {fact.metric for fact in compared} == {"value.per_1000", "quality.log_loss", "quality.roc_auc"}
    assert [fact.difference for fact in compared] == [0, 0, 0]


def test_a_live_model_that_breaks_the_same_requirement_does_not_shield_itself(make: Make) -> None:
    """Both break it on the same rows; the better one may come in, for keeping the other breaks it just the same."""
    asked = Requirement(
        metric="quality.roc_auc", comparison=">=", limit=0.999, places=("release", "live"), text=">= 0.999"
    )
    run = make(requirements=(asked,))
    _, champion = train(run, LATE, "blunder.py")
    release, challenger = train(run, LATE)
    decision = judged(run, release, challenger, champion)
    assert decision.passed, decision.why
    told = "the live model does not hold it on the same rows either: it is broken ("
    assert decision.why.startswith("passed 0 of 1 requirements; excused from quality.roc_auc, which is broken (")
    assert told in decision.why
    ((found,),) = [entry.fact.verdicts for entry in run.ledger.entries(VerdictsGiven)]
    assert found.status == "broken"
    assert found.excused.startswith(told)


def test_what_a_release_was_excused_from_is_told_with_it(make: Make) -> None:
    """In the status, on the page of the report and in the reason of its move; a former ledger tells of none."""
    asked = Requirement(
        metric="quality.roc_auc", comparison=">=", limit=0.999, places=("release", "live"), text=">= 0.999"
    )
    run = make(requirements=(asked,), policy={"gate": False, "retrain_on": ()})
    train(run, LATE, "blunder.py")
    run.loop.settle(LATE)
    assert read_status(run.system, run.ledger).excused == {}
    release, model = train(run, LATE)
    champion = run.observer.model(fold((e.at, e.fact) for e in run.ledger.entries(ReleaseMoved)).all[0].model)
    decision = judged(run, release, model, champion)
    assert decision.passed, decision.why
    run.ledger.append_all([run.actor._step(release, "shadow", decision.why, LATE)])
    status = read_status(run.system, run.ledger)
    assert [v.metric for v in status.excused[release.release]] == ["quality.roc_auc"]
    assert list(status.excused) == [release.release]


def test_without_the_gate_a_blunder_would_go_live(make: Make) -> None:
    """The loop's own passes on a blunder: rejected by the gate, live where the policy has none."""
    stages = {}
    for gate in (True, False):
        run = make(policy={"gate": gate, "retrain_on": ()})
        assert [p.actions for p in run.loop.settle(EARLY)][-1] == ()
        live = fold((e.at, e.fact) for e in run.ledger.entries(ReleaseMoved)).live
        assert live is not None
        blunder, _ = train(run, LATE, "blunder.py")
        run.loop.settle(LATE)
        releases = fold((e.at, e.fact) for e in run.ledger.entries(ReleaseMoved))
        found = releases.named(blunder.release)
        assert found is not None
        stages[gate] = (found.stage, releases.live.release if releases.live else None)
    assert stages == {True: ("rejected", "r-001"), False: ("live", "r-002")}


def test_a_refusal_is_kept_with_its_reason(run: Run) -> None:
    run.loop.settle(EARLY)
    blunder, _ = train(run, LATE, "blunder.py")
    run.loop.by_hand(
        PlannedAction(verb="gate", why="a test", arguments={"release": blunder.release}), "test/gate", LATE
    )
    outcome = run.ledger.get("outcome:test/gate")
    assert outcome is not None
    assert outcome.fact.outcome == "refused"
    moved = list(run.ledger.entries(ReleaseMoved, prefix=f"release:{blunder.release}:rejected"))
    assert [entry.fact.source for entry in moved] == ["candidate"]
    assert moved[0].fact.why.startswith("quality.roc_auc unknown: ")
    assert moved[0].fact.why in outcome.fact.summary
