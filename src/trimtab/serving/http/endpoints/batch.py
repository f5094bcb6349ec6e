"""`POST /v2/models/{system}/batch`: a file of rows in, a file of answers out.

The file is read by a process of its own; this side asks the models, a few hundred rows at a time, in the same queue as
everybody else and with the same telemetry, and sends what the reader makes of the answers as fast as the caller reads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakSet

import orjson

from trimtab.errors import TrimtabError
from trimtab.records.blobs import Blobs
from trimtab.serving.batch import frames
from trimtab.serving.batch.formats import CONTENT_TYPES, Format, sent_format, wanted_format
from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.endpoints.terms import read_header
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.http.stream import Stream
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.routing.shares import sticky_key
from trimtab.serving.system import ServedSystem

_LOG = logging.getLogger("trimtab.serving")
_MOST_AT_ONCE = 4
_MOST_ARRIVING = 2 * _MOST_AT_ONCE
_FEWEST, _MOST = 16, 512  # rows in one question: what single requests may have to wait for
_LONGEST_ROW = 2**20
_MEMORY = 2**30
_PAUSE = 0.05
_BUSY = (429, 503)
_LEFT = 499  # as which it is counted that a caller left before its answer was whole
Row = dict[str, Any]
_OPTIONS = frozenset(("id", "time"))


class Batches:
    """The batches of one system that are under way."""

    def __init__(self, system: ServedSystem) -> None:
        self._system = system
        self._folder = system.layout.work / "batches"
        self._tasks: set[asyncio.Task[None]] = set()
        self._arriving: WeakSet[Spool] = WeakSet()

    def spool(self) -> Spool:
        """Where the body of a batch goes. Raises RefusalError (503) when too many are under way, or arriving: each may
        fill the disk with `max_batch`."""
        self._admit()
        if sum(not spool.closed for spool in self._arriving) >= _MOST_ARRIVING:
            raise RefusalError(503, f"{_MOST_ARRIVING} batches are arriving already", retry_after=5.0)
        spool = Spool(self._folder, self._system.config.max_batch)
        self._arriving.add(spool)
        return spool

    def take(self, connection: HttpCaller, request: Request, pinned: Release | None) -> None:
        """Begins a batch. Raises RefusalError."""
        try:
            work = self._plan(connection, request, pinned)
        except RefusalError:
            if request.spool is not None:
                request.spool.close()
            raise
        task = asyncio.get_running_loop().create_task(work.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _plan(self, connection: HttpCaller, request: Request, pinned: Release | None) -> _Batch:
        self._admit()
        sent = sent_format(request.field(b"content-type").decode("latin-1"))
        wanted = wanted_format(request.field(b"accept").decode("latin-1"), sent)
        options = _options(request.url)
        desired = self._system.desired
        fleet = desired.fleet
        target = pinned or fleet.live
        if target is None:
            raise RefusalError(503, desired.why_not_ready())
        if target.tensors is not None:
            raise RefusalError(
                415, "files of rows are for models of columns", hint="send tensors and files to /predict"
            )
        terms = Question(connection, fleet, target, _render_nothing, time.perf_counter())
        terms.pinned = pinned is not None
        read_header(terms, request)
        spool = request.spool
        if spool is None:
            spool = Spool(self._folder, self._system.config.max_batch)
            spool.take(request.body, lambda _: None)
        return _Batch(self._system, connection, spool, fleet, target, sent, wanted, options, terms)

    def _admit(self) -> None:
        if len(self._tasks) >= _MOST_AT_ONCE:
            raise RefusalError(503, f"{_MOST_AT_ONCE} batches are under way already", retry_after=5.0)


class _Batch:
    """One batch: its body, its reader, and the questions in between."""

    def __init__(  # noqa: PLR0917 - put together in one place
        self,
        system: ServedSystem,
        connection: HttpCaller,
        spool: Spool,
        fleet: Fleet,
        target: Release,
        sent: Format,
        wanted: Format,
        options: dict[str, str],
        terms: Question,
    ) -> None:
        self._system = system
        self._connection = connection
        self._spool = spool
        self._fleet = fleet
        self._target = target
        self._sent = sent
        self._wanted = wanted
        self._options = options
        self._terms = terms
        self._stream: Stream | None = None
        self._kind = CONTENT_TYPES[wanted].encode()
        self._by = "" if terms.pinned or terms.sticky or not fleet.canaries else fleet.canary_by
        self._rows = max(_FEWEST, min(_MOST, system.batcher.lane(target).choice.largest))

    async def run(self) -> None:
        """Answers the caller, whatever happens."""
        ends = self._terms.deadline
        try:
            async with asyncio.timeout(None if ends is None else ends - time.perf_counter()):
                with await asyncio.to_thread(self._spool.read) as body:
                    code = await asyncio.to_thread(self._code)
                    await self._read(body.fileno(), code)
            if self._connection.gone and self._stream is not None:
                self._stream.end(_LEFT)
        except RefusalError as error:
            self._refuse(error)
        except TimeoutError:
            waited = time.perf_counter() - self._terms.started
            self._refuse(RefusalError(504, f"the request's time was up after {waited * 1e3:.0f} ms"))
        except TrimtabError as error:
            self._refuse(RefusalError(500, error.message, hint=error.hint))
        except asyncio.CancelledError:
            self._refuse(RefusalError(503, "the server is shutting down"))
            raise
        except Exception as error:  # a fault of ours
            _LOG.exception("a batch failed")
            self._refuse(RefusalError(500, f"the server failed: {type(error).__name__}"))
        finally:
            self._spool.close()

    async def _read(self, body: int, code: bytes) -> None:
        environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trimtab.serving.batch",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=(body,), env=environment,
            limit=2**26,
        )  # fmt: skip
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            reader.stdin.write(frames.packed(self._setup(body, code)))
            while not self._connection.gone and await self._step(reader.stdin, reader.stdout):
                pass
        finally:
            if reader.returncode is None:
                reader.kill()
            await asyncio.shield(reader.wait())

    def _setup(self, body: int, code: bytes) -> frames.Setup:
        bundle, fleet, config = self._target.bundle, self._fleet, self._system.config
        lookups = self._system.lookups
        return frames.Setup(
            body=body, sent=self._sent, wanted=self._wanted, signature=bundle.signature, code=code, entry=bundle.entry,
            rows=self._rows, needs_rows=bool(self._by) or any(one.key != self._target.key for one in fleet.releases),
            optional=sorted(lookups.optional(self._target)) if lookups.views else [],
            entities=sorted(lookups.entities()),
            ids=self._options.get("id", ""), times=self._options.get("time", ""),
            latest=int((time.time() + config.max_future) * 1e6), longest_row=_LONGEST_ROW, memory=_MEMORY,
        )  # fmt: skip

    async def _step(self, to: asyncio.StreamWriter, out: asyncio.StreamReader) -> bool:
        """One message of the reader; false after the last, or when the caller has gone."""
        try:
            length = int.from_bytes(await out.readexactly(frames.LENGTH), "little")
            message = frames.FROM_READER.decode(await out.readexactly(length))
        except asyncio.IncompleteReadError:
            raise RefusalError(500, "the process that reads the batch has died", hint="see the server's log") from None
        if isinstance(message, frames.Ask):
            to.write(frames.packed(await self._ask(message)))
        elif isinstance(message, frames.Told):
            return await self._tell(message.data)
        elif isinstance(message, frames.Done):
            assert self._stream is not None
            self._stream.end()
            self._stream = None
            return False
        else:
            if self._stream is not None:
                self._stream.send(message.data)
            raise RefusalError(message.status, message.message, hint=message.hint, more=message.more)
        return True

    async def _tell(self, data: bytes) -> bool:
        if self._stream is None:
            self._stream = self._connection.stream()
            self._stream.begin(200, self._kind)
        self._stream.send(data)
        return await self._stream.room()

    async def _ask(self, asked: frames.Ask) -> frames.Answered:
        """Has rows scored. Rows that the model fails for get an error each; raises RefusalError when it is all."""
        rows: list[Row] | None = orjson.loads(asked.rows) if asked.rows else None
        answer = _Answer(asked.count)
        await self._patiently(lambda: self._connection.charge(asked.count))
        await self._score(asked, rows, 0, asked.count, answer)
        if len(answer.errors) == asked.count:
            assert answer.failed is not None
            raise answer.failed
        return answer.told()

    async def _patiently(self, step: Callable[[], Awaitable[None] | None]) -> None:
        """Does what may be refused for a while, again and again: others are served first. Raises RefusalError."""
        until = time.monotonic() + self._system.config.answer_timeout
        while True:
            try:
                waiting = step()
                if waiting is not None:
                    await waiting
            except RefusalError as error:
                if error.status not in _BUSY or time.monotonic() > until:
                    raise
                await asyncio.sleep(error.retry_after or _PAUSE)
            else:
                return

    async def _score(self, asked: frames.Ask, rows: list[Row] | None, start: int, end: int, answer: _Answer) -> None:
        """Scores the rows from `start` to `end`; those that fail together are tried by halves."""
        try:
            await self._patiently(lambda: self._question(asked, rows, start, end, answer))
        except RefusalError as error:
            if error.status in _BUSY:
                raise
            if end - start == 1:
                answer.fail(start, error)
                return
            half = (start + end) // 2
            await self._score(asked, rows, start, half, answer)
            await self._score(asked, rows, half, end, answer)

    async def _question(self, asked: frames.Ask, rows: list[Row] | None, start: int, end: int, answer: _Answer) -> None:
        caller = _Caller(asyncio.get_running_loop())

        def keep(question: Question, answers: Answers, offset: int) -> bytes:
            answer.take(question, answers, offset, start)
            return b""

        question = Question(caller, self._fleet, self._target, keep, time.perf_counter())
        question.pinned = self._terms.pinned
        question.sticky = self._terms.sticky
        question.count = end - start
        if asked.ids:
            question.ids, question.given = asked.ids[start:end], True
        if asked.at:
            question.at = asked.at[start:end]
        if asked.matrix:
            width = 4 * self._target.width
            question.matrix = asked.matrix[start * width : end * width]
            if rows is not None:
                question.rows = rows[start:end]
                if self._by:
                    question.keys = [sticky_key(row.get(self._by)) for row in question.rows]
        else:  # something is to be looked up first
            question.lookups = self._system.lookups
            question.ask((rows or [])[start:end])
        self._system.ask(question)
        await caller.answered

    def _code(self) -> bytes:
        digest = self._target.bundle.features_code
        return b"" if digest is None else Blobs(self._system.layout.blobs).get(digest)

    def _refuse(self, error: RefusalError) -> None:
        if self._stream is None:
            self._connection.refuse(error)
        else:
            _LOG.warning("a batch was cut: %s", error.message)
            self._stream.cut()


class _Answer:
    """What the rows of one message came to, row by row."""

    def __init__(self, count: int) -> None:
        self._ids = [""] * count
        self._scores = [b""] * count
        self._labels = [b""] * count
        self._release = [0] * count
        self._releases: dict[tuple[str, str], int] = {}
        self.errors: dict[int, str] = {}
        self.failed: RefusalError | None = None

    def fail(self, place: int, error: RefusalError) -> None:
        """A row that could not be scored, asked alone."""
        self.failed = self.failed or error
        wrong = error.more.get("errors", []) if isinstance(error.more, dict) else []
        told = [f"column {one['column']!r} {one['error']}" for one in wrong if one.get("column")]
        self.errors[place] = "; ".join(told) or error.message

    def take(self, question: Question, answers: Answers, offset: int, start: int) -> None:
        """The answers of a question whose first row is `start`."""
        end, until = start + question.count, offset + question.count
        self._ids[start:end] = question.ids
        self._scores[start:end] = answers.scores[offset:until]
        self._labels[start:end] = answers.labels[offset:until]
        numbers = self._releases
        self._release[start:end] = [
            numbers.setdefault((one.release, one.model), len(numbers)) for one in answers.releases[offset:until]
        ]

    def told(self) -> frames.Answered:
        """The message to the reader."""
        return frames.Answered(
            ids=self._ids, scores=self._scores, labels=self._labels, release=self._release,
            releases=list(self._releases), errors=self.errors,
        )  # fmt: skip


class _Caller:
    """Who asks on behalf of a batch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answered: asyncio.Future[None] = loop.create_future()

    @property
    def gone(self) -> bool:
        """What was begun is scored: the batch itself sees whether its caller is there."""
        return False

    def answer(self, status: int, body: bytes) -> None:  # noqa: ARG002 - what matters was taken when it was rendered
        """The rows are answered."""
        if not self.answered.done():
            self.answered.set_result(None)

    def refuse(self, error: RefusalError) -> None:
        """They are not."""
        if not self.answered.done():
            self.answered.set_exception(error)


def _render_nothing(_: Question, __: Answers, ___: int) -> bytes:
    """What holds only the terms of a batch has no answer of its own."""
    return b""


def _options(url: bytes) -> dict[str, str]:
    """`?id=COLUMN&time=COLUMN`: where the ids and the moments of rows are."""
    found = parse_qs(url.partition(b"?")[2].decode("latin-1"), keep_blank_values=True, encoding="utf-8")
    for name, values in found.items():
        if name not in _OPTIONS:
            raise RefusalError(
                422, f"unknown option {name!r}", hint="a batch may have `id` and `time`, names of columns"
            )
        if len(values) > 1 or not values[0]:
            raise RefusalError(422, f"option {name!r}: expected the name of one column")
    return {name: values[0] for name, values in found.items()}
