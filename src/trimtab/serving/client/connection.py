"""One connection of the asynchronous client."""

from __future__ import annotations

import asyncio
from typing import cast

from trimtab.serving.client.wire import Answer


class Connection(asyncio.Protocol):
    """One request at a time; `lost` once it is of no more use."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._stuck = False
        self._timeout = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def exchange(self, request: bytes, answer: Answer, timeout: float) -> asyncio.Future[None]:
        """Sends; the future is done when `answer` is whole. It fails with an OSError: TimeoutError after `timeout`
        seconds of silence."""
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        if self.lost:
            waiter.set_exception(ConnectionResetError("the connection was closed"))
            return waiter
        self._answer = answer
        self._timeout = timeout
        self._wait()
        waiter.add_done_callback(self._settled)
        self._transport.write(request)
        return waiter

    async def send(self, data: bytes, timeout: float) -> None:
        """Sends more of the request, as fast as the server reads. Raises TimeoutError when it does not."""
        self._transport.write(data)
        self._wait()
        if self._stuck and not self.lost:
            self._room = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(timeout):
                await self._room

    def close(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # nobody asked
            return
        try:
            self._answer.feed(data)
        except Exception as error:  # also what keeps the answer may fail
            self._fail(error)
            return
        if not self._answer.done:
            self._wait()
            return
        self._answer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._go_on()
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed"))

    def pause_writing(self) -> None:
        self._stuck = True

    def resume_writing(self) -> None:
        self._stuck = False
        self._go_on()

    def _wait(self) -> None:
        """Begins to wait for the server anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._fail, TimeoutError("timed out"))

    def _settled(self, _: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._go_on()

    def _go_on(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
