"""Gathers what was asked in a turn or two of the event loop, and has it scored.

There is no timer: a batch is whatever came while the model was busy. What a question's rows meet is decided here; each
model has a lane of its own, and a question is answered when the last of its rows has been scored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice

from trimtab.errors import TemporaryError, TrimtabError
from trimtab.serving.execution.batches import Batch, by_kind
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.elsewhere import Ask, Elsewhere, Noted
from trimtab.serving.execution.identifiers import Identifiers
from trimtab.serving.execution.lane import Lane, Limits
from trimtab.serving.execution.pieces import Part, Piece, merge, pick
from trimtab.serving.execution.questions import Question, time_is_up
from trimtab.serving.execution.scoring import Scored, attempt, score_whole
from trimtab.serving.execution.settling import Settling
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import AnyCore, Fleet, Release
from trimtab.serving.routing.rows_error import RowsError

_LINGER = 61.0  # seconds after which a release that was replaced is not remembered by any answer


class Batcher:
    """In front of the models of one system; belongs to the event loop. `shadow` is given what shadow releases owe,
    after the answers are written; `threads` is how many cores the models may take, `limits` what may wait for each."""

    def __init__(  # noqa: PLR0917 - the parts of one system, put together in one place
        self,
        loop: asyncio.AbstractEventLoop,
        book: Book,
        identifiers: Identifiers,
        shadow: Callable[[Owed], None],
        threads: int,
        limits: Limits | None = None,
    ) -> None:
        self._loop = loop
        self._book = book
        self._settling = Settling(book, shadow)
        self._elsewhere: Elsewhere | None = None
        self._identifiers = identifiers
        self._threads = threads
        self._limits = limits or Limits()
        self._queue: list[Question] = []
        self._woken = False
        self._dated = False
        self._lanes: dict[AnyCore, Lane] = {}

    def enter(self, fleet: Fleet) -> None:
        """The fleet is in force from now on: its models get their lanes, those of others go once they are empty."""
        for release in fleet.releases:
            if release.stage != "shadow":
                self.lane(release)
        kept = {release.core for release in fleet.releases}
        for core in [core for core in self._lanes if core not in kept]:
            self._lanes.pop(core).retire()
        self._loop.call_later(_LINGER, self._settling.repeats.forget)

    def join(self, slot: int, noted: Noted, ask: Ask) -> Elsewhere:
        """Other processes answer the same questions, too: see `Elsewhere`."""

        self._elsewhere = Elsewhere(slot, noted, ask, self._settling, self._go_on, self._limits.answer)
        return self._elsewhere

    def lane(self, release: Release) -> Lane:
        """What stands in front of a release's model."""
        lane = self._lanes.get(release.core)
        if lane is None:
            lane = self._lanes[release.core] = Lane(
                self._loop, self, release.release, release.core, cores=self._threads, limits=self._limits
            )
        return lane

    @property
    def waiting(self) -> int:
        """Questions that have no answer yet."""
        return self._settling.waiting

    @property
    def busy(self) -> bool:
        """Whether rows wait for a model."""
        return any(lane.waiting for lane in self._lanes.values())

    def admit(self, release: Release) -> None:
        """Raises RefusalError when so much waits for the release that nothing more should be read for it."""
        lane = self._lanes.get(release.core)
        if lane is not None and lane.waiting and lane.crowded:
            lane.admit(None)

    def submit(self, question: Question, *, asked: bool = False) -> None:
        """Takes a question; its caller is answered now, in this turn of the loop or a later one. Raises RefusalError
        for one that would have to wait too long. `asked`: the other processes were asked for it already."""
        lane = self._lanes.get(question.target.core) or self.lane(question.target)
        if question.given:
            if self._settling.known(question):
                self._limit(question)
                return
            if self._elsewhere is not None and not asked and self._elsewhere.fetches(question):
                return
        if not lane.inline or question.count > lane.largest:
            lane.admit(question)
        if question.deadline is not None:
            self._dated = True
        self._settling.waiting += 1
        if question.given:
            self._settling.under_way[question.mark] = [question]
            if self._elsewhere is not None:
                self._elsewhere.begin(question)
        self._queue.append(question)
        if not self._woken:
            self._woken = True
            if lane.inline:  # what comes while these are read goes along
                self._loop.call_soon(self._loop.call_soon, self._flush)
            else:
                self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Lets the threads go."""
        for lane in self._lanes.values():
            lane.close()

    # -- to the models

    def _flush(self) -> None:
        self._woken = False
        queue, self._queue = self._queue, []
        if self._dated:
            self._dated = False
            queue = [one for one in queue if one.deadline is None or not self.let_go(one)]
        touched: set[Lane] = set()
        for kind in by_kind(queue) if queue else ():
            try:
                self._hand_on(kind, touched)
            except Exception:  # a fault of ours in one kind of question must not take the others with it
                self._settling.failed(kind.questions)
        for lane in touched:
            self._set_off(lane)

    def _hand_on(self, kind: Batch, touched: set[Lane]) -> None:
        """Answers questions of one kind at once, or puts them into the lanes of the releases that will."""
        self._name(kind)
        for release, those in self._shared_out(kind):
            if release is None:
                for one in those.questions:
                    self._spread(one, touched)
                continue
            lane = self.lane(release)
            for batch in those.within(lane.largest):
                if batch.rows > lane.largest:
                    self._spread(batch.questions[0], touched)
                else:
                    self._at_once(lane, release, batch)

    def _name(self, kind: Batch) -> None:
        """Rows without an id of their caller's get one of ours."""
        now = time.time_ns() // 1_000_000
        if kind.plain:
            for one, name in zip(kind.questions, self._identifiers.several(now, kind.rows), strict=True):
                one.ids = [name]
            return
        nameless = [one for one in kind.questions if not one.given]
        if nameless:
            names = iter(self._identifiers.several(now, sum([one.count for one in nameless])))
            for one in nameless:
                one.ids = [*islice(names, one.count)]

    def _shared_out(self, kind: Batch) -> Iterable[tuple[Release | None, Batch]]:
        """Questions of one kind by the release that answers them whole and on the loop; under None, all others."""
        first = kind.questions[0]
        target, fleet = first.target, first.fleet
        if first.matrix is None or not self.lane(target).inline:
            return ((None, kind),)
        if first.pinned or not fleet.canaries:
            return ((target, kind),)
        at_once: list[Release | None] = []
        for release in fleet.canaries:
            lane = self.lane(release)
            at_once.append(release if lane.inline and lane.takes(1) and release.key == target.key else None)
        at_once.append(target)
        shared: dict[Release | None, list[Question]] = {}
        pick = fleet.shares.pick
        for one in kind.questions:
            key = one.sticky or (one.keys and one.keys[0]) or one.ids[0]
            shared.setdefault(at_once[pick(key)] if one.count == 1 else None, []).append(one)
        return [(release, Batch(those, plain=kind.plain)) for release, those in shared.items()]

    def _at_once(self, lane: Lane, release: Release, batch: Batch) -> None:
        """On the loop: questions that one release answers whole."""
        start = time.perf_counter()
        try:
            part = score_whole(batch, release)
        except Exception:
            questions = batch.questions
            if len(questions) > 1:
                half = len(questions) // 2
                self._at_once(lane, release, batch.part(0, half))
                self._at_once(lane, release, batch.part(half, len(questions)))
            else:
                one = questions[0]
                one.due, one.parts = one.count, []
                self.deliver(attempt([Piece(one, release)]))
            return
        lane.ran_inline(batch.rows, time.perf_counter() - start)
        self._book.metrics.of(release.release).worked(part.seconds)
        self._settling.settle(batch, [part])

    def _spread(self, question: Question, touched: set[Lane]) -> None:
        """Gives each row to the release that answers it."""
        question.due, question.parts = question.count, []
        target = question.target
        routed = question.fleet.canaries and not question.pinned
        pieces = self._routed(question) if routed else [Piece(question, target)]
        for piece in pieces:
            lane = self.lane(piece.release)
            if piece.release is not target and not (piece.readable and lane.takes(piece.count)):
                piece.release = target  # nobody is refused for a canary's sake
                lane = self.lane(target)
            lane.put(piece)
            touched.add(lane)
        self._limit(question)

    def _limit(self, question: Question) -> None:
        """Has its caller told when its time is up, if nothing else was told by then."""
        if question.deadline is not None and question.timer is None and not question.over:
            moment = self._loop.time() + question.deadline - time.perf_counter() + 0.001
            question.timer = self._loop.call_at(moment, self.let_go, question)

    def _routed(self, question: Question) -> list[Piece]:
        fleet, target = question.fleet, question.target
        releases = (*fleet.canaries, target)
        if question.sticky is not None:
            return [Piece(question, releases[fleet.shares.pick(question.sticky)])]
        keys: Sequence[str] = question.ids
        if question.keys is not None:
            keys = [key or name for key, name in zip(question.keys, question.ids, strict=True)]
        if question.count == 1:
            return [Piece(question, releases[fleet.shares.pick(keys[0])])]
        parts = fleet.shares.split(keys)
        whole = [release for release, places in zip(releases, parts, strict=True) if len(places) == question.count]
        if whole:
            return [Piece(question, whole[0])]
        return [Piece(question, release, places) for release, places in zip(releases, parts, strict=True) if places]

    def _set_off(self, lane: Lane) -> None:
        """Has what was put in a lane scored: at once where that is a matter of microseconds."""
        for batch in lane.take_inline():
            start = time.perf_counter()
            scored = attempt(batch)
            lane.ran_inline(sum([piece.count for piece in batch]), time.perf_counter() - start)
            self.deliver(scored)
        lane.pump()

    # -- back from them

    def deliver(self, scored: Scored) -> None:
        """What a lane came to; answers the questions that have all their rows."""
        for pieces, outcome in scored:
            try:
                if isinstance(outcome, Exception):
                    self._failed(pieces[0], outcome)
                else:
                    self._take_back(pieces, outcome)
            except Exception:  # a fault of ours in one batch must not take the others with it
                self._settling.failed([piece.question for piece in pieces])

    def _take_back(self, pieces: list[Piece], part: Part) -> None:
        self._book.metrics.of(part.release.release).worked(part.seconds)
        if all(piece.places is None and not piece.question.over for piece in pieces):
            self._settling.settle(Batch([piece.question for piece in pieces]), [part])
            return
        start = 0
        for piece in pieces:
            question, rows = piece.question, slice(start, start + piece.count)
            start += piece.count
            if question.over:
                continue
            question.parts.append(pick(part, piece.places, rows))
            question.due -= piece.count
            if not question.due:
                self._settling.settle(Batch([question]), merge(question.parts))

    # -- what is not answered

    def refused(self, release: str) -> None:
        """A question was not taken, since too much waits."""
        self._book.metrics.of(release).refused += 1

    def let_go(self, question: Question) -> bool:
        """Whether the question need not be scored any more; tells the caller of one whose time is up. Others that asked
        the same have their own time."""
        if question.over:
            return True
        counts = self._book.metrics.of(question.target.release)
        if question.caller.gone:
            counts.cancelled += 1
            same = self._settling.end(question)
        elif question.deadline is None or time.perf_counter() < question.deadline:
            return False
        else:
            counts.expired += 1
            same = self._settling.end(question)
            question.caller.refuse(time_is_up(question))
        for one in same:
            self._go_on(one)
        return True

    def _go_on(self, question: Question) -> None:
        """Takes up a question again that waited for the answer to another in vain."""
        if self.let_go(question):
            return
        try:
            self.submit(question, asked=True)
        except RefusalError as error:
            self._settling.refuse(question, error)
        else:
            self._settling.waiting -= 1  # it was counted twice

    def kept_waiting(self, piece: Piece) -> None:
        """It waited for so long that its answer would come too late."""
        self.refused(piece.release.release)
        if piece.release is not piece.question.target:
            self._leave_to_target(piece)
            return
        waited = time.perf_counter() - piece.since
        said = f"the request waited {waited * 1e3:.0f} ms for release {piece.release.release}, which got slower"
        self._settling.refuse(piece.question, RefusalError(503, said, hint="ask again later", retry_after=waited))

    def lost(self, piece: Piece) -> None:
        """Its thread was given up."""
        self._failed(piece, TimeoutError(f"no answer within {self._limits.run:g} s: its thread was given up"))

    def _failed(self, piece: Piece, error: Exception) -> None:
        question, release = piece.question, piece.release
        if question.over:
            return
        if isinstance(error, RowsError):
            if release is not question.target:  # which may read what a canary cannot
                self._leave_to_target(piece)
                return
            self._settling.refuse(question, RefusalError(error.status, error.message, hint=error.hint, more=error.more))
            return
        told = error.message if isinstance(error, TrimtabError) else str(error)
        if not isinstance(error, TrimtabError | TimeoutError):
            told = f"{type(error).__name__}: {error}"
        with suppress(TemporaryError):  # the disk refuses: it is counted all the same
            self._book.failed(release, piece.count, told)
        if release is not question.target:
            self._leave_to_target(piece)
            return
        status = 504 if isinstance(error, TimeoutError) else 500
        hint = error.hint if isinstance(error, TrimtabError) else ""
        said = f"release {release.release} could not answer: {told}"
        self._settling.refuse(question, RefusalError(status, said, hint=hint))

    def _leave_to_target(self, piece: Piece) -> None:
        """A canary does not answer it: the live release does."""
        piece.release = piece.question.target
        lane = self.lane(piece.release)
        lane.put(piece)
        self._set_off(lane)
