"""One model's own queue, threads and estimates: what it does, or fails to do, no other model feels."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Protocol

from trimtab.records.base import Record
from trimtab.records.server import ExecutionStatus
from trimtab.serving.execution.choice import HAND_OVER, Choice, choose, threaded
from trimtab.serving.execution.crew import MOST_GIVEN_UP, Crew, Job
from trimtab.serving.execution.metrics import Counts
from trimtab.serving.execution.pace import Pace
from trimtab.serving.execution.pieces import Piece
from trimtab.serving.execution.questions import AT_ONCE, Question
from trimtab.serving.execution.scoring import Scored, attempt
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.profile import span
from trimtab.serving.routing.releases import AnyCore

_LOG = logging.getLogger("trimtab.serving")
_AHEAD = 0.02  # a batch shorter than this is given to a thread before it has done with the last one
_EASY = 0.25  # of what may be waited: below it nobody is refused, and nobody need ask
_PATIENCE = 1.5  # times as long as may be waited: what has waited longer still, for the model got slower, is refused
_LATELY = 60.0  # seconds for which a caller counts as one of those who share the queue
_MOST_CALLERS = 1000


class Limits(Record):
    """What may wait for one model. `wait`: seconds a request may have to wait, as estimated, before others are refused;
    `run`: seconds that a batch may take before its thread is given up; `answer`: seconds within which a request must be
    answered; `memory`: bytes of rows that may wait."""

    wait: float = 1.0
    run: float = 10.0
    answer: float = 30.0
    memory: int = 256 * 2**20


class Owner(Protocol):
    """What a lane needs of whoever fills it."""

    def deliver(self, scored: Scored) -> None:
        """What its threads came to."""
        ...

    def lost(self, piece: Piece) -> None:
        """The thread that scored it was given up."""
        ...

    def kept_waiting(self, piece: Piece) -> None:
        """It waited for so long that its answer would come too late."""
        ...

    def let_go(self, question: Question) -> bool:
        """Whether the question need not be answered any more."""
        ...

    def refused(self, release: str) -> None:
        """A question was not taken."""
        ...


class Lane:
    """In front of one core; belongs to the event loop. `inline` is true while it is run on the loop, in batches of up
    to `largest` rows; `ready` while its threads do not hang; `waiting` counts rows, `held` those of callers with names.
    `pace` is how fast it has been of late."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, owner: Owner, name: str, core: AnyCore, *, cores: int, limits: Limits
    ) -> None:
        self.name = name
        self.ready = True
        self.waiting = 0
        self.held: Counter[str] = Counter()
        self._loop = loop
        self._core = core
        self._cores = cores
        self._limits = limits
        self._owner = owner
        self._bytes = 0
        self._waiting_large = 0
        self._running = 0
        self._retired = False
        self._seen: dict[str, float] = {}
        self._swept = 0.0
        self._small: deque[Piece] = deque()
        self._large: deque[Piece] = deque()
        self._turn = False
        self._crew = Crew(loop, f"score-{name}", cores, limits.run, self._returned)
        self.pace = Pace(core.profile, limits.wait)
        self._take(choose(core.profile, own_code=core.own_code, cores=cores))

    # -- where it runs

    @property
    def choice(self) -> Choice:
        """Where it runs now, and why."""
        return self._choice

    def why_not_ready(self) -> str:
        """One line for callers; empty while it is ready."""
        return "" if self.ready else f"release {self.name} does not answer: {self._crew.given_up} of its threads hang"

    def status(self, counts: Counts) -> ExecutionStatus:
        """All of it, for people."""
        profile = self._core.profile
        return ExecutionStatus(
            kind=self._choice.kind, largest=self.largest, threads=self._choice.threads, reason=self._choice.reason,
            profile=tuple(zip(profile.rows, profile.seconds, strict=True)),
            ready=self.ready, waiting=self.waiting, wait=self.wait(), refused=counts.refused, expired=counts.expired,
            cancelled=counts.cancelled, given_up=self._crew.given_up,
        )  # fmt: skip

    def _take(self, choice: Choice, *, moved: bool = False) -> None:
        self._choice = choice
        self.inline = choice.kind == "inline"
        self.largest = choice.largest
        if self.inline:  # a question too large for the loop goes to threads in batches made for them
            self._cut = threaded(self._core.profile, self._cores, "").largest
        else:
            self._cut = choice.largest
        self._small_most = min(self.largest, AT_ONCE) if self.inline else self._cut
        profile = self._core.profile
        row = (profile.time(self._cut) + HAND_OVER) / self._cut
        self.pace.start(row, self._cores, self._cut, moved=moved)
        _LOG.info(
            "%s: %s, batches of up to %d rows: %s (rows in a batch and what it took: %s)",
            self.name, "on the loop" if self.inline else f"in {choice.threads} threads", self.largest,
            choice.reason, profile.told(),
        )  # fmt: skip

    def ran_inline(self, rows: int, seconds: float) -> None:
        """A batch was scored on the loop; moves the model to threads when too many are slow."""
        self.pace.ran_inline(rows, seconds)
        if self.pace.slow:
            reason = f"it was slow on the loop: {rows} rows took {span(seconds)}"
            self._take(threaded(self._core.profile, self._cores, reason), moved=True)

    # -- what waits

    def wait(self) -> float:
        """Seconds until a row that comes now would be begun, estimated."""
        return self._delay(1)

    def takes(self, rows: int) -> bool:
        """Whether that many rows would not wait too long."""
        return self.ready and (not self.waiting or self._delay(rows) <= self.pace.patience)

    @property
    def crowded(self) -> bool:
        """Whether so much waits that it is worth a look before anything is read; a guess, cheaper than `admit`."""
        return self.waiting * self.pace.drain > _EASY * self._limits.wait or not self.ready

    def admit(self, question: Question | None) -> None:
        """Raises RefusalError for a question that would not be answered in time: 503, or 429 where its caller is the
        one who fills the queue, or 413 where it is too large by itself. None stands for one that is not read yet."""
        try:
            self._admit(question)
        except RefusalError:
            self._owner.refused(self.name)
            raise

    def _admit(self, question: Question | None) -> None:
        limits, drain = self._limits, self.pace.drain
        if question is not None and question.who:
            self._note(question.who)
        if not self.ready:
            raise RefusalError(503, self.why_not_ready(), retry_after=1.0)
        own = 0.0 if question is None else question.count * drain
        if question is not None and own > limits.answer:
            said = f"{question.count:,} rows would take {span(own)}; a request is answered within {limits.answer:g} s"
            most = int(limits.answer / drain)
            raise RefusalError(413, said, hint=f"send at most {most:,} rows at a time")
        if not self.waiting and not self._crew:
            return
        wait = self._delay(1 if question is None else question.count)
        if self._small:  # the first in the queue knows better than any estimate
            wait = max(wait, time.perf_counter() - self._small[0].since)
        size = 0 if question is None else question.size
        if wait > self.pace.patience or self._bytes + size > limits.memory:
            raise RefusalError(503, self._said(wait), hint="ask again later", retry_after=wait)
        if question is None:
            return
        left = math.inf if question.deadline is None else question.deadline - time.perf_counter()
        if wait > left:
            said = f"{self._said(wait)}; the request has {span(max(left, 0.0))}"
            raise RefusalError(503, said, hint="ask again later, or with more time", retry_after=wait)
        mine = self.held[question.who] if len(self._seen) > 1 else 0
        if mine * drain > self.pace.patience / 2:
            said = f"{mine:,} rows of this caller's wait for release {self.name}: half of what may"
            raise RefusalError(429, said, hint="wait for answers before asking more", retry_after=wait)

    def _said(self, wait: float) -> str:
        return f"{self.waiting:,} rows wait for release {self.name}, which takes {span(wait)}"

    def _note(self, who: str) -> None:
        """A caller with a name: one who is alone may fill the queue, others share it."""
        now = time.perf_counter()
        self._seen[who] = now
        if len(self._seen) > _MOST_CALLERS or now - self._swept > _LATELY:
            self._seen = {name: at for name, at in self._seen.items() if now - at <= _LATELY}
            self._swept = now

    def _delay(self, rows: int) -> float:
        """Seconds until the first of that many rows would be begun: large questions and small ones take turns."""
        ahead, batch = self.waiting - self._waiting_large, self.pace.batch
        if rows > self._small_most:
            ahead = self._waiting_large
        elif self._waiting_large:
            ahead += min(ahead + batch, self._waiting_large)
        return (ahead + 0.5 * self._running) * self.pace.drain

    def put(self, piece: Piece) -> None:
        """Queues a piece; call `pump` after the last."""
        question = piece.question
        piece.since = time.perf_counter()
        if piece.count > self._small_most:
            self._large.append(piece)
            self._waiting_large += piece.count
        else:
            self._small.append(piece)
        self.waiting += piece.count
        self._bytes += question.size // question.count * piece.count
        if question.who:
            self.held[question.who] += piece.count

    def pump(self) -> None:
        """Gives what waits to the threads that are free."""
        ahead = self._cores if self.pace.span < _AHEAD else 0
        while (self._small or self._large) and not self._crew.stuck:
            free = self._cores + ahead - len(self._crew)
            if free <= 0:
                break
            batch = self._batch(min(self.pace.batch, max(1, -(-self.waiting // free))))
            if batch:
                self._start(batch)
        if self._crew.stuck:
            self._abandon()

        elif self._retired and not self.waiting and not self._crew:
            self.close()

    def take_inline(self) -> Iterator[list[Piece]]:
        """The batches that are to be scored on the loop now."""
        while self.inline and self._small:
            batch = self._first_of_small(self.largest)
            if batch:
                yield batch

    def retire(self) -> None:
        """No more will come: ends once what waits is done."""
        self._retired = True
        self.pump()

    def close(self) -> None:
        """Lets the threads go."""
        self._crew.close()

    def _batch(self, rows: int) -> list[Piece]:
        """Pieces of one kind, first come first served; large questions take turns with the small ones, and with each
        other, a batch at a time."""
        self._turn = not self._turn
        if self._large and (self._turn or not self._small):
            return self._first_of_large(rows)
        return self._first_of_small(rows)

    def _first_of_large(self, rows: int) -> list[Piece]:
        piece = self._large.popleft()
        over = self._owner.let_go(piece.question)
        cut = piece.cut(rows) if piece.count > rows and not over else piece
        if cut is not piece:
            self._large.append(piece)
        self._waiting_large -= cut.count
        self._drop(cut)
        return [] if over else [cut]

    def _first_of_small(self, rows: int) -> list[Piece]:
        batch: list[Piece] = []
        count, queue = 0, self._small
        latest = time.perf_counter() - _PATIENCE * self.pace.patience
        while queue:
            piece = queue[0]
            if self._owner.let_go(piece.question):
                self._drop(queue.popleft())
                continue
            if piece.since < latest:
                self._drop(queue.popleft())
                self._owner.kept_waiting(piece)
                continue
            if not batch:
                kind = piece.kind
            elif count + piece.count > rows or piece.kind != kind:
                break
            self._drop(queue.popleft())
            batch.append(piece)
            count += piece.count
        return batch

    def _drop(self, piece: Piece) -> None:
        """It waits no more."""
        question = piece.question
        self.waiting -= piece.count
        self._bytes -= question.size // question.count * piece.count
        if question.who:
            self.held[question.who] -= piece.count
            if self.held[question.who] <= 0:
                del self.held[question.who]

    def _start(self, batch: list[Piece]) -> None:
        def done(result: Scored, seconds: float) -> None:
            self._running -= rows
            self.pace.ran(rows, seconds, time.perf_counter(), waiting=self.waiting > 0)
            if not self.inline and self.pace.calm:
                self._take(choose(self._core.profile, own_code=self._core.own_code, cores=self._cores))
            self.pump()  # the thread gets its next batch before the answers are written
            self._owner.deliver(result)

        def lost() -> None:
            self._running -= rows
            self._fail(batch)
            self.pump()

        rows = sum([piece.count for piece in batch])
        self._running += rows
        self._crew.give(Job(lambda: attempt(batch), done, lost))

    # -- threads that hang

    def _fail(self, batch: list[Piece]) -> None:
        """Their thread was given up."""
        was, self.ready = self.ready, False
        _LOG.error(
            "%s: a batch did not end within %g s; its thread is given up (%d of %d)",
            self.name, self._limits.run, self._crew.given_up, MOST_GIVEN_UP,
        )  # fmt: skip
        for piece in batch:
            self._owner.lost(piece)
        if was:
            self._ask_again()

    def _abandon(self) -> None:
        self._waiting_large = 0
        for queue in (self._small, self._large):
            while queue:
                piece = queue.popleft()
                self._drop(piece)
                self._owner.lost(piece)

    def _returned(self) -> None:
        """A thread that was given up has ended."""
        _LOG.info("%s: a thread that was given up has ended", self.name)
        if not self.ready:
            self._ask_again()

    def _ask_again(self) -> None:
        """Finds out whether the model answers at all."""
        if self._crew.stuck:
            return

        def run() -> str:
            try:
                self._core.probe()
            except Exception as error:  # an answer of a kind: it does not hang
                return str(error)
            return ""

        def done(_: str, seconds: float) -> None:
            _LOG.info("%s answers again, in %s", self.name, span(seconds))
            self.ready = True

        def lost() -> None:
            self._ask_again()
            self.pump()

        self._crew.give(Job(run, done, lost))
