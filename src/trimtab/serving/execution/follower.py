"""One shadow release: its own queue and its own thread, which gives way whenever somebody waits for an answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from trimtab.errors import TemporaryError, TrimtabError
from trimtab.inference.tensors.model import Outcome
from trimtab.inference.user_code import is_failure
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.crew import Crew, Job
from trimtab.serving.execution.pieces import Matrix, Part, joined, stacked
from trimtab.serving.routing.releases import AnyCore, Release

_LOG = logging.getLogger("trimtab.serving")
_SPAN = 0.01  # seconds that one turn of the thread should take
_LEAST = 8  # rows of a turn where more are due: much may be a cost that rows share
_LAG = 0.0005  # seconds until the event loop hears of a turn: beyond this it is busy with answers
_REST = 19.0  # turns that are left out after each one, at most: a twentieth of a core is the least
_ASIDE = 9.0  # turns that are left out, at the least, while answers are given, after one of the user's own code:
# it may hold the interpreter's lock, which the event loop needs and no clock shows
_SMOOTH = 0.2
_Scored = list["tuple[Due, Part | str]"]


class Due:
    """Rows that `release` owes; `begun` of them are scored or being scored, `parts` those that are."""

    __slots__ = ("begun", "owed", "parts", "release", "seconds")

    def __init__(self, owed: Owed, release: Release) -> None:
        self.owed = owed
        self.release = release
        self.begun = 0
        self.parts: list[Part] = []
        self.seconds = 0.0


class Follower:
    """Scores what is due, in order; belongs to the event loop. `busy` says whether answers wait for a model, `finished`
    hears of everything that is done, failed or dropped. A turn of its thread is short; when the loop is late to hear of
    one, or answers wait, it rests longer and longer before the next, and less and less once they do not. The user's own
    code rests long in any case while answers are given."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        core: AnyCore,
        book: Book,
        *,
        limit: float,
        busy: Callable[[], bool],
        finished: Callable[[Owed], None],
    ) -> None:
        self.rest = 0.0
        self._loop = loop
        self._book = book
        self._limit = limit
        self._busy = busy
        self._finished = finished
        self._due: deque[Due] = deque()
        self._crew = Crew(loop, "shadow", 1, limit, self._go)
        self._own_code = core.own_code
        self._new = False
        self._row = core.profile.seconds[-1] / core.profile.rows[-1]
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def take(self, owed: Owed, release: Release) -> None:
        """Has the rows scored, soon."""
        self._due.append(Due(owed, release))
        self._new = True
        self._go()

    def close(self) -> None:
        """Lets the thread end; what is due stays due."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        self._crew.close()

    # -- on the loop

    def _go(self) -> None:
        if self._timer is not None or self._crew or not self._due:
            return
        if self._crew.stuck:
            self._drop()
            return
        batch = self._batch()
        self._crew.give(Job(lambda: _attempt(batch), self._done, lambda: self._lost(batch)))

    def _batch(self) -> list[tuple[Due, slice]]:
        """Rows of one form that take about as long as a turn should."""
        room = max(_LEAST, int(_SPAN / self._row))
        batch: list[tuple[Due, slice]] = []
        for due in self._due:
            if room <= 0 or (batch and _form(due) != _form(batch[0][0])):
                break
            start, rows = due.begun, min(len(due.owed.ids) - due.begun, room)
            batch.append((due, slice(start, start + rows)))
            due.begun += rows
            room -= rows
        return batch

    def _done(self, result: tuple[_Scored, float, float], seconds: float) -> None:
        scored, ended, worked = result
        late = time.perf_counter() - ended > _LAG
        rows = sum(len(part.scores) for _, part in scored if isinstance(part, Part))
        for due, part in scored:
            if due.begun < 0:  # another part of it has failed
                continue
            if isinstance(part, str):
                self._give_up(due, part)
                continue
            due.parts.append(part)
            due.seconds += seconds / rows * len(part.scores)
            if sum(len(one.scores) for one in due.parts) == len(due.owed.ids):
                self._keep(due)
        if rows:
            self._row += _SMOOTH * (seconds / rows - self._row)
        if late or self._busy():
            self.rest = min(max(2 * self.rest, worked), _REST * worked)
        else:
            self.rest = self.rest / 2 if self.rest > worked / 4 else 0.0
        if self._new and self._own_code:
            self.rest = max(self.rest, _ASIDE * worked)
        self._new = False
        if self.rest:
            self._timer = self._loop.call_later(self.rest, self._wake)
        else:
            self._go()

    def _wake(self) -> None:
        self._timer = None
        self._go()

    def _keep(self, due: Due) -> None:
        owed, release = due.owed, due.release
        part = due.parts[0] if len(due.parts) == 1 else joined(due.parts)
        outcome = Outcome(part.scores, part.named)
        try:
            self._book.shadowed(owed, release, part.matrix, outcome, due.seconds / len(owed.ids))
        except TemporaryError:  # the disk refuses: what the shadow scored is not kept, and counted
            self._book.metrics.shadow_dropped += len(owed.ids)
        self._end(due)

    def _give_up(self, due: Due, why: str) -> None:
        """A shadow may fail in any way: it is counted, nothing more."""
        try:
            self._book.failed(due.release, len(due.owed.ids), why)
        except TemporaryError:
            self._book.metrics.shadow_dropped += len(due.owed.ids)
        self._end(due)

    def _end(self, due: Due) -> None:
        due.begun = -1
        self._due.remove(due)
        self._finished(due.owed)

    def _lost(self, batch: list[tuple[Due, slice]]) -> None:
        release = batch[0][0].release.release
        _LOG.error("%s: in shadow, a batch did not end within %g s; its thread is given up", release, self._limit)
        for due in dict.fromkeys(due for due, _ in batch):
            self._give_up(due, f"no answer within {self._limit:g} s: its thread was given up")
        self._go()

    def _drop(self) -> None:
        """All of its threads hang."""
        while self._due:
            due = self._due[0]
            self._book.metrics.shadow_dropped += len(due.owed.ids)
            self._end(due)


# -- in its thread


def _form(due: Due) -> tuple[Release, bool]:
    return due.release, due.owed.key == due.release.key


def _attempt(batch: list[tuple[Due, slice]]) -> tuple[_Scored, float, float]:
    """What each came to, when that was, and the seconds of a core that it took."""
    began = time.thread_time()
    return _scored(batch), time.perf_counter(), time.thread_time() - began


def _scored(batch: list[tuple[Due, slice]]) -> _Scored:
    """One that fails does not spoil it for the others."""
    try:
        matrix, places = _matrix(batch)
        outcome = batch[0][0].release.answer(matrix)
    except BaseException as error:  # told to whoever looks
        if not is_failure(error):
            raise
        if len(batch) > 1:
            half = len(batch) // 2
            return _scored(batch[:half]) + _scored(batch[half:])
        told = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
        return [(batch[0][0], told)]
    found: _Scored = []
    for (due, _), rows in zip(batch, places, strict=True):
        named = None if outcome.named is None else outcome.named[rows]
        part = Part(due.release, None, matrix[rows], Outcome(outcome.scores[rows], named), None)
        found.append((due, part))
    return found


def _matrix(batch: list[tuple[Due, slice]]) -> tuple[Matrix, list[slice]]:
    """The rows as the release reads them, and where those of each are."""
    places, start = [], 0
    for _, rows in batch:
        places.append(slice(start, start + rows.stop - rows.start))
        start = places[-1].stop
    release, same = _form(batch[0][0])
    if same:
        return stacked([due.owed.matrix[rows] for due, rows in batch]), places
    return release.matrix([row for due, rows in batch for row in (due.owed.rows or ())[rows]]), places
