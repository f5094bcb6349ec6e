"""How a system stands, told from the ledger alone: no data is read, so it takes no time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from trimtab.declaration.system import System
from trimtab.loop.releases import IN_FLIGHT, ReleaseState, fold
from trimtab.records.base import Record
from trimtab.records.facts import ActionFinished, Cause, PassFinished, Recalibrated, ReleaseMoved, VerdictsGiven
from trimtab.records.ledger import Ledger
from trimtab.records.requirement import Verdict

_RECENT = 50
"""Actions that a failure is looked for in."""


class Status(Record, kw_only=True):
    """What `trimtab status` shows. `verdicts` has one line a requirement, the newest of each; `failed` are the newest
    actions of their verb where these failed; `excused` is what the release gate let a release through without, by the
    name of that one (live, or on its way); `offset` is what the newest truth adds to the log odds of answers."""

    system: str
    at: datetime | None
    reason: str
    live: ReleaseState | None
    others: tuple[ReleaseState, ...]
    verdicts: tuple[Verdict, ...]
    causes: tuple[Cause, ...]
    counts: dict[str, int]
    failed: tuple[ActionFinished, ...] = ()
    excused: dict[str, tuple[Verdict, ...]] = msgspec.field(default_factory=dict)
    offset: float = 0.0


def read_status(system: System, ledger: Ledger) -> Status:
    """The status after the newest pass."""
    releases = fold((entry.at, entry.fact) for entry in ledger.entries(ReleaseMoved))
    last, shift = ledger.last(PassFinished), ledger.last(Recalibrated)
    stages = [release.stage for release in releases.all]
    return Status(
        system=system.name,
        at=last.at if last else None,
        reason=_reason(last.fact) if last else "the loop has not run yet",
        live=releases.live,
        others=tuple(r for r in releases.all if r.stage in IN_FLIGHT),
        verdicts=newest_verdicts(system, ledger),
        causes=last.fact.causes if last else (),
        counts={stage: stages.count(stage) for stage in ("live", "retired", "rejected", "rolled_back")},
        failed=_failed(ledger),
        excused=_excused(ledger, [r.release for r in releases.all if r.stage in ("live", *IN_FLIGHT)]),
        offset=shift.fact.offset if shift is not None else 0.0,
    )


def newest_verdicts(system: System, ledger: Ledger) -> tuple[Verdict, ...]:
    """The newest verdict of each requirement: live if there is one, else where it was last measured; one that was never
    measured is unknown."""
    found: dict[tuple[str, str], Verdict] = {}
    for place in ("live", "data", "release"):
        entry = ledger.last(VerdictsGiven, prefix=f"verdicts:{place}:")
        for verdict in entry.fact.verdicts if entry else ():
            found.setdefault((verdict.metric, _limit(verdict.comparison, verdict.limit)), verdict)
    wanted = []
    for requirement in system.requirements:
        key = (requirement.metric, _limit(requirement.comparison, requirement.limit))
        wanted.append(
            found.get(key)
            or Verdict(
                metric=requirement.metric,
                status="unknown",
                comparison=requirement.comparison,
                limit=requirement.limit,
                unit=requirement.unit,
                scale=requirement.scale,
                place=requirement.places[0] if requirement.places else "live",
                reason="not measured yet",
            )
        )
    return tuple(wanted)


def _excused(ledger: Ledger, releases: Iterable[str]) -> dict[str, tuple[Verdict, ...]]:
    found: dict[str, tuple[Verdict, ...]] = {}
    for name in releases:
        entry = ledger.last(VerdictsGiven, prefix=f"verdicts:release:{name}:")
        if entry is not None and (let_off := tuple(v for v in entry.fact.verdicts if v.excused)):
            found[name] = let_off
    return found


def _failed(ledger: Ledger) -> tuple[ActionFinished, ...]:
    newest: dict[str, ActionFinished] = {}
    for entry in ledger.entries(ActionFinished, newest_first=True, limit=_RECENT):
        newest.setdefault(entry.fact.verb, entry.fact)
    return tuple(fact for fact in newest.values() if fact.outcome == "failed")


def _limit(comparison: str, limit: float) -> str:
    return f"{comparison}{limit!r}"


def _reason(done: PassFinished) -> str:
    return done.reason or ", ".join(done.actions)
