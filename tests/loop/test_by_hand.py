"""A person steps in after the loop was killed in the middle of a pass: the person's word is the last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.loop.conftest import Make

from trimtab.records.facts import PlannedAction

START = datetime(2024, 1, 21, 6, tzinfo=UTC)


class KilledError(Exception):
    """Stands for a kill at one instant: nothing after it is done."""


def test_what_a_killed_pass_had_planned_comes_before_a_persons_word(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(policy={"retrain_on": ()})
    gate = type(run.actor)._gate

    def killed(*_: Any) -> None:
        raise KilledError

    monkeypatch.setattr(type(run.actor), "_gate", killed)
    with pytest.raises(KilledError):
        run.loop.settle(START)
    monkeypatch.setattr(type(run.actor), "_gate", gate)
    asked = PlannedAction(verb="force", why="a person in a hurry", arguments={"code": "blunder.py"})
    done = run.loop.by_hand(asked, "by-hand/1", START)
    assert done.summary.startswith("r-002 is live")
    keys = [entry.key for entry in run.ledger.entries()]
    left_over = next(key for key in keys if key.startswith("release:r-001:live"))
    assert keys.index(left_over) < keys.index("intent:by-hand/1") < keys.index("release:r-002:live:1")
    assert run.serving.generation() == sum(key.startswith("release:") for key in keys)
