"""One system in one process: its releases, its queue, its telemetry and its counters, and nothing of another's."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial

from trimtab.errors import TemporaryError
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.owner import ensure_owner_token
from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import guard_of
from trimtab.serving.execution.batcher import Batcher
from trimtab.serving.execution.book import Book
from trimtab.serving.execution.elsewhere import Elsewhere
from trimtab.serving.execution.explaining import Explanations
from trimtab.serving.execution.identifiers import Identifiers
from trimtab.serving.execution.lane import Limits
from trimtab.serving.execution.lookups import Lookups
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.questions import Question
from trimtab.serving.execution.shadow import Shadows
from trimtab.serving.processes.cores import cores
from trimtab.serving.processes.marks import Marks
from trimtab.serving.processes.memory import give_back
from trimtab.serving.processes.seat import Seat
from trimtab.serving.processes.siblings import Siblings, asked_again
from trimtab.serving.routing.desired import Desired
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.telemetry.archives.history import IDS, IdHistory
from trimtab.serving.telemetry.writing.commits import GroupCommit
from trimtab.serving.telemetry.writing.compactor import Compactor
from trimtab.serving.telemetry.writing.known import KnownIds, ids_in
from trimtab.serving.telemetry.writing.recovery import Debt, abandoned, debts
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

_LOG = logging.getLogger("trimtab.serving")
_AGAIN = 1.0
_LEFT = 10.0  # seconds after which nothing works with replaced releases any more
_TEND = 1.0
_SLOW = 10.0
_DRAIN_SHADOWS = 20.0


class ServedSystem:
    """Takes up what a former run on this seat left. `open` makes its queues and `begin` starts its work, on the running
    loop; `finish` ends it in order. `siblings` are the processes that serve it as well, if there are any; `recalled` is
    set once the ids that former runs gave out are known. Raises OSError where its state folder cannot be used."""

    def __init__(self, layout: Layout, config: ServerConfig, seat: Seat) -> None:
        self.layout = layout
        self.config = config
        self.guard = guard_of(layout, config, ensure_owner_token(layout.owner_token))
        self.siblings: Siblings | None = None
        self.elsewhere: Elsewhere | None = None
        self.recalled = asyncio.Event()
        self._seat = seat
        self._left = abandoned(layout.telemetry, seat.inherits)
        self._debts: list[Debt] = debts(self._left)
        for segment in self._left:
            if segment.damaged:
                told = "%s is damaged: %d bytes are laid beside it as .torn; what follows them is kept"
                _LOG.error(told, segment.path.name, segment.cut)
            elif segment.cut:
                _LOG.warning("%s: cut %d bytes that were half written", segment.path.name, segment.cut)
        policy = config.telemetry
        self._telemetry = TelemetryWriter(
            layout.telemetry,
            limit=policy.segment_bytes,
            age=policy.segment_seconds,
            fsync=None if policy.sync is None else os.fsync,
            slow=max(_SLOW, 3 * (policy.sync or 0.0)),
            owing=self._owes,
            run=seat.new_run(),
        )
        self.history = IdHistory(layout.telemetry)
        self._compactor = Compactor(layout.telemetry, policy.rest) if seat.slot == 0 else None
        self.metrics = Metrics()
        self.book = Book(self._telemetry, self.metrics, KnownIds(), policy)
        self.desired = Desired(
            config.system, layout.routes, Blobs(layout.blobs), self._load_failed, config.load_timeout
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.shadows: Shadows
        self.batcher: Batcher
        self.explanations: Explanations
        self.lookups: Lookups

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes the queues, which belong to the loop."""
        self.shadows = Shadows(loop, self.book, busy=lambda: self.batcher.busy, limit=self.config.run_timeout)
        self.shadows.due = sum(len(debt.answered.ids) for debt in self._debts)
        threads = max(1, min(4, cores() // self._seat.count))
        if self.config.telemetry.sync == 0:
            self.book.commits = GroupCommit(loop, self._telemetry.sync)
        limits = Limits(
            wait=self.config.max_wait,
            run=self.config.run_timeout,
            answer=self.config.answer_timeout,
            memory=self.config.max_queue,
        )
        self.batcher = Batcher(loop, self.book, Identifiers(), self.shadows.take, threads, limits)
        if self.siblings is not None:
            ask = partial(asked_again, self.siblings, self.config.system)
            self.elsewhere = self.batcher.join(self._seat.slot, Marks(self._seat.marks, self._seat.count), ask)
        self.explanations = Explanations(
            loop, self.batcher.submit, self.metrics, seconds=self.config.explain_time, threads=threads
        )
        self.lookups = Lookups(loop, FeatureSnapshot(self.layout.features), self._ask_complete, self.metrics)

    def begin(self, resume: Callable[[], None]) -> None:
        """Starts to follow the routes. `resume` is called when those wanted at the start are in force or cannot be, and
        when the ids of former runs are known again."""

        async def recall() -> None:
            known = await asyncio.to_thread(ids_in, self.layout.telemetry, self._telemetry.run, self._seat.inherits)
            self.book.known.adopt(known)
            self.recalled.set()
            resume()

        for name, work in (
            ("routes", lambda: self.desired.watch(self._applied, resume)),
            ("recall", recall),
            ("sync", self._sync),
            ("telemetry", self._tend),
            ("features", self._look),
        ):
            self._tasks.append(asyncio.create_task(self._keep(name, work)))

    def ask(self, question: Question) -> None:
        """Takes a question; its caller is answered now or later. Raises RefusalError for one that is not taken."""
        if question.left_out:
            self.lookups.ask(question)
        else:
            self._ask_complete(question)

    def _ask_complete(self, question: Question) -> None:
        if question.explain:
            self.explanations.ask(question)
        else:
            self.batcher.submit(question)

    def turn(self) -> None:
        """Ends the telemetry segment that is written."""
        self._telemetry.turn()

    def why_not_ready(self, release: Release | None = None) -> str:
        """One line for callers: why the live release, or the one given, does not answer now; empty where it does."""
        told = release or self.desired.fleet.live
        return self.desired.why_not_ready() if told is None else self.batcher.lane(told).why_not_ready()

    async def finish(self) -> None:
        """Ends in order: shadow releases get a while to score what was answered; what they still owe then is paid at
        the next start. Nothing may be asked any more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _DRAIN_SHADOWS
        while self.shadows.backlog and loop.time() < until:
            await asyncio.sleep(0.01)
        if not self._debts and not self.book.owes():
            self._seal_left()
        for task in self._tasks:
            task.cancel()
        self.shadows.close()
        self.batcher.close()
        self.explanations.close()
        self.lookups.close()
        if self.book.commits is not None:
            self.book.commits.close()
        self._telemetry.close(seal=not self.shadows.backlog)

    async def _keep(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Does `work`, and again should it fail: a fault in one part must not end the others in silence."""
        while True:
            try:
                return await work()
            except Exception:
                _LOG.exception("%s of system %r failed: it is begun again", name, self.config.system)
                await asyncio.sleep(_AGAIN)

    def _owes(self, segment: str) -> bool:
        return self.book.owes(segment)  # the book comes after the writer that asks this

    def _load_failed(self) -> None:
        self.metrics.load_errors += 1

    def _applied(self, fleet: Fleet) -> None:
        self.metrics.route(one.release for one in fleet.releases)
        self.batcher.enter(fleet)
        self.shadows.enter(fleet)
        if self._debts and fleet.generation == self.desired.applied:
            owed, self._debts = self._debts, []
            self.shadows.pay(owed, fleet)
        give_back()  # what was replaced; requests make no cycles, so that this seldom happens by itself
        asyncio.get_running_loop().call_later(_LEFT, give_back)  # and what was still at work

    async def _sync(self) -> None:
        """Brings telemetry to the disk as often as is declared."""
        telemetry, commits = self._telemetry, self.book.commits
        while True:
            await asyncio.sleep(self.config.telemetry.sync or _TEND)
            try:
                if commits is None:
                    await asyncio.to_thread(telemetry.sync)
                else:
                    await commits.now()  # what no answer waits for: shadow scores, seals
                telemetry.sync_error = ""
            except (OSError, TemporaryError) as error:
                telemetry.sync_error = f"telemetry cannot be synced: {error}"
                _LOG.error("%s; %d rows may be lost in a power cut", telemetry.sync_error, telemetry.unsure)

    async def _look(self) -> None:
        """Learns which features can be looked up."""
        while True:
            await asyncio.to_thread(self.lookups.refresh)
            await asyncio.sleep(_TEND)

    async def _tend(self) -> None:
        """Seals what is old and has it compacted; tells of a disk that refuses and of rows that are not kept; seals
        what a former run left once it owes nothing."""
        told = refused = 0
        refusing = False
        while True:
            await asyncio.sleep(_TEND)
            self._telemetry.tend()
            failures, trouble = self._telemetry.failures, self._telemetry.last_error
            if failures > refused and not refusing:
                _LOG.error("%s; see %s", trouble or "telemetry could not be written", self.layout.telemetry)
                refusing = True
            elif refusing and failures == refused and not trouble:
                _LOG.info("telemetry is written again; the disk has refused %d writes since the start", failures)
                refusing = False
            refused = failures
            dropped = self._telemetry.dropped
            if dropped > told:
                why = self._telemetry.why_dropped
                _LOG.error("%d rows were answered and are not kept, %d in all: %s", dropped - told, dropped, why)
                told = dropped
            if self._left and not self._debts and not self.book.owes():
                self._seal_left()
            if self._compactor is not None:
                self._compactor.tend()
            for name in self.book.known.segments:
                if (self.layout.telemetry / name / IDS).exists():  # its ids are on disk from here on
                    self.history.refresh()
                    self.book.known.forget(name)

    def _seal_left(self) -> None:
        left, self._left = self._left, []
        for segment in left:
            try:
                segment.seal()
            except OSError as error:
                _LOG.warning("%s cannot be sealed: %s", segment.path.name, error)
