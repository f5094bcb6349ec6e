"""An answer that is sent piece by piece, as fast as its caller reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from trimtab.serving.http.replies import opening


class Stream:
    """Begun with its head; `send` each piece and await `room` before the next, then `end` it, or `cut` it where it
    cannot be finished. `gone` once the caller is; then nothing is sent any more."""

    def __init__(
        self,
        transport: asyncio.Transport,
        over: Callable[[int], None],
        *,
        lines: bytes,
        chunked: bool,
        close: bool,
        bare: bool,
    ) -> None:
        """`lines` are further header lines, `chunked` and `close` how its end is told; `bare`: its head is all that is
        wanted."""
        self.gone = False
        self.stuck = False
        self._transport = transport
        self._over = over
        self._lines = lines
        self._chunked = chunked
        self._bare = bare
        self._close = close
        self._last = time.monotonic()
        self._room: asyncio.Future[None] | None = None

    def begin(self, status: int, kind: bytes, extra: bytes = b"") -> None:
        """Sends the head. An answer without chunks (HTTP/1.0) ends with its connection."""
        self._last = time.monotonic()
        if not self.gone:
            extra += self._lines
            self._transport.write(opening(status, kind, extra, chunked=self._chunked, close=self._close))

    def send(self, data: bytes) -> None:
        """Sends a piece."""
        self._last = time.monotonic()
        if data and not (self.gone or self._bare):
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def room(self) -> bool:
        """Waits until the caller has read most of what was sent; false once it has gone."""
        if self.stuck and not self.gone:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        else:
            await asyncio.sleep(0)  # others have their turn between two pieces
        return not (self.gone or self._transport.is_closing())

    def end(self, status: int = 200) -> None:
        """The answer is whole; `status` is what it is counted as."""
        if self._chunked and not (self.gone or self._bare):
            self._transport.write(b"0\r\n\r\n")
        self._over(status)

    def cut(self) -> None:
        """The answer cannot be finished: closes without its end, so that the caller sees that it is not whole."""
        self._over(500)
        if not self.gone:
            self._transport.abort()

    def rested(self) -> float:
        """Seconds since the last piece."""
        return time.monotonic() - self._last

    def hold(self, *, stuck: bool) -> None:
        """The transport's buffer is full, or no longer."""
        self.stuck = stuck
        self._wake()

    def leave(self) -> None:
        """The caller has gone."""
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
