"""Where every release stands, told from the ledger alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trimtab.records.base import Record
from trimtab.records.fact import Fact
from trimtab.records.facts import ReleaseMoved
from trimtab.records.model import Stage

IN_FLIGHT: tuple[Stage, ...] = ("candidate", "shadow", "canary")


class ReleaseState(Record, kw_only=True):
    """One release: its stage since when, and whether it is a former live release that stands by in shadow."""

    release: str
    model: str
    stage: Stage
    since: datetime
    standby: bool = False
    moves: int = 1


class Releases(Record, kw_only=True):
    """Every release, oldest first."""

    all: tuple[ReleaseState, ...] = ()

    @property
    def live(self) -> ReleaseState | None:
        """The release that answers."""
        return next((r for r in self.all if r.stage == "live"), None)

    @property
    def challenger(self) -> ReleaseState | None:
        """The release on its way to live, if there is one."""
        return next((r for r in reversed(self.all) if r.stage in IN_FLIGHT and not r.standby), None)

    @property
    def standby(self) -> ReleaseState | None:
        """The former live release, still in shadow beside its successor."""
        return next((r for r in reversed(self.all) if r.standby), None)

    def named(self, name: str) -> ReleaseState | None:
        """The release called `name`, or the newest release of the model called so (four characters that begin one model
        only are enough)."""
        exact = [r for r in self.all if name in (r.release, r.model)]
        close = exact or [r for r in self.all if len(name) >= 4 and r.model.startswith(name)]
        return close[-1] if len({r.model for r in close}) == 1 else None

    def next_name(self) -> str:
        """The name that the next release takes."""
        return f"r-{len(self.all) + 1:03d}"


def fold(facts: Iterable[tuple[datetime, Fact]]) -> Releases:
    """Replay the moves: the last one of each release is where it stands."""
    states: dict[str, ReleaseState] = {}
    for at, fact in facts:
        if isinstance(fact, ReleaseMoved):
            before = states.get(fact.release)
            states[fact.release] = ReleaseState(
                release=fact.release,
                model=fact.model,
                stage=fact.to,
                since=at,
                standby=fact.to == "shadow" and fact.source == "live",
                moves=1 + (before.moves if before else 0),
            )
    return Releases(all=tuple(states.values()))
