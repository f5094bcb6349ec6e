"""`trimtab.AsyncClient`: calls that leave the event loop free while they wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.server import ServerStatus
from trimtab.serving.client import calls, tensors
from trimtab.serving.client.answers import AnswerError, Inference, Prediction, Truth
from trimtab.serving.client.calls import Call, Table, Terms, Time, understood
from trimtab.serving.client.connection import Connection
from trimtab.serving.client.files import Batch, Source
from trimtab.serving.client.patience import Patience, never
from trimtab.serving.client.wire import Address, Answer

if TYPE_CHECKING:
    import polars as pl  # for types only
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


class AsyncClient:
    """As `trimtab.Client`, for one event loop: await its calls, as many at a time as you like. At most `connections`
    are open at a time; further requests wait for one."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        system: str = "",
        timeout: float = 30.0,
        patience: float = 10.0,
        connections: int = 64,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        self._address = Address(url, token, ca)
        self.url = url
        self.timeout = timeout
        self.patience = patience
        self._idle: list[Connection] = []
        self._connections = connections
        self._room = asyncio.Semaphore(connections)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.system = system
        self._sole = ""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections that nobody uses; the next request opens another."""
        self._belong(asyncio.get_running_loop())
        idle, self._idle = self._idle, []
        for one in idle:
            one.close()
        await asyncio.sleep(0)  # the loop ends them in this turn

    async def predict(
        self,
        rows: Sequence[Mapping[str, Any]] | pl.DataFrame | Table | NDArray[Any],
        ids: Sequence[str] | None = None,
        time: Time = None,
        *,
        explain: bool = False,
        sticky: str | None = None,
    ) -> list[Prediction]:
        """Predictions for rows, in their order: mappings by column, a frame (Polars, pandas,
        pyarrow), or a matrix [rows, features] of rows that
        are encoded already. `time` is when they happened: one moment, or one a row (None: now). `explain` asks what
        each feature contributed; rows of the same `sticky` key meet the same release while a canary runs."""
        terms = Terms(self.timeout, explain, sticky, system=self.system)
        if calls.is_matrix(rows):
            return await self._do(tensors.predict(await self._named(), rows, ids, time, terms))
        return await self._do(calls.predict(rows, ids, time, terms))

    async def infer(
        self,
        inputs: Mapping[str, ArrayLike],
        ids: Sequence[str] | None = None,
        time: Time = None,
        model: str | None = None,
        *,
        explain: bool = False,
        sticky: str | None = None,
    ) -> Inference:
        """The model's outputs for named tensors, sent and answered as bytes; the first axis of each is the rows.
        `model` pins a version or a release, `explain` adds the outputs that explain the answer."""
        return await self._do(
            tensors.infer(await self._named(), inputs, ids, time, Terms(self.timeout, explain, sticky, model))
        )

    async def feedback(self, items: Truth | Sequence[Truth]) -> list[str]:
        """Tells what became of predictions, in as many requests as it takes, each of which is taken as a whole or not
        at all; returns the ids the server never gave out (it keeps their truth too)."""
        waiting, unknown = calls.pieces(items), list[str]()
        while waiting:
            piece = waiting.pop()
            try:
                found = await self._do(calls.feedback(piece, self.system))
            except AnswerError as error:
                waiting += calls.smaller(piece, error)
            else:
                unknown += found
        return unknown

    @overload
    async def batch(
        self,
        source: Source,
        into: None = None,
        *,
        ids: str | None = None,
        times: str | None = None,
        model: str | None = None,
    ) -> pl.DataFrame: ...

    @overload
    async def batch(
        self,
        source: Source,
        into: Path | str,
        *,
        ids: str | None = None,
        times: str | None = None,
        model: str | None = None,
    ) -> None: ...

    async def batch(
        self,
        source: Source,
        into: Path | str | None = None,
        *,
        ids: str | None = None,
        times: str | None = None,
        model: str | None = None,
    ) -> pl.DataFrame | None:
        """Predictions for a file of rows of any size (Parquet, Arrow stream, NDJSON or CSV, told by its name), or for a
        frame: as a frame with `row`, `id`, `score`, `label`, `release`, `model` and `error`, or into a file, whole or
        not at all. `ids` and `times` name the columns of the rows' ids and moments; with ids the batch is sent again
        when the connection breaks."""
        with Batch(source, into, ids, times) as batch:
            path, head = batch.request(await self._named(), model)
            request = self._address.request(b"POST", path, b"", head, batch.size)
            await self._persist(lambda: self._exchange_batch(request, batch), batch.unsafe)
            return batch.finish()

    async def metadata(self, model: str | None = None) -> dict[str, Any]:
        """What the live model, or that version or release, takes and gives, as the Open Inference Protocol tells it."""
        return await self._do(calls.metadata(await self._named(), model))

    async def status(self) -> ServerStatus:
        """What the server says about itself."""
        return await self._do(calls.status(self.system))

    async def metrics(self) -> str:
        """The counters as Prometheus text."""
        return await self._do(calls.metrics())

    async def settle(self, timeout: float = 60.0) -> None:
        """Waits until every shadow release has scored all that was answered. Raises TemporaryError after `timeout`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        while (await self.status()).backlog:
            if loop.time() > until:
                raise TemporaryError(f"shadow releases are not done after {timeout:g} s")
            await asyncio.sleep(0.002)

    async def _named(self) -> str:
        if not self.system and not self._sole:
            self._sole = calls.sole_system(await self._do(calls.server()))
        return self.system or self._sole

    async def _do(self, call: Call[T]) -> T:
        request = self._address.request(call.method, call.path, call.body, call.head)
        return understood(call, await self._persist(lambda: self._exchange(request)), self.url)

    async def _persist(self, ask: Callable[[], Awaitable[Answer]], unsafe: Callable[[OSError], str] = never) -> Answer:
        """Asks until there is a good answer, for as long as patience lasts; after a failure not where
        that is `unsafe`, which then says what to do."""
        self._belong(asyncio.get_running_loop())
        patience: Patience | None = None
        while True:
            try:
                async with self._room:
                    answer = await ask()
                if answer.status == 200:
                    return answer
                patience = patience or Patience(self.patience)
                pause = patience.refused(answer)
            except OSError as error:
                patience = patience or Patience(self.patience)
                pause = patience.failed(self.url, error, unsafe(error))
            await asyncio.sleep(pause)

    def _belong(self, loop: asyncio.AbstractEventLoop) -> None:
        """Goes over to the loop that runs where the former one has ended (a second `asyncio.run`). Raises
        PermanentError where it still lives: its connections and waiters cannot be shared."""
        if self._loop is loop:
            return
        if self._loop is not None:
            if not self._loop.is_closed():
                raise PermanentError(
                    "this AsyncClient belongs to another event loop", hint="make one AsyncClient for each loop"
                )
            self._idle = []
            self._room = asyncio.Semaphore(self._connections)
        self._loop = loop

    async def _exchange(self, request: bytes) -> Answer:
        """Sends and receives once. Raises OSError when the connection fails in any way."""
        while True:
            kept = bool(self._idle)
            used = self._idle.pop() if kept else await self._connect()
            answer = Answer()
            try:
                await used.exchange(request, answer, self.timeout)
            except BaseException as error:  # a caller who gives up leaves a connection that nobody else can use
                used.close()
                if kept and not answer.begun and isinstance(error, ConnectionError):
                    continue  # the server had ended a connection that nobody used: nothing is wrong with it
                raise
            self._give_back(used, answer)
            return answer

    async def _exchange_batch(self, request: bytes, batch: Batch) -> Answer:
        """The same for a body that is sent, and an answer that is kept, piece by piece."""
        used, answer = await self._connect(), Answer(batch.take)
        try:
            answered = used.exchange(request, answer, self.timeout)
            chunks = batch.chunks()
            while not answered.done() and (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await used.send(chunk, self.timeout)
            await answered
        except BaseException:
            answered.cancel()
            used.close()
            raise
        self._give_back(used, answer)
        return answer

    def _give_back(self, used: Connection, answer: Answer) -> None:
        if answer.keep and not used.lost:
            self._idle.append(used)
        else:
            used.close()

    async def _connect(self) -> Connection:
        address, loop = self._address, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                _, made = await loop.create_connection(Connection, address.host, address.port, ssl=address.tls)
        except OSError as error:
            if (refused := address.untrusted(error)) is not None:
                raise refused from error
            raise
        return made
