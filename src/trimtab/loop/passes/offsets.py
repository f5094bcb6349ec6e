"""What was added to the log odds of answers, and when: told from the ledger, which counts the generations of routes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from trimtab.declaration.system import System
from trimtab.loop.ports import Serving
from trimtab.loop.releases import fold
from trimtab.monitoring.recalibration import REACH, Recalibration, recalibration, unshifted
from trimtab.records.facts import Recalibrated, ReleaseMoved
from trimtab.records.ledger import Ledger

if TYPE_CHECKING:
    import polars as pl

SMALLEST_STEP = 0.01
"""In log odds: a quarter of a percentage point at one half. Less is not worth new routes."""


def generation_of(ledger: Ledger) -> int:
    """The generation of routes that the ledger asks for: one more with every fact that changes them."""
    return ledger.count(ReleaseMoved) + ledger.count(Recalibrated)


def offset_in_force(ledger: Ledger) -> float:
    """What is added to the log odds of answers now."""
    entry = ledger.last(Recalibrated)
    return entry.fact.offset if entry is not None else 0.0


def as_fitted(ledger: Ledger, predictions: pl.DataFrame) -> pl.DataFrame:
    """Predictions with each score as the model gave it, before it was shifted by what was in force then."""
    since, offsets = [0], [0.0]
    for number, entry in enumerate(ledger.entries((ReleaseMoved, Recalibrated)), start=1):
        if isinstance(entry.fact, Recalibrated):
            since.append(number)
            offsets.append(entry.fact.offset)
    if len(since) == 1 or predictions.is_empty():
        return predictions
    place = np.searchsorted(since, predictions["generation"].to_numpy(), side="right") - 1
    raw = unshifted(predictions["score"].to_numpy(), np.array(offsets)[place])
    return predictions.with_columns(score=raw)


def newest_truth(system: System, ledger: Ledger, serving: Serving, now: datetime) -> Recalibration:
    """What the truth of the newest answers asks to be added to their log odds. Those of releases that were rolled back
    ask for nothing: whatever was wrong with them is not wrong with those that answer now."""
    policy = system.policy
    if policy.recalibrate is None:
        return Recalibration(offset=0.0, rows=0, reason="none: the policy does not recalibrate")
    releases = fold((entry.at, entry.fact) for entry in ledger.entries(ReleaseMoved))
    undone = [one.release for one in releases.all if one.stage == "rolled_back"]
    span = timedelta(seconds=policy.window + REACH * policy.recalibrate + system.labelled.label_delay)
    rows = serving.predictions(now - span, now)
    rows = rows.filter((rows["stage"] != "shadow") & ~rows["release"].is_in(undone))
    rows = rows.filter(rows["label"].is_not_null() & (rows["truth_at"] <= now))
    rows = as_fitted(ledger, rows)
    return recalibration(
        rows["label"].to_numpy(),
        rows["score"].to_numpy(),
        rows["at"].to_physical().to_numpy(),
        rows["truth_at"].to_physical().to_numpy(),
        now=round(now.timestamp() * 1e6),
        half_life=policy.recalibrate,
        judged=policy.window,
    )
