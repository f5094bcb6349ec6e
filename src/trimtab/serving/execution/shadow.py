"""Shadow releases: they score what was answered, afterwards, in a thread of their own, and nobody waits for them.

What they owe is written with the answer itself, so a server that is killed in between pays it when it starts again.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from array import array
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import orjson

from trimtab.errors import TemporaryError, TrimtabError
from trimtab.inference.tensors.sent import EncodedRows, SentRow, from_payload
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.pieces import Matrix, Rows
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.telemetry.recovery import Debt

_MOST_ROWS = 500_000  # rows that may wait; more are left unscored and counted
_MOST_BYTES = 256 * 2**20  # of rows of tensors, as they were sent


class Shadows:
    """`backlog` counts the rows that wait, `due` those that a former run left and nobody has taken up; `take` and `pay`
    belong to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, book: Book) -> None:
        self.backlog = 0
        self.due = 0
        self._bytes = 0
        self._loop = loop
        self._book = book
        self._queue: queue.SimpleQueue[Owed | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, owed: Owed) -> None:
        """Has the rows scored, soon."""
        size = owed.matrix.size if isinstance(owed.matrix, EncodedRows) else 0
        if self.backlog + len(owed.ids) > _MOST_ROWS or self._bytes + size > _MOST_BYTES:
            self._book.metrics.shadow_dropped += len(owed.ids) * len(owed.releases)
            return
        if self._thread is None:  # most of the time there is no shadow release, and then no thread
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()
        self.backlog += len(owed.ids)
        self._bytes += size
        self._queue.put(owed)

    def pay(self, debts: Iterable[Debt], fleet: Fleet) -> None:
        """Takes up what a former run owed, as far as the releases are still in shadow."""
        self.due = 0
        for debt in debts:
            one = next((one for one in fleet.shadows if one.release == debt.release), None)
            answered = debt.answered
            sent = _sent(debt)
            if one is None or (one.key != answered.encoding and not answered.rows and not sent):
                continue
            matrix: Matrix = EncodedRows((), sent)
            rows: Rows | None = sent
            if not sent:
                matrix = np.frombuffer(debt.matrix, np.float32).reshape(-1, answered.width)
                rows = orjson.loads(answered.rows) if answered.rows else None
            key = "" if sent else answered.encoding  # files are decoded anew
            self.take(Owed(fleet, [one], answered.run, answered.batch, answered.ids, answered.at, key, matrix, rows))

    def close(self) -> None:
        """Lets the thread end."""
        self._queue.put(None)

    def _run(self) -> None:
        while (owed := self._queue.get()) is not None:
            for release in owed.releases:
                self._tell(self._score(owed, release))
            size = owed.matrix.size if isinstance(owed.matrix, EncodedRows) else 0
            self._tell(partial(self._forget, len(owed.ids), size))

    def _tell(self, done: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(done)
        except RuntimeError:  # the loop has closed: what is owed is paid at the next start
            return

    def _forget(self, rows: int, size: int) -> None:
        self.backlog -= rows
        self._bytes -= size

    def _score(self, owed: Owed, release: Release) -> Callable[[], None]:
        """Scores in this thread; what it returns is called on the loop."""
        start, rows = time.perf_counter(), len(owed.ids)
        try:
            matrix = owed.matrix if release.key == owed.key else release.matrix(owed.rows or ())
            outcome = release.answer(matrix)
        except Exception as error:  # a shadow may fail in any way: it is counted, nothing more
            told = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
            return lambda: self._keep(rows, lambda: self._book.failed(release, rows, told))
        seconds = (time.perf_counter() - start) / rows
        return lambda: self._keep(rows, lambda: self._book.shadowed(owed, release, matrix, outcome, seconds))

    def _keep(self, rows: int, write: Callable[[], None]) -> None:
        try:
            write()
        except TemporaryError:  # the disk refuses: what the shadow scored is not kept, and counted
            self._book.metrics.shadow_dropped += rows


def _sent(debt: Debt) -> list[SentRow]:
    """The rows of tensors that are owed, as they were sent; empty where they are columns."""
    inputs = debt.answered.inputs
    if inputs is None or not inputs.sizes:
        return []
    rows, start, view = [], 0, memoryview(debt.matrix)
    for size, form in zip(array("q", inputs.sizes), inputs.shapes, strict=True):
        rows.append(from_payload(view[start : start + size], form))
        start += size
    return rows
