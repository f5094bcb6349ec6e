"""The prediction server as a whole: what it is made of, how it starts and how it goes."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import PermanentError
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.owner import ensure_owner_token
from trimtab.records.server import ServerConfig, ServerInfo
from trimtab.serving.access.guard import Guard, guard_of
from trimtab.serving.config import read_config
from trimtab.serving.http.connection import Connection
from trimtab.serving.http.desk import PredictionDesk
from trimtab.serving.http.reception import Reception
from trimtab.serving.system import ServedSystem

if TYPE_CHECKING:
    from trimtab.serving.grpc.listener import GrpcListener  # only for types: its room is imported when asked for

_LOG = logging.getLogger("trimtab.serving")
_DRAIN = 10.0
_LOOK = 0.25


class Server:
    """One process that serves the system of one state folder. `parent`: the process to end with (0: none)."""

    def __init__(self, root: Path, parent: int = 0) -> None:
        self._layout = Layout(root)
        self._config = read_config(self._layout.serve_config, self._layout.tokens)
        self._parent = parent
        self._lock = _lock(self._layout)
        self._systems = (ServedSystem(self._layout, self._config),)
        self._guard = guard_of(self._layout, self._config, ensure_owner_token(self._layout.owner_token))
        self._reception = Reception(self._config, self._guard)
        self._grpc: GrpcListener | None = None

    async def run(self) -> None:
        """Serves until it is told to end."""
        loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        loop.add_signal_handler(signal.SIGHUP, self._reread)
        desks = []
        for system in self._systems:
            system.open(loop)
            desk = PredictionDesk(system, self._reception.connections)
            self._reception.open(desk)
            desks.append(desk)
        listening = await self._listen(loop)
        for system, desk in zip(self._systems, desks, strict=True):
            system.begin(desk.resume, desk.recall)
        tasks = [asyncio.create_task(work) for work in (self._sweep(), self._follow_tokens(), self._end_with_parent())]
        await self._over.wait()
        _LOG.info("draining")
        await self._drain(listening)
        await asyncio.gather(*(system.finish() for system in self._systems))
        for task in tasks:
            task.cancel()
        _LOG.info("ended")

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        before = _read_info(self._layout.server)
        sock = bind(self._config, before.port if before is not None else 0)
        listening = await loop.create_server(lambda: Connection(self._reception), sock=sock, backlog=1024)
        host, port = sock.getsockname()[:2]
        grpc_port = None
        if self._config.grpc_port is not None:
            self._grpc = _grpc_listener(self._config, self._systems, self._guard)
            grpc_port = await self._grpc.start((before and before.grpc_port) or 0)
        info = ServerInfo(pid=os.getpid(), host=host, port=port, started=datetime.now(UTC), grpc_port=grpc_port)
        write_atomically(self._layout.server, msgspec.json.encode(info))
        _LOG.info("listening at %s for system %r", info.url, self._config.system)
        if grpc_port is not None:
            _LOG.info("listening at %s for gRPC", info.grpc_address)
        return listening

    def _reread(self) -> None:
        """SIGHUP: what a person may change while the server runs is read again; nothing is dropped."""
        _LOG.info("told to read its settings again")
        self._guard.refresh()

    async def _sweep(self) -> None:
        """Closes connections that wait too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.2)
            now = loop.time()
            for connection in tuple(self._reception.connections):
                connection.sweep(now)

    async def _follow_tokens(self) -> None:
        """Puts changed tokens in force."""
        while True:
            await asyncio.sleep(_LOOK)
            self._guard.refresh()

    async def _end_with_parent(self) -> None:
        """Ends when the process that asked for it has ended."""
        while self._parent:
            if os.getppid() != self._parent:
                _LOG.warning("process %d has ended, and so does this server", self._parent)
                self._over.set()
            await asyncio.sleep(0.2)

    async def _drain(self, listening: asyncio.Server) -> None:
        """Answers what is due and takes nothing new."""
        loop = asyncio.get_running_loop()
        listening.close()
        until = loop.time() + _DRAIN
        await asyncio.sleep(0.05)  # what has reached the socket is read and answered still
        self._reception.draining = True
        ending = None if self._grpc is None else loop.create_task(self._grpc.stop(_DRAIN))
        while loop.time() < until:
            for connection in tuple(self._reception.connections):
                connection.drain()
            if not self._reception.connections and not any(system.batcher.waiting for system in self._systems):
                break
            await asyncio.sleep(0.01)
        if ending is not None:
            await ending


def _grpc_listener(config: ServerConfig, systems: Sequence[ServedSystem], guard: Guard) -> GrpcListener:
    try:
        from trimtab.serving.grpc.listener import GrpcListener  # 20 MB that only those pay who ask for it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"grpc", "google"}:
            raise
        raise PermanentError(
            f"[serve] grpc_port needs a package that is missing: {error.name}", hint="pip install 'trimtab[grpc]'"
        ) from error
    return GrpcListener(config, systems, guard)


def bind(config: ServerConfig, before: int) -> socket.socket:
    """A socket at the configured address; for port 0 the port the server had `before` where it is free, so that
    callers find it again. Raises PermanentError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    ports = [before, 0] if config.port == 0 and before else [config.port]
    for port in ports:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((config.host, port))
        except OSError as error:
            sock.close()
            if port == ports[-1]:
                raise PermanentError(f"cannot listen at {config.host}:{port}: {error.strerror or error}") from error
        else:
            sock.setblocking(False)
            return sock
    raise AssertionError("unreachable")


def serve(root: Path, parent: int = 0) -> None:
    """Runs a server on the state folder `root` until SIGTERM. Raises TrimtabError when it cannot start."""
    import uvloop

    gc.set_threshold(20_000, 20, 20)  # requests make no cycles: collect less often
    sys.setswitchinterval(0.001)  # a thread that scores yields to the loop sooner
    server = Server(root, parent)
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.run())


def _lock(layout: Layout) -> int:
    layout.serve.mkdir(parents=True, exist_ok=True)
    fd = os.open(layout.server_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        info = _read_info(layout.server)
        told = f" (process {info.pid})" if info is not None else ""
        raise PermanentError(f"a server{told} already runs on {layout.root}") from None
    return fd


def _read_info(path: Path) -> ServerInfo | None:
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=ServerInfo)
    return None
