"""What a pass decides: a table of the cases that matter, and what holds in every case."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.loop.observed import (
    DAY,
    LIVE,
    NOW,
    POLICY,
    compared,
    observations,
    policies,
    release,
    seen,
    trained,
    verdict,
)

from trimtab.declaration.system import Policy, ReleaseStep
from trimtab.loop.passes.causes import diagnose
from trimtab.loop.passes.observation import Observation, Progress
from trimtab.loop.passes.plan import Plan, make_plan, next_step
from trimtab.loop.releases import ReleaseState
from trimtab.records.facts import Cause

STANDBY = release("r-000", "shadow", days=2, standby=True)
DUE = (Cause(name="schedule", evidence="last trained 30 d ago"),)


def planned(observation: Observation, policy: Policy = POLICY) -> Plan:
    return make_plan(observation, diagnose(observation, policy), policy)


def told(plan: Plan) -> str:
    """The verb and what it is about, or the reason for none."""
    if not plan.actions:
        return plan.reason
    (action,) = plan.actions
    about = action.arguments
    return " ".join(filter(None, (action.verb, about.get("release"), about.get("to"), about.get("back_to"))))


def on_its_way(stage: str, rows: int = 1000, verdict_of: str | None = None, **known: Any) -> dict[str, Any]:
    """A challenger and how far it has come."""
    progress = Progress(rows=rows, compared=compared(verdict_of) if verdict_of else None, **known)
    return {"others": (release("r-002", stage),), "challenger": progress}  # type: ignore[arg-type]


def lead(difference: float, *, low: float, likewise: float | None = None) -> Progress:
    """The former model ahead by so much, with this lower end, and by so much in a second figure."""
    first = msgspec.structs.replace(compared("no_difference", "r-000"), difference=difference, low=low)
    second = () if likewise is None else (msgspec.structs.replace(first, difference=likewise, low=likewise - 1),)
    return Progress(rows=500, compared=first, likewise=second)


def beside(status: str, *, ahead: float) -> Progress:
    """The live model broken on rows where the former one's verdict is `status`, and the former one's lead in value."""
    figure = 0.8 if status == "met" else 0.5
    return msgspec.structs.replace(
        lead(ahead, low=ahead - 1),
        verdicts=(verdict("quality.roc_auc", status, figure=figure),),
        beside=(verdict("quality.roc_auc", "broken", figure=0.5),),
    )


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing is due": ({}, "nothing to do: r-001 is live and no declared cause holds"),
    "no model yet": ({"live": None, "last_training": None}, "train"),
    "no model and no rows": (
        {"live": None, "last_training": None, "known_rows": 0},
        "would train, but no labelled row is known yet",
    ),
    "no model, and trained in vain on the same rows": (
        {"live": None, "last_training": trained(0, rows=1200)},
        "would train, but no source gave new labelled rows since the last training",
    ),
    "no model, and trained in vain on fewer rows": ({"live": None, "last_training": trained(0, rows=1100)}, "train"),
    "due on schedule": ({"last_training": trained(20)}, "train"),
    "due, but nothing new to learn": (
        {"last_training": trained(20, rows=1200)},
        "would train, but no source gave new labelled rows since the last training",
    ),
    "the code changed, on the same rows": ({"last_training": trained(0.1, rows=1200, code="old")}, "train"),
    "a candidate waits": ({"others": (release("r-002", "candidate"),)}, "gate r-002"),
    "a candidate comes before a training": (
        {"others": (release("r-002", "candidate"),), "last_training": trained(20)},
        "gate r-002",
    ),
    "too few shadow rows": (on_its_way("shadow", 99), "r-002 is in shadow: 99 of 100 labelled shadow rows"),
    "shadow passed": (on_its_way("shadow", 100, "no_difference"), "move r-002 canary"),
    "shadow passed, better": (on_its_way("shadow", 100, "better"), "move r-002 canary"),
    "worse in shadow": (on_its_way("shadow", 100, "worse"), "move r-002 rejected"),
    "worse so far, but too early to tell": (
        on_its_way("shadow", 10, "worse"),
        "r-002 is in shadow: 10 of 100 labelled shadow rows",
    ),
    "too few canary answers": (on_its_way("canary", 49), "r-002 is in canary: 49 of 50 canary answers"),
    "canary passed": (on_its_way("canary", 50), "promote r-002 live"),
    "canary breaks the server": (
        on_its_way("canary", 5, verdicts=(verdict("serving.error_rate", "broken"),)),
        "move r-002 rolled_back",
    ),
    "canary breaks a figure that is not of the server": (
        on_its_way("canary", 50, verdicts=(verdict("quality.roc_auc", "broken"),)),
        "promote r-002 live",
    ),
    "the former model does better": (
        {"others": (STANDBY,), "standby": Progress(rows=500, compared=compared("better", "r-000"))},
        "rollback r-001 r-000",
    ),
    "the former model does no better": (
        {"others": (STANDBY,), "standby": Progress(rows=500, compared=compared("no_difference", "r-000"))},
        "nothing to do: r-001 is live and no declared cause holds",
    ),
    "the live model breaks what the former one holds on the same rows": (
        {"others": (STANDBY,), "standby": beside("met", ahead=0.1)},
        "rollback r-001 r-000",
    ),
    "both break it": (
        {"others": (STANDBY,), "standby": beside("broken", ahead=0.1)},
        "nothing to do: r-001 is live and no declared cause holds",
    ),
    "the live model breaks it, but earns more": (
        {"others": (STANDBY,), "standby": beside("met", ahead=-0.1)},
        "nothing to do: r-001 is live and no declared cause holds",
    ),
    "a lead that one look would take for real, and seven do not": (
        {"others": (STANDBY,), "standby": lead(0.5, low=0.1)},
        "nothing to do: r-001 is live and no declared cause holds",
    ),
    "a lead that stands seven looks": (
        {"others": (STANDBY,), "standby": lead(0.5, low=0.2)},
        "rollback r-001 r-000",
    ),
    "a lead in one figure and a loss in another": (
        {"others": (STANDBY,), "standby": lead(0.5, low=0.4, likewise=-0.1)},
        "nothing to do: r-001 is live and no declared cause holds",
    ),
    "the live model fails to answer": (
        {
            "others": (STANDBY,),
            "standby": Progress(rows=0),
            "live_verdicts": (verdict("serving.error_rate", "broken"),),
        },
        "rollback r-001 r-000",
    ),
    "the live model fails to answer and nothing stands by": (
        {"live_verdicts": (verdict("serving.error_rate", "broken"),)},
        "1 requirement(s) broken, but the policy names no cause to act on",
    ),
    "undoing comes before a challenger": (
        {
            "others": (STANDBY, release("r-002", "canary")),
            "standby": Progress(rows=500, compared=compared("better", "r-000")),
            "challenger": Progress(rows=1000),
        },
        "rollback r-001 r-000",
    ),
    "watched long enough": (
        {"others": (release("r-000", "shadow", days=7, standby=True),), "standby": Progress(rows=9)},
        "move r-000 retired",
    ),
    "letting go comes before a training": (
        {"others": (release("r-000", "shadow", days=8, standby=True),), "last_training": trained(20)},
        "move r-000 retired",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_case(case: str) -> None:
    known, expected = dict(CASES[case][0]), CASES[case][1]
    others = known.pop("others", ())
    if "live_verdicts" in known:
        known["live"], verdicts = LIVE, known.pop("live_verdicts")
        observation = msgspec.structs.replace(seen(*others, **known), live=verdicts)
    else:
        observation = seen(*others, **known)
    assert told(planned(observation)) == expected


def test_the_cooldown_holds_a_training_back_and_says_how_long() -> None:
    observation = seen(last_training=trained(1))
    plan = make_plan(observation, DUE, POLICY)
    assert not plan.actions
    assert "would train (schedule: last trained 30 d ago), but the cooldown lasts 2.0 d more" in plan.reason
    after = msgspec.structs.replace(observation, last_training=trained(3))
    assert told(make_plan(after, DUE, POLICY)) == "train"


def test_a_person_is_waited_for() -> None:
    human = msgspec.structs.replace(POLICY, approve="human")
    passed = on_its_way("canary", 50)
    observation = seen(*passed["others"], challenger=passed["challenger"])
    plan = planned(observation, human)
    assert not plan.actions
    assert "r-002 waits for a person: `trimtab promote r-002`" in plan.reason
    assert told(planned(observation, POLICY)) == "promote r-002 live"
    earlier = on_its_way("shadow", 100, "better")
    assert told(planned(seen(*earlier["others"], challenger=earlier["challenger"]), human)) == "move r-002 canary"


def test_a_stage_that_the_policy_no_longer_has_is_left_behind() -> None:
    """The declaration may change while a release is on its way."""
    at_once = msgspec.structs.replace(POLICY, release=(ReleaseStep(stage="live"),))
    for stage in ("shadow", "canary"):
        there = on_its_way(stage, 0)
        assert told(planned(seen(*there["others"], challenger=there["challenger"]), at_once)) == "promote r-002 live"


@pytest.mark.parametrize(
    ("stage", "champion", "following"),
    [
        ("candidate", True, "shadow"),
        ("shadow", True, "canary"),
        ("canary", True, "live"),
        ("candidate", False, "live"),
        ("shadow", False, "live"),
    ],
)
def test_the_way_to_live(stage: str, champion: bool, following: str) -> None:
    assert next_step(POLICY, stage, champion=champion).stage == following


@settings(max_examples=150)
@given(observation=observations(), policy=policies())
def test_what_holds_of_every_plan(observation: Observation, policy: Policy) -> None:
    causes = diagnose(observation, policy)
    plan = make_plan(observation, causes, policy)
    # Pure: the same again, and nothing that it was given has changed.
    again = msgspec.json.decode(msgspec.json.encode(observation), type=Observation)
    assert make_plan(again, causes, policy) == plan
    # At most one action, and what takes in what is new; nothing is done without a reason, nor left undone without one.
    verbs = [action.verb for action in plan.actions]
    assert len(verbs) <= 1 or verbs == ["collect", "recalibrate"]
    shifts = policy.recalibrate is not None and observation.releases.live is not None
    lets_go = policy.recalibrate is None and observation.offset != 0
    assert ("recalibrate" in verbs) == (observation.turn == 1 and (shifts or lets_go))
    assert all(action.why for action in plan.actions)
    assert plan.actions or plan.reason
    for action in plan.actions:
        _allowed(action.verb, action.arguments, observation, causes, policy)


def _allowed(
    verb: str, about: dict[str, str], observation: Observation, causes: tuple[Cause, ...], policy: Policy
) -> None:
    releases, progress = observation.releases, observation.challenger
    worse = progress is not None and progress.compared is not None and progress.compared.verdict == "worse"
    names = {cause.name for cause in causes}
    assert (verb in ("collect", "recalibrate")) == (observation.turn == 1)
    if verb == "train":
        last = observation.last_training
        assert causes, "it trains for no cause"
        assert observation.known_rows > 0
        if last is not None and not names & {"no_model", "code_changed"}:
            assert NOW - last.at >= timedelta(seconds=policy.cooldown), "it trains within the cooldown"
        assert releases.challenger is None, "it trains while another is on its way"
    if verb == "promote" or (verb == "move" and about["to"] in ("canary", "live")):
        challenger = releases.challenger
        assert challenger is not None
        assert about["release"] == challenger.release
        assert challenger.stage != "candidate", "it goes on without having passed the gate"
        assert not worse, "what compared worse goes on"
    assert verb != "promote" or policy.approve == "auto", "it does not wait for a person"
    if verb == "rollback":
        assert releases.live is not None
        assert releases.standby is not None
        assert (about["release"], about["back_to"]) == (releases.live.release, releases.standby.release)
    if verb == "move" and about["to"] == "retired":
        former = _named(observation, about["release"])
        assert former.standby
        assert NOW - former.since >= timedelta(seconds=policy.watch)


def _named(observation: Observation, name: str) -> ReleaseState:
    found = observation.releases.named(name)
    assert found is not None
    return found


@settings(max_examples=60)
@given(observation=observations(turn=2), policy=policies(), rows=st.integers(1, 500))
def test_harm_is_undone_before_anything_else(observation: Observation, policy: Policy, rows: int) -> None:
    releases = observation.releases
    if releases.live is None or releases.standby is None:
        return
    harmed = msgspec.structs.replace(
        observation, standby=Progress(rows=rows, compared=compared("better", releases.standby.release, "live"))
    )
    assert told(planned(harmed, policy)) == f"rollback {releases.live.release} {releases.standby.release}"
    first = msgspec.structs.replace(harmed, turn=1)
    assert planned(first, policy).actions[0].verb == "collect"


@settings(max_examples=60)
@given(observation=observations(turn=2), policy=policies())
def test_with_no_cause_and_nothing_on_its_way_nothing_is_done(observation: Observation, policy: Policy) -> None:
    calm = msgspec.structs.replace(
        observation,
        releases=msgspec.structs.replace(
            observation.releases, all=tuple(r for r in observation.releases.all if r.stage == "live")
        ),
    )
    plan = make_plan(calm, (), policy)
    assert plan.actions == ()
    assert plan.causes == ()


def test_a_settled_pass_stays_settled_until_the_day_it_is_due() -> None:
    for days in (0.0, 4.9):
        assert not planned(seen(last_training=trained(5 + days))).actions
    assert told(planned(seen(last_training=trained(10)))) == "train"
    assert POLICY.retrain_on[0].amount == DAY * 10


@pytest.mark.parametrize(
    ("minutes", "outside", "does"),
    [
        (1, 1, "trains again in 9 min, as the last was ended from outside"),
        (10, 1, "train"),
        (10, 2, "trains again in 10 min, as the last was ended from outside"),
        (20, 2, "train"),
        (319, 6, "trains again in 1 min, as the last was ended from outside"),
        (320, 6, "train"),
        (9999, 7, "would train, but the last 7 trainings were ended from outside: `trimtab train` tries again"),
    ],
)
@pytest.mark.parametrize("live", [LIVE, None])
def test_what_somebody_else_ended_is_begun_again_each_time_later(
    minutes: float, outside: int, does: str, live: ReleaseState | None
) -> None:
    """Whatever the policy lists, the cooldown says, or new rows there are."""
    last = trained(minutes / 1440, rows=1200, outside=outside)
    assert told(planned(seen(live=live, last_training=last))) == does
    if live is not None:
        mended = seen(live=live, last_training=msgspec.structs.replace(last, code="before it was mended"))
        assert told(planned(mended, Policy())).startswith("nothing to do")


def test_what_failed_by_itself_is_left_to_a_person() -> None:
    last = trained(5, rows=1200, failed=True)
    assert planned(seen(live=None, last_training=last)).reason == (
        "would train, but no source gave new labelled rows since the last training, which failed: "
        "`trimtab train` tries it again"
    )
