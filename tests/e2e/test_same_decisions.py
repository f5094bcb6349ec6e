"""A backtest says what the loop would have done: it decides as the replay over the real server does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.e2e.replaying import TIDES

from trimtab.records.studies import BacktestFinished
from trimtab.wiring.history import backtest, history_of, replay
from trimtab.wiring.place import Place, open_place, span_of

UNTIL = datetime(2024, 2, 17, tzinfo=UTC)
_DECISIONS = ("train", "gate", "move", "promote", "rollback")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The harbour without its incident, which a backtest leaves out."""
    with open_place(TIDES, tmp_path / "state", lasting=False, until=UNTIL) as opened:
        calm = msgspec.structs.replace(span_of(opened.system), incidents=())
        opened.system = msgspec.structs.replace(opened.system, replay=calm)
        yield opened


class Diary:
    """What the loop did and why, without what it collected."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._verb = ""

    def __call__(self, word: str, text: str) -> None:
        if word in ("done", "refused", "failed"):
            if self._verb in _DECISIONS:
                self.lines.append((word, text))
        else:
            self._verb = word
            if word in _DECISIONS:
                self.lines.append((word, text))


def nothing(*_: object) -> None:
    """Hears and says nothing."""


@pytest.mark.timeout(240)
def test_a_backtest_decides_as_the_replay_does(place: Place, tmp_path: Path) -> None:
    served, embedded = Diary(), Diary()
    with place.lead():
        found = replay(place, tick=nothing, say=served, started=nothing)
    with open_place(TIDES, tmp_path / "other", memory=True) as fresh:  # no model is known there yet
        fresh.system = place.system
        told = backtest(fresh, "declared", history_of(fresh), tick=nothing, say=embedded)
    assert embedded.lines == served.lines
    verbs = [word for word, _ in served.lines]
    assert {"train", "gate", "move", "promote", "refused"} <= set(verbs)
    assert plain(told) == plain(found)


def plain(result: BacktestFinished) -> BacktestFinished:
    """Without what only a server can measure."""
    holds = {name: share for name, share in result.holds.items() if not name.startswith(("serving.", "resources."))}
    return msgspec.structs.replace(result, holds=holds)
