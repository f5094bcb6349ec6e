"""What the gate is for: a mistake in the user's code, which shows only after the buoy was silent for six hours, makes a
model that must not go live.

This fails when the gate is removed, or lets everything through.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.e2e.replaying import TIDES

from trimtab.declaration.tables.policy import parse_trigger
from trimtab.loop.past.history import MOMENT
from trimtab.records.studies import BacktestFinished
from trimtab.wiring.history import backtest, history_of
from trimtab.wiring.place import Place, open_place

UNTIL = datetime(2024, 2, 9, tzinfo=UTC)
SILENT = (datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 2, 1, 6, tzinfo=UTC))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The harbour until its concept changes, with the careless code and one training anew, on 6 February."""
    with open_place(TIDES, tmp_path / "state", memory=True, until=UNTIL) as opened:
        system = opened.system
        policy = msgspec.structs.replace(system.policy, retrain_on=(parse_trigger("schedule:5 d"),))
        model = msgspec.structs.replace(system.model, code="careless.py")
        opened.system = msgspec.structs.replace(system, policy=policy, model=model)
        yield opened


def run(place: Place, *, gate: bool) -> tuple[BacktestFinished, list[str]]:
    """The result, and what each gate said."""
    policy = msgspec.structs.replace(place.system.policy, gate=gate)
    place.system = msgspec.structs.replace(place.system, policy=policy)
    silent = pl.when(pl.col(MOMENT).is_between(*SILENT)).then(None).otherwise(pl.col("swell"))
    history = history_of(place).with_columns(swell=silent)
    said: list[str] = []
    verb = ""

    def say(word: str, text: str) -> None:
        nonlocal verb
        if word not in ("done", "refused", "failed"):
            verb = word
        elif verb == "gate":
            said.append(f"{word}: {text}")

    return backtest(place, "declared", history, tick=lambda *_: None, say=say), said


@pytest.mark.timeout(240)
def test_the_gate_keeps_a_harmful_model_from_being_live(place: Place) -> None:
    kept, (first, second) = run(place, gate=True)
    assert first.startswith("done: r-001 is live")
    assert second.startswith("refused: r-002 rejected: ")
    assert (kept.releases, kept.refused, kept.promotions) == (1, 1, ())

    let_through, (_, second) = run(place, gate=False)
    assert second.startswith("done: r-002 is live")
    (promotion,) = let_through.promotions
    assert (promotion.release, promotion.replaced, promotion.verdict) == ("r-002", "r-001", "worse")
    assert let_through.value < 0.75 * kept.value
    assert let_through.daily[:5] == kept.daily[:5]  # the same until then
