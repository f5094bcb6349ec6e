"""A store of features that is slow, or never answers: nobody waits for it longer than they said, or than is right."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.serving import models
from tests.serving.execution.inside import REGRESSION, Inside, Listener, told

from trimtab.inference.lookup.port import Known, View
from trimtab.serving.execution import lookups
from trimtab.serving.execution.lookups import Lookups
from trimtab.serving.execution.questions import Question
from trimtab.serving.http.bodies.plain import render


class Store:
    """Knows the distance of every carrier, once it is `open`."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def views(self) -> Sequence[View]:
        return [View(name="flown", entity=("carrier",), columns=("distance",))]

    def read(self, view: str, keys: Sequence[tuple[Any, ...]], at: Sequence[int]) -> list[Known | None]:
        self.open.wait()
        return [Known(moment, (3.0,)) for moment in at]

    def close(self) -> None:
        self.open.set()


class Looking:
    """One system with such a store."""

    def __init__(self, root: Path) -> None:
        self.inside = Inside(root)
        bundle = models.bundle(self.inside.blobs, models.linear([1.0, 0.0], 1.0), REGRESSION)
        self.inside.route(models.route("r1", bundle))
        self.store = Store()
        loop = asyncio.get_running_loop()
        self.lookups = Lookups(loop, self.store, self.inside.batcher.submit, self.inside.book.metrics)
        self.lookups.refresh()

    def ask(self, seconds: float | None = None) -> Listener:
        caller, fleet = Listener(), self.inside.fleet
        assert fleet.live is not None
        question = Question(caller, fleet, fleet.live, render, time.perf_counter())
        question.lookups = self.lookups
        if seconds is not None:
            question.deadline = question.started + seconds
        question.ask([{"carrier": "AA"}])
        self.lookups.ask(question)
        return caller

    def close(self) -> None:
        self.lookups.close()
        self.inside.close()


def test_who_has_no_time_left_is_told_so_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        looking = Looking(tmp_path)
        hasty, patient = looking.ask(0.05), looking.ask(30.0)
        began = time.perf_counter()
        await told([hasty])
        assert hasty.status == 504
        assert time.perf_counter() - began < 1.0
        looking.store.open.set()
        await told([patient])
        assert patient.scores == [4.0]
        await asyncio.sleep(0.05)
        assert (hasty.times, patient.times) == (1, 1)
        counts = looking.inside.book.metrics.of("r1")
        assert (counts.expired, counts.rows["live"]) == (1, 1)
        assert looking.inside.batcher.waiting == 0
        looking.close()

    asyncio.run(main())


def test_a_store_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_TOO_LONG", 0.2)

    async def main() -> None:
        looking = Looking(tmp_path)
        asked = [looking.ask(), looking.ask(30.0)]
        await told(asked, 5.0)
        assert [one.status for one in asked] == [503, 503]
        looking.store.open.set()
        await asyncio.sleep(0.3)
        assert [one.times for one in asked] == [1, 1]
        again = looking.ask()
        await told([again])
        assert again.scores == [4.0]
        looking.close()

    asyncio.run(main())
