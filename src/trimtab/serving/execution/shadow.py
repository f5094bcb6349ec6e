"""Shadow releases: they score what was answered, afterwards, in a thread of their own, and nobody waits for them.

What they owe is written with the answer itself, so a server that is killed in between pays it when it starts again.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import orjson

from trimtab.errors import TemporaryError, TrimtabError
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.telemetry.recovery import Debt

_MOST_ROWS = 500_000  # rows that may wait; more are left unscored and counted


class Shadows:
    """`backlog` counts the rows that wait, `due` those that a former run left and nobody has taken up; `take` and `pay`
    belong to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, book: Book) -> None:
        self.backlog = 0
        self.due = 0
        self._loop = loop
        self._book = book
        self._queue: queue.SimpleQueue[Owed | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, owed: Owed) -> None:
        """Has the rows scored, soon."""
        if self.backlog + len(owed.ids) > _MOST_ROWS:
            self._book.metrics.shadow_dropped += len(owed.ids) * len(owed.releases)
            return
        if self._thread is None:  # most of the time there is no shadow release, and then no thread
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()
        self.backlog += len(owed.ids)
        self._queue.put(owed)

    def pay(self, debts: Iterable[Debt], fleet: Fleet) -> None:
        """Takes up what a former run owed, as far as the releases are still in shadow."""
        self.due = 0
        for debt in debts:
            one = next((one for one in fleet.shadows if one.release == debt.release), None)
            answered = debt.answered
            if one is None or (one.key != answered.encoding and not answered.rows):
                continue
            matrix = np.frombuffer(debt.matrix, np.float32).reshape(-1, answered.width)
            rows = orjson.loads(answered.rows) if answered.rows else None
            self.take(
                Owed(
                    fleet,
                    [one],
                    answered.run,
                    answered.batch,
                    answered.ids,
                    answered.at,
                    answered.encoding,
                    matrix,
                    rows,
                )
            )

    def close(self) -> None:
        """Lets the thread end."""
        self._queue.put(None)

    def _run(self) -> None:
        while (owed := self._queue.get()) is not None:
            for release in owed.releases:
                self._tell(self._score(owed, release))
            self._tell(partial(self._forget, len(owed.ids)))

    def _tell(self, done: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(done)
        except RuntimeError:  # the loop has closed: what is owed is paid at the next start
            return

    def _forget(self, rows: int) -> None:
        self.backlog -= rows

    def _score(self, owed: Owed, release: Release) -> Callable[[], None]:
        """Scores in this thread; what it returns is called on the loop."""
        start, rows = time.perf_counter(), len(owed.ids)
        try:
            matrix = owed.matrix if release.key == owed.key else release.matrix(owed.rows or ())
            scores = release.scores(matrix)
        except Exception as error:  # a shadow may fail in any way: it is counted, nothing more
            told = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
            return lambda: self._keep(rows, lambda: self._book.failed(release, rows, told))
        seconds = (time.perf_counter() - start) / rows
        answers = scores.tobytes()
        return lambda: self._keep(rows, lambda: self._book.shadowed(owed, release, matrix, answers, seconds))

    def _keep(self, rows: int, write: Callable[[], None]) -> None:
        try:
            write()
        except TemporaryError:  # the disk refuses: what the shadow scored is not kept, and counted
            self._book.metrics.shadow_dropped += rows
