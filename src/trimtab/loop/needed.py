"""How far back the loop looks into the telemetry: what is older decides nothing any more."""

from __future__ import annotations

from datetime import datetime, timedelta

from trimtab.declaration.system import System
from trimtab.loop.releases import Releases

_UNDECLARED = timedelta(days=30)
"""More than any window that nobody declares: surprise looks 17 days back, besides the label's delay."""


def needed_since(system: System, releases: Releases, now: datetime) -> datetime:
    """The moment from which on predictions may still be asked for: the longest declared window before `now` and the
    label's delay before that; and since when the releases that are compared stand where they stand."""
    longest = max([system.policy.window, *(r.window or 0.0 for r in system.requirements)])
    since = now - max(timedelta(seconds=longest), _UNDECLARED) - timedelta(seconds=system.labelled.label_delay)
    compared = [one.since for one in (releases.challenger, releases.standby) if one is not None]
    return min([since, *compared])
