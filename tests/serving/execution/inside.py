"""One system's batcher in this process: real models, real threads, real telemetry, and callers that remember."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from tests.serving import models

from trimtab.records.blobs import Blobs
from trimtab.records.model import Route
from trimtab.serving.execution.batcher import Batcher
from trimtab.serving.execution.book import Book
from trimtab.serving.execution.identifiers import Identifiers
from trimtab.serving.execution.lane import Limits
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.questions import Question
from trimtab.serving.execution.shadow import Shadows
from trimtab.serving.http.bodies.plain import render
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Fleet, load_fleet
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.writing.known import KnownIds
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

REGRESSION = models.signature("regression", classes=())


class Listener:
    """A caller: what it asked, what it was told, and when."""

    question: Question

    def __init__(self) -> None:
        self.gone = False
        self.body: dict[str, Any] | None = None
        self.error: RefusalError | None = None
        self.at = 0.0
        self.times = 0

    def answer(self, status: int, body: bytes) -> None:
        assert status == 200
        self.body = orjson.loads(body)
        self._told()

    def refuse(self, error: RefusalError) -> None:
        self.error = error
        self._told()

    @property
    def told(self) -> bool:
        return self.times > 0

    @property
    def scores(self) -> list[float]:
        assert self.body is not None, self.error
        return [one["score"] for one in self.body["predictions"]]

    @property
    def releases(self) -> list[str]:
        assert self.body is not None, self.error
        return [one["release"] for one in self.body["predictions"]]

    @property
    def status(self) -> int:
        return 200 if self.error is None else self.error.status

    def _told(self) -> None:
        self.at = time.perf_counter()
        self.times += 1


class Inside:
    """A state folder and its batcher, on the running loop."""

    def __init__(
        self, root: Path, threads: int = 2, limits: Limits | None = None, segment_bytes: int = 64 * 2**20
    ) -> None:
        self.blobs = Blobs(root / "blobs")
        self.telemetry = TelemetryWriter(root / "telemetry", limit=segment_bytes, owing=self._owes)
        self.book = Book(self.telemetry, Metrics(), KnownIds())
        limits = limits or Limits()
        loop = asyncio.get_running_loop()
        self.shadows = Shadows(loop, self.book, busy=lambda: self.batcher.busy, limit=limits.run)
        self.batcher = Batcher(loop, self.book, Identifiers(), self.shadows.take, threads, limits)
        self.fleet = Fleet(-1, ())
        self.generation = 0

    def route(self, *those: Route, canary_by: str = "") -> None:
        self.generation += 1
        wanted = models.routes(self.generation, *those)
        wanted = type(wanted)(
            generation=wanted.generation,
            system=wanted.system,
            routes=those,
            written=wanted.written,
            canary_by=canary_by,
        )
        self.fleet = load_fleet(wanted, self.blobs, self.fleet)
        self.batcher.enter(self.fleet)
        self.shadows.enter(self.fleet)

    def ask(self, rows: Sequence[Any], ids: Sequence[str] | None = None, **wishes: Any) -> Listener:
        """Asks as a protocol would; a refusal is told to the listener."""
        caller = Listener()
        live = self.fleet.live
        assert live is not None
        question = Question(caller, self.fleet, live, render, time.perf_counter())
        for name, value in wishes.items():
            setattr(question, name, value)
        try:
            question.ask(rows)
            question.identify(None if ids is None else list(ids), "ids")
            self.batcher.submit(question)
        except RefusalError as error:
            caller.refuse(error)
        caller.question = question
        return caller

    def _owes(self, segment: str) -> bool:
        return self.book.owes(segment)

    def close(self) -> None:
        self.batcher.close()
        self.shadows.close()
        self.telemetry.close()

    def reader(self) -> TelemetryReader:
        reader = TelemetryReader(self.telemetry.folder)
        reader.refresh()
        return reader


async def told(callers: Sequence[Listener], seconds: float = 10.0) -> None:
    """Waits until every caller has been told something."""
    until = time.perf_counter() + seconds
    while not all(caller.told for caller in callers):
        assert time.perf_counter() < until, f"{sum(not one.told for one in callers)} callers were told nothing"
        await asyncio.sleep(0.001)


def row(distance: float, carrier: str = "AA") -> dict[str, Any]:
    return {"distance": distance, "carrier": carrier}
