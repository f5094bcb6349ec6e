"""Nothing that the loop still looks at counts as old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.loop.conftest import Make
from tests.loop.observed import release

from trimtab.declaration.system import Trigger
from trimtab.loop.passes.reconcile import releases_of
from trimtab.loop.past.old_telemetry import needed_since
from trimtab.loop.releases import Releases
from trimtab.records.facts import ReleaseMoved
from trimtab.records.journal import Draft

START = datetime(2024, 1, 21, 6, tzinfo=UTC)
LATER = START + timedelta(days=120)


class Watched:
    """Serving that remembers how far back it was asked."""

    def __init__(self, serving: Any) -> None:
        self._serving = serving
        self.asked: list[datetime] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._serving, name)

        def asked(*given: Any) -> Any:
            self.asked += [one for one in given if isinstance(one, datetime)]
            return method(*given)

        return asked


@pytest.mark.parametrize("window", [None, 80 * 86_400.0])
@pytest.mark.parametrize("standby", [False, True])
def test_a_pass_looks_back_no_further_than_what_is_kept(make: Make, window: float | None, standby: bool) -> None:
    causes = ("concept_drift", "data_drift", "requirement_broken")
    run = make(policy={"retrain_on": tuple(Trigger(cause=cause) for cause in causes)})
    run.replay(START + timedelta(days=3))
    if window is not None:
        first, *others = run.system.requirements
        first = msgspec.structs.replace(first, window=window)
        run.observer.system = run.system = msgspec.structs.replace(run.system, requirements=(first, *others))
    if standby:
        move = run.ledger.last(ReleaseMoved)
        assert move is not None
        was = msgspec.structs.replace(move.fact, release="r-000", source="live", to="shadow")
        run.ledger.append_all([Draft(key="moved by a test", fact=was, at=START + timedelta(days=2))])
    run.observer.serving = watched = Watched(run.serving)  # type: ignore[assignment]
    run.observer.look(LATER, 2, "test")
    assert watched.asked
    needed = needed_since(run.system, releases_of(run.ledger), LATER)
    assert needed <= min(watched.asked)
    assert (needed < START + timedelta(days=3)) == standby


def test_what_is_compared_is_kept_since_it_stands_there(make: Make) -> None:
    system = make(policy={"retrain_on": ()}).system
    now = datetime(2024, 3, 1, tzinfo=UTC)
    alone = needed_since(system, Releases(), now)
    assert alone <= now - timedelta(days=30)
    shadow = release("r-002", "shadow", days=200)
    assert needed_since(system, Releases(all=(shadow,)), now) == shadow.since
