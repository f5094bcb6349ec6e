"""Go through history step by step: callers ask and later tell the truth, then the loop takes its passes.

A replay drives the real server, a backtest the embedded one; both are this one procedure, so that what a backtest says
is what the loop would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from trimtab.declaration.system import Incident, Replay, System
from trimtab.errors import TemporaryError
from trimtab.loop.passes.reconcile import Loop, stamp
from trimtab.loop.past.history import ASKED_AT, KNOWN_AT, MOMENT
from trimtab.loop.ports import Label, Traffic
from trimtab.records.base import SimulatedClock
from trimtab.records.facts import PassFinished, PlannedAction
from trimtab.records.ledger import Ledger

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

_HOUR = 3_600_000_000
_LIVES = 20

Tick = Callable[[datetime, int, int], None]
"""Told of each step taken: the simulated moment, steps done, steps in all."""


class Script:
    """Who asks what, when, and which truth comes out when: a history laid out once, so that a step only cuts slices.

    Callers ask at the end of the hour that a row's moment lies in, from `start` on.
    """

    def __init__(self, history: pl.DataFrame, system: System, start: datetime) -> None:
        asked = history.filter(history[MOMENT] > start)
        self.rows = _asked_at(asked, start)
        self.ids = row_ids(asked, system)
        self.labels = _labels(asked[str(system.labelled.label)])
        self._asked = asked[MOMENT].to_physical().to_numpy()
        self._told = asked[KNOWN_AT].to_physical().to_numpy()

    def asked(self, after: datetime, until: datetime) -> tuple[int, int]:
        """Positions of the rows whose prediction is asked for in (after, until]."""
        return _positions(self._asked, after, until)

    def told(self, after: datetime, until: datetime) -> tuple[int, int]:
        """Positions of the rows whose truth comes out in (after, until]."""
        return _positions(self._told, after, until)


def _labels(labels: pl.Series) -> list[Label | None]:
    """The truth as callers tell it: numbers as numbers, names as names."""
    named = not labels.dtype.is_numeric() and labels.dtype.to_python() is not bool
    return labels.cast(str if named else float).to_list()


def _positions(moments: NDArray[np.int64], after: datetime, until: datetime) -> tuple[int, int]:
    low, high = (int(moments.searchsorted(round(t.timestamp() * 1e6), side="right")) for t in (after, until))
    return low, high


@dataclass
class Replayer:
    """Everything a replay needs; `chunk` is how many seconds of callers are handed over at once."""

    system: System
    span: Replay
    script: Script
    loop: Loop
    traffic: Traffic
    clock: SimulatedClock
    ledger: Ledger
    chunk: float = 3600.0

    def run(self, tick: Tick) -> None:
        """Replay the whole span; one that was killed goes on with the first step that had not settled."""
        moments = list(steps(self.span))
        settled = settled_at(self.ledger)
        for done, (before, moment) in enumerate(zip([None, *moments], moments, strict=False)):
            if settled is not None and moment <= settled:
                tick(moment, done, len(moments) - 1)
                continue
            if before is not None and not self._begun(before, moment):
                self._callers_answered(before, moment)
            self.clock.set(moment)
            self._incidents(before, moment)
            self.loop.settle(moment)
            tick(moment, done, len(moments) - 1)

    def _begun(self, after: datetime, until: datetime) -> bool:
        """Whether a killed replay had come past this step's callers: asked again, they would be answered by releases
        that were routed only afterwards."""
        by_hand = (_name(incident) for incident in self._due(after, until))
        prefixes = [f"planned:{stamp(until)}/", *(f"intent:{name}" for name in by_hand)]
        return any(self.ledger.last(prefix=prefix) is not None for prefix in prefixes)

    def _callers_answered(self, after: datetime, until: datetime) -> None:
        """Hand over a step's callers until one life of the server has seen them all. A server that was killed has
        forgotten which answered rows its shadow releases still had to score; asked again it scores those."""
        for _ in range(_LIVES):
            life = self.traffic.incarnation()
            self._callers(after, until)
            self.traffic.drain()
            if self.traffic.incarnation() == life:
                return
        raise TemporaryError(f"the prediction server was restarted {_LIVES} times in one step", delay=5.0)

    def _callers(self, after: datetime, until: datetime) -> None:
        """Hand over what was asked, and the truth that came out, in (after, until]; doing it again changes nothing."""
        step = timedelta(seconds=self.chunk)
        while after < until:
            to = min(after + step, until)
            low, high = self.script.asked(after, to)
            if high > low:
                self.traffic.predict(self.script.rows[low:high], self.script.ids[low:high])
            low, high = self.script.told(after, to)
            told = [(i, label) for i in range(low, high) if (label := self.script.labels[i]) is not None]
            if told:
                self.traffic.truth([self.script.ids[i] for i, _ in told], [label for _, label in told], to)
            after = to

    def _due(self, after: datetime | None, until: datetime) -> list[Incident]:
        return [one for one in self.span.incidents if after is not None and after < one.at <= until]

    def _incidents(self, after: datetime | None, until: datetime) -> None:
        for incident in self._due(after, until):
            self.loop.by_hand(_on_purpose(incident), _name(incident), until)


def _asked_at(rows: pl.DataFrame, start: datetime) -> pl.DataFrame:
    import polars as pl  # heavy: only where rows are touched

    since = (pl.col(MOMENT) - start).dt.total_microseconds()
    hours = (since + _HOUR - 1) // _HOUR
    return rows.with_columns((pl.lit(start) + pl.duration(microseconds=hours * _HOUR)).alias(ASKED_AT))


def _name(incident: Incident) -> str:
    return f"by-hand/{stamp(incident.at)}"


def _on_purpose(incident: Incident) -> PlannedAction:
    what = "proposed as a challenger" if incident.gated else "made live past the gates"
    return PlannedAction(
        verb="propose" if incident.gated else "force",
        why=f"incident: {incident.code} is {what}",
        arguments={"code": incident.code},
    )


def steps(span: Replay) -> Iterator[datetime]:
    """The moments of the passes, from `start` to `end`."""
    moment = span.start
    while moment <= span.end:
        yield moment
        moment += timedelta(seconds=span.step)


def settled_at(ledger: Ledger) -> datetime | None:
    """The newest moment at which the loop found nothing more to do."""
    for entry in ledger.entries(PassFinished, newest_first=True):
        if not entry.fact.actions:
            return entry.at
    return None


def between(history: pl.DataFrame, column: str, after: datetime, until: datetime) -> pl.DataFrame:
    """Rows whose `column` (the history is in its order) lies in (after, until]."""
    moments = history[column].to_physical()
    low = moments.search_sorted(round(after.timestamp() * 1e6), side="right")
    high = moments.search_sorted(round(until.timestamp() * 1e6), side="right")
    return history.slice(int(low), int(high) - int(low))


def row_ids(rows: pl.DataFrame, system: System) -> list[str]:
    """The prediction id of each row: its key, parts joined by a slash."""
    import polars as pl  # heavy: only where rows are touched

    parts = [pl.col(name).cast(pl.String) for name in system.labelled.key]
    return rows.select(pl.concat_str(parts, separator="/")).to_series().to_list()
