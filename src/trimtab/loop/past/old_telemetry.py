"""Telemetry that is old: how far back the loop still looks, and what may go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from trimtab.declaration.system import System
from trimtab.loop.releases import Releases
from trimtab.records.facts import TelemetryPruned
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.serving.telemetry.maintenance.retention import Prunable, prune

_UNDECLARED = timedelta(days=30)
"""More than any window that nobody declares: surprise looks 17 days back, besides the label's delay."""


def needed_since(system: System, releases: Releases, now: datetime) -> datetime:
    """The moment from which on predictions may still be asked for: the longest declared window before `now` and the
    label's delay before that; and since when the releases that are compared stand where they stand."""
    longest = max([system.policy.window, *(r.window or 0.0 for r in system.requirements)])
    since = now - max(timedelta(seconds=longest), _UNDECLARED) - timedelta(seconds=system.labelled.label_delay)
    compared = [one.since for one in (releases.challenger, releases.standby) if one is not None]
    return min([since, *compared])


def remove(ledger: Ledger, folder: Path, those: Sequence[Prunable], before: datetime, now: datetime) -> None:
    """Removes compacted segments, all of them older than `before`. The ledger is told first: a run that was killed in
    between is run again, and finds fewer."""
    answers, truths = sum(one.answers for one in those), sum(one.truths for one in those)
    fact = TelemetryPruned(before=before, segments=len(those), answers=answers, truths=truths)
    key = f"pruned:{those[-1].name}:{len(those)}"
    if ledger.get(key) is None:
        ledger.append_all([Draft(key=key, fact=fact, at=now)])
    prune(folder, those)
