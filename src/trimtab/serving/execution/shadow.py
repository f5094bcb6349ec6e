"""Shadow releases: they score what was answered, afterwards, beside the answers, and nobody waits for them.

What they owe is written with the answer itself, so a server that is killed in between pays it when it starts again.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable

import numpy as np
import orjson

from trimtab.inference.tensors.sent import EncodedRows, SentRow, from_payload
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.follower import Follower
from trimtab.serving.execution.pieces import Matrix, Rows
from trimtab.serving.routing.releases import AnyCore, Fleet
from trimtab.serving.telemetry.writing.recovery import Debt

_MOST_ROWS = 500_000  # rows that may wait; more are left unscored and counted
_MOST_BYTES = 256 * 2**20


class Shadows:
    """`backlog` counts the rows that wait, `due` those that a former run left and nobody has taken up. Belongs to the
    event loop. `busy` says whether answers wait for a model, `limit` is how long a thread may take over some rows."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        book: Book,
        *,
        busy: Callable[[], bool] = lambda: False,
        limit: float = 10.0,
    ) -> None:
        self.backlog = 0
        self.due = 0
        self._bytes = 0
        self._loop = loop
        self._book = book
        self._busy = busy
        self._limit = limit
        self._open: dict[int, int] = {}  # how many releases have still to finish with what is owed, by its identity
        self._followers: dict[AnyCore, Follower] = {}
        self._current: set[AnyCore] = set()

    def enter(self, fleet: Fleet) -> None:
        """The fleet is in force from now on: the models of former shadows go once they owe nothing."""
        self._current = {one.core for one in fleet.shadows}
        self._let_go()

    def take(self, owed: Owed) -> None:
        """Has the rows scored, soon."""
        size = owed.matrix.size if isinstance(owed.matrix, EncodedRows) else owed.matrix.nbytes
        if self.backlog + len(owed.ids) > _MOST_ROWS or self._bytes + size > _MOST_BYTES:
            self._book.metrics.shadow_dropped += len(owed.ids) * len(owed.releases)
            self._book.paid(owed)
            return
        self.backlog += len(owed.ids)
        self._bytes += size
        self._open[id(owed)] = len(owed.releases)
        for release in owed.releases:
            follower = self._followers.get(release.core)
            if follower is None:
                follower = self._follow(release.core)
            follower.take(owed, release)

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
            owed = Owed(fleet, [one], answered.run, answered.batch, answered.ids, answered.at, key, matrix, rows)
            self._book.owe([owed])
            self.take(owed)

    def close(self) -> None:
        """Lets the threads end."""
        for follower in self._followers.values():
            follower.close()

    def _let_go(self) -> None:
        for core in [one for one, queue in self._followers.items() if one not in self._current and not queue]:
            self._followers.pop(core).close()

    def _follow(self, core: AnyCore) -> Follower:
        follower = self._followers[core] = Follower(
            self._loop, core, self._book, limit=self._limit, busy=self._busy, finished=self._finished
        )
        return follower

    def _finished(self, owed: Owed) -> None:
        left = self._open[id(owed)] - 1
        if left:
            self._open[id(owed)] = left
            return
        del self._open[id(owed)]
        self._book.paid(owed)
        self.backlog -= len(owed.ids)
        self._bytes -= owed.matrix.size if isinstance(owed.matrix, EncodedRows) else owed.matrix.nbytes
        self._let_go()


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
