"""How a system stands, told from the ledger alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.loop.conftest import BAKERY
from tests.loop.observed import NOW, verdict

from trimtab.declaration.load import load
from trimtab.loop.status import Status, newest_verdicts, read_status
from trimtab.records.facts import (
    ActionFinished,
    AnyFact,
    Cause,
    PassFinished,
    Recalibrated,
    ReleaseMoved,
    VerdictsGiven,
)
from trimtab.records.ledger import Ledger

SYSTEM = load(BAKERY)


def status_after(*facts: tuple[str, AnyFact]) -> Status:
    with Ledger.open(None) as ledger:
        for hour, (key, fact) in enumerate(facts):
            ledger.append(key, fact, at=NOW + timedelta(hours=hour))
        return read_status(SYSTEM, ledger)


def moved(release: str, source: Any, to: Any) -> tuple[str, AnyFact]:
    fact = ReleaseMoved(release=release, model=f"m-{release}", source=source, to=to, why="a reason")
    return f"release:{release}:{to}:1", fact


def finished(number: str, *actions: str, reason: str = "", causes: tuple[Cause, ...] = ()) -> tuple[str, AnyFact]:
    return f"pass:{number}", PassFinished(number=number, causes=causes, actions=actions, reason=reason)


def given(place: str, number: str, *verdicts: Any) -> tuple[str, AnyFact]:
    return f"verdicts:{place}:x:{number}", VerdictsGiven(place=place, subject="x", verdicts=verdicts)


def outcome(name: str, verb: str, came_to: Any) -> tuple[str, AnyFact]:
    return f"outcome:{name}", ActionFinished(action=name, verb=verb, outcome=came_to, summary=f"{verb} {came_to}")


def test_before_the_first_pass_everything_is_unknown() -> None:
    status = status_after()
    assert (status.at, status.live, status.reason) == (None, None, "the loop has not run yet")
    assert [v.metric for v in status.verdicts] == [r.metric for r in SYSTEM.requirements]
    assert {(v.status, v.reason) for v in status.verdicts} == {("unknown", "not measured yet")}


def test_it_tells_the_newest_pass_and_where_releases_stand() -> None:
    cause = Cause(name="schedule", evidence="it is time")
    status = status_after(
        moved("r-001", None, "candidate"),
        moved("r-001", "candidate", "live"),
        finished("1", reason="nothing to do"),
        moved("r-002", None, "candidate"),
        moved("r-002", "candidate", "rejected"),
        moved("r-003", None, "candidate"),
        finished("2", "train", causes=(cause,)),
    )
    assert status.live is not None
    assert status.live.release == "r-001"
    assert [other.release for other in status.others] == ["r-003"]
    assert status.counts == {"live": 1, "retired": 0, "rejected": 1, "rolled_back": 0}
    assert (status.at, status.reason, status.causes) == (NOW + timedelta(hours=6), "train", (cause,))


def test_it_tells_what_is_added_to_answers() -> None:
    shifts = [
        (f"recalibrated:{n}", Recalibrated(offset=offset, rows=10, why="")) for n, offset in enumerate((0.2, -0.1))
    ]
    assert status_after().offset == 0.0
    assert status_after(*shifts).offset == -0.1


AUC = SYSTEM.requirements[0]
BEFORE, LIVE, NEWER = (
    verdict("quality.roc_auc", status, limit=AUC.limit, place=place)
    for status, place in (("met", "release"), ("unknown", "live"), ("broken", "live"))
)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([("release", BEFORE)], BEFORE),
        ([("live", LIVE), ("release", BEFORE)], LIVE),
        ([("live", LIVE), ("live", NEWER)], NEWER),
        ([("live", NEWER), ("live", LIVE)], LIVE),
        ([("release", BEFORE), ("live", verdict("quality.roc_auc", "met", limit=0.1))], BEFORE),
    ],
    ids=["before release", "live comes first", "the newest", "the newest again", "another limit is another one"],
)
def test_each_requirement_has_its_newest_verdict(verdicts: Any, expected: Any) -> None:
    with Ledger.open(None) as ledger:
        for number, (place, each) in enumerate(verdicts):
            key, fact = given(place, str(number), each)
            ledger.append(key, fact, at=NOW)
        found = newest_verdicts(SYSTEM, ledger)
    assert found[0] == expected
    assert {v.status for v in found[1:]} == {"unknown"}


def test_a_failure_is_shown_until_the_same_went_well() -> None:
    failed = outcome("1", "train", "failed")
    assert [f.summary for f in status_after(failed).failed] == ["train failed"]
    assert [f.verb for f in status_after(failed, outcome("2", "collect", "done")).failed] == ["train"]
    assert status_after(failed, outcome("2", "train", "done")).failed == ()
    assert status_after(failed, outcome("2", "train", "refused")).failed == ()
