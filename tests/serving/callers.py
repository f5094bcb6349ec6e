"""Callers that ask a server all the while, in threads, and keep what they get."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from tests.serving.running import Running

from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client

ROW = {"distance": 1.0, "carrier": "AA"}


class Callers:
    """Threads that ask from the start of the block to its end: each runs `ask` with its number and with what tells it
    that the block is over."""

    def __init__(self, ask: Callable[[int, threading.Event], None], count: int) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=ask, args=(number, self._over)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Load(Callers):
    """Callers that ask without pause and keep all they get; none of them ever tries again."""

    def __init__(self, server: Running, callers: int = 3, system: str = "") -> None:
        super().__init__(self._ask, callers)
        self.answers: list[tuple[float, float, float]] = []  # asked, answered, score
        self.failures: list[str] = []
        self._url = server.url
        self._system = system

    def _ask(self, _: int, over: threading.Event) -> None:
        with Client(self._url, patience=0.0, system=self._system) as client:
            while not over.is_set():
                asked = time.monotonic()
                try:
                    score = client.predict([ROW, ROW])[1].score
                except Exception as error:  # any failure at all is what the test is about
                    self.failures.append(str(error))
                else:
                    self.answers.append((asked, time.monotonic(), float(score)))  # type: ignore[arg-type]


class Replay(Callers):
    """Callers with ids of their own that try again whenever the server goes, as a replay does."""

    def __init__(self, server: Running, callers: int, rows: int = 8) -> None:
        super().__init__(self._ask, callers)
        self.answered: dict[str, float] = {}
        self.truths: list[str] = []
        self.errors: list[str] = []
        self._server = server
        self._rows = rows

    def check(self) -> None:
        """Every answered row is in the telemetry exactly once, with its answer and its truth, and with what the shadow
        said of it."""
        assert self.errors == [], self.errors
        with self._server.client() as client:
            client.settle()
        reader = self._server.reader()
        frame = reader.predictions()
        twice = frame.filter(frame.select("id", "release").is_duplicated())
        assert twice.is_empty(), twice
        answers = frame.filter(frame["stage"] != "shadow")
        scores = dict(zip(answers["id"], answers["score"], strict=True))
        assert len(scores) == len(answers), "a row has one answer, however often it was asked for"
        lost = [name for name in self.answered if name not in scores]
        assert not lost, lost
        wrong = {name: (got, scores[name]) for name, got in self.answered.items() if abs(got - scores[name]) > 1e-6}
        assert not wrong, wrong
        owed = set(self.answered) - set(frame.filter(stage="shadow")["id"])
        assert not owed, f"owed by the shadow when it was killed, and not paid: {owed}"
        untold = set(self.truths) - set(frame.filter(frame["label"].is_not_null())["id"])
        assert not untold, untold
        assert reader.orphans == 0, reader.orphans

    def _ask(self, caller: int, over: threading.Event) -> None:
        with self._server.client(patience=20.0) as client:
            turn = 0
            while not over.is_set():
                ids = [f"{caller}-{turn}-{row}" for row in range(self._rows)]
                rows = [{"distance": float(turn + row), "carrier": "AA"} for row in range(self._rows)]
                try:
                    answers = client.predict(rows, ids)
                    unknown = client.feedback([Truth(ids[0], "late")])
                except Exception as error:  # whatever reaches the caller is a lost request
                    self.errors.append(repr(error))
                    return
                self.answered.update((one.id, one.score) for one in answers)  # type: ignore[misc]
                self.truths.append(ids[0])
                self.errors += [f"{name} is unknown" for name in unknown]
                turn += 1
