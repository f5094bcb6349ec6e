"""Questions and answers between processes of one machine, over a unix socket in a folder that only they may enter.

A message is its length (4 bytes, little-endian) and a msgpack list: a question is [number, verb, body], its answer
[number, whether it went well, body]. Answers come in any order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec

from trimtab.errors import PermanentError

_LOG = logging.getLogger("trimtab.serving")
_LENGTH = struct.Struct("<I")
_MOST = 256 * 2**20
_LONGEST_PATH = 100  # bytes; the kernel takes 107, other systems 103
Answer = Callable[[str, bytes], Awaitable[bytes]]


class Folder:
    """The folder of the sockets, whatever its path's length: sockets are named through an open descriptor of it."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def address(self, name: str) -> str:
        """A path of the socket `name` that is short enough. Raises PermanentError where there is none."""
        plain = str(self.path.absolute() / name)
        if len(os.fsencode(plain)) <= _LONGEST_PATH:
            return plain
        if not Path("/proc/self/fd").is_dir():
            raise PermanentError(f"{plain} is too long a path for a socket", hint="name a shorter one with --state")
        return f"/proc/self/fd/{self._descriptor}/{name}"


class _Wire(asyncio.Protocol, ABC):
    """Cuts what comes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if size > _MOST:
                self._transport.abort()
                return
            end = start + _LENGTH.size + size
            if end > len(buffer):
                break
            message = bytes(buffer[start + _LENGTH.size : end])
            start = end
            self._take(message)
        del buffer[:start]

    @abstractmethod
    def _take(self, message: bytes) -> None:
        """One message that came whole."""

    def _send(self, message: tuple[object, ...]) -> None:
        encoded = msgspec.msgpack.encode(message)
        self._transport.write(_LENGTH.pack(len(encoded)) + encoded)


class Answering(_Wire):
    """The side that is asked; `answer` may take its time."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        for task in self._tasks:
            task.cancel()

    def _take(self, message: bytes) -> None:
        try:
            number, verb, body = msgspec.msgpack.decode(message, type=tuple[int, str, bytes])
        except msgspec.MsgspecError:
            self._transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._reply(number, verb, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, number: int, verb: str, body: bytes) -> None:
        try:
            told, well = await self._answer(verb, body), True
        except LookupError as error:  # it is not known here, or not yet
            told, well = str(error).encode(), False
        except Exception as error:
            _LOG.exception("a question of a sibling process, %r, failed", verb)
            told, well = f"{type(error).__name__}: {error}".encode(), False
        if not self._transport.is_closing():
            self._send((number, well, told))


class _Asking(_Wire):
    """The side that asks."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = False
        self._number = 0
        self._due: dict[int, asyncio.Future[bytes]] = {}

    def ask(self, verb: str, body: bytes) -> asyncio.Future[bytes]:
        """The answer to come; fails with OSError when the connection does."""
        self._number += 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        number = self._number
        self._due[number] = future
        future.add_done_callback(lambda _: self._due.pop(number, None))
        self._send((number, verb, body))
        return future

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost = True
        for future in tuple(self._due.values()):
            if not future.done():
                future.set_exception(ConnectionResetError("the process has ended"))

    def close(self) -> None:
        """Ends the connection."""
        self._transport.abort()

    def _take(self, message: bytes) -> None:
        number, well, told = msgspec.msgpack.decode(message, type=tuple[int, bool, bytes])
        future = self._due.get(number)
        if future is None or future.done():
            return
        if well:
            future.set_result(told)
        else:
            future.set_exception(OSError(told.decode("utf-8", "replace")))


class Line:
    """A connection to the process that listens at `name`, opened when it is first needed and again once it was lost."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._asking: _Asking | None = None
        self._opening = asyncio.Lock()

    async def ask(self, verb: str, body: bytes) -> bytes:
        """The answer. Raises OSError when nobody is there, or it ended before it answered."""
        async with self._opening:
            if self._asking is None or self._asking.lost:
                loop = asyncio.get_running_loop()
                _, self._asking = await loop.create_unix_connection(_Asking, self._folder.address(self._name))
        return await self._asking.ask(verb, body)

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if self._asking is not None:
            self._asking.close()


async def listen(folder: Folder, name: str, answer: Answer) -> asyncio.Server:
    """Answers at `name`, in place of whoever did before."""
    path = folder.address(name)
    with suppress(FileNotFoundError):
        Path(path).unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.setblocking(False)
    return await asyncio.get_running_loop().create_unix_server(lambda: Answering(answer), sock=sock)
