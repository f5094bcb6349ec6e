"""`trimtab.AsyncClient`: calls that leave the event loop free while they wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trimtab.errors import TemporaryError
from trimtab.records.server import ServerStatus
from trimtab.serving.client import calls, tensors
from trimtab.serving.client.answers import Inference, Prediction, Truth
from trimtab.serving.client.calls import Call, Terms, Time
from trimtab.serving.client.patience import Patience
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
        timeout: float = 30.0,
        patience: float = 10.0,
        connections: int = 64,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        self._address = Address(url, token, ca)
        self.url = url
        self.timeout = timeout
        self.patience = patience
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(connections)
        self._system = ""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections that nobody uses; the next request opens another."""
        idle, self._idle = self._idle, []
        for one in idle:
            one.close()
        await asyncio.sleep(0)  # the loop ends them in this turn

    async def predict(
        self,
        rows: Sequence[Mapping[str, Any]] | pl.DataFrame | NDArray[Any],
        ids: Sequence[str] | None = None,
        time: Time = None,
        *,
        explain: bool = False,
        sticky: str | None = None,
    ) -> list[Prediction]:
        """Predictions for rows, in their order: mappings by column, a frame, or a matrix [rows, features] of rows that
        are encoded already. `time` is when they happened: one moment, or one a row (None: now). `explain` asks what
        each feature contributed; rows of the same `sticky` key meet the same release while a canary runs."""
        terms = Terms(self.timeout, explain, sticky)
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

    async def feedback(self, items: Sequence[Truth]) -> list[str]:
        """Tells what became of predictions; returns the ids the server never gave out (it keeps their truth too)."""
        return await self._do(calls.feedback(items))

    async def metadata(self, model: str | None = None) -> dict[str, Any]:
        """What the live model, or that version or release, takes and gives, as the Open Inference Protocol tells it."""
        return await self._do(calls.metadata(await self._named(), model))

    async def status(self) -> ServerStatus:
        """What the server says about itself."""
        return await self._do(calls.status())

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
        if not self._system:
            self._system = (await self._do(calls.server()))["system"]
        return self._system

    async def _do(self, call: Call[T]) -> T:
        request = self._address.request(call.method, call.path, call.body, call.head)
        patience: Patience | None = None
        while True:
            try:
                async with self._room:
                    answer = await self._exchange(request)
                if answer.status == 200:
                    return call.read(answer)
                patience = patience or Patience(self.patience)
                pause = patience.refused(answer)
            except OSError as error:
                patience = patience or Patience(self.patience)
                pause = patience.failed(self.url, error)
            await asyncio.sleep(pause)

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
            if answer.keep and not used.lost:
                self._idle.append(used)
            else:
                used.close()
            return answer

    async def _connect(self) -> _Connection:
        address, loop = self._address, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                _, made = await loop.create_connection(_Connection, address.host, address.port, ssl=address.tls)
        except OSError as error:
            if (refused := address.untrusted(error)) is not None:
                raise refused from error
            raise
        return made


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None

    def exchange(self, request: bytes, answer: Answer, timeout: float) -> asyncio.Future[None]:
        """Sends; the future is done when `answer` is whole. It fails with an OSError."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        if self.lost:
            waiter.set_exception(ConnectionResetError("the connection was closed"))
            return waiter
        self._answer = answer
        timer = loop.call_later(timeout, self._fail, TimeoutError("timed out"))
        waiter.add_done_callback(lambda _: timer.cancel())
        self._transport.write(request)
        return waiter

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # nobody asked
            return
        try:
            self._answer.feed(data)
        except ConnectionError as error:
            self._fail(error)
            return
        if self._answer.done:
            self._answer = None
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed"))

    def _fail(self, error: OSError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
