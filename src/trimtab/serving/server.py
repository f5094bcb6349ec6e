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
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trimtab.errors import PermanentError
from trimtab.records.blobs import Blobs
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig, ServerInfo
from trimtab.serving.config import read_config
from trimtab.serving.execution.batcher import Batcher
from trimtab.serving.execution.book import Book
from trimtab.serving.execution.identifiers import Identifiers
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.shadow import Shadows
from trimtab.serving.http.connection import Connection
from trimtab.serving.http.desk import PredictionDesk
from trimtab.serving.routing.desired import Desired
from trimtab.serving.routing.releases import Fleet
from trimtab.serving.telemetry.known import KnownIds, ids_in
from trimtab.serving.telemetry.recovery import Debt, abandoned, debts
from trimtab.serving.telemetry.writer import TelemetryWriter

_LOG = logging.getLogger("trimtab.serving")
_DRAIN = 10.0
_DRAIN_SHADOWS = 20.0


class Server:
    """One server on one state folder. `parent`: the process to end with (0: none)."""

    def __init__(self, root: Path, parent: int = 0) -> None:
        self._layout = Layout(root)
        self._config = read_config(self._layout.serve_config)
        self._parent = parent
        self._lock = _lock(self._layout)
        self._left = abandoned(self._layout.telemetry)
        self._debts: list[Debt] = debts(self._left)
        for segment in self._left:
            if segment.cut:
                _LOG.warning("%s: cut %d bytes that were half written", segment.path.name, segment.cut)

    async def run(self) -> None:
        """Serves until it is told to end."""
        loop = asyncio.get_running_loop()
        self._telemetry = TelemetryWriter(self._layout.telemetry)
        self._metrics = Metrics()
        self._book = Book(self._telemetry, self._metrics, KnownIds())
        self._shadows = Shadows(loop, self._book)
        self._shadows.due = sum(len(debt.answered.ids) for debt in self._debts)
        threads = max(1, min(4, len(os.sched_getaffinity(0))))
        self._batcher = Batcher(loop, self._book, Identifiers(), self._shadows.take, threads)
        self._desired = Desired(self._config.system, self._layout.routes, Blobs(self._layout.blobs), self._load_failed)
        self._desk = PredictionDesk(self._config, self._desired, self._book, self._batcher, self._shadows)
        self._over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        listening = await self._listen(loop)
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._desired.watch(self._applied, self._desk.resume),
                self._recall(),
                self._sweep(),
                self._sync(),
                self._guard(),
            )
        ]
        await self._over.wait()
        _LOG.info("draining")
        await self._drain(listening)
        for task in tasks:
            task.cancel()
        self._shadows.close()
        self._batcher.close()
        self._telemetry.close(seal=not self._shadows.backlog)
        _LOG.info("ended")

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        before = _read_info(self._layout.server)
        sock = bind(self._config, before.port if before is not None else 0)
        listening = await loop.create_server(lambda: Connection(self._desk), sock=sock, backlog=1024)
        host, port = sock.getsockname()[:2]
        info = ServerInfo(pid=os.getpid(), host=host, port=port, started=datetime.now(UTC))
        write_atomically(self._layout.server, msgspec.json.encode(info))
        _LOG.info("listening at %s for system %r", info.url, self._config.system)
        return listening

    def _load_failed(self) -> None:
        self._metrics.load_errors += 1

    def _applied(self, fleet: Fleet) -> None:
        for one in fleet.releases:
            self._metrics.of(one.release)
        if self._debts and fleet.generation == self._desired.applied:
            owed, self._debts = self._debts, []
            self._shadows.pay(owed, fleet)
        gc.collect()
        gc.freeze()  # models live long: the collector need not walk them again

    async def _recall(self) -> None:
        """Learns the ids that former runs gave out, beside the serving."""
        known = await asyncio.to_thread(ids_in, self._layout.telemetry, self._telemetry.run)
        self._book.known.adopt(known)
        self._desk.recall()

    async def _sweep(self) -> None:
        """Closes connections that wait too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.2)
            now = loop.time()
            for connection in tuple(self._desk.connections):
                connection.sweep(now)

    async def _sync(self) -> None:
        """Brings telemetry to the disk once a second; seals what a former run left once it owes nothing."""
        while True:
            await asyncio.sleep(1.0)
            try:
                await asyncio.to_thread(self._telemetry.sync)
                self._telemetry.sync_error = ""
            except OSError as error:
                self._telemetry.sync_error = f"telemetry cannot be synced: {error.strerror or error}"
                _LOG.error("%s", self._telemetry.sync_error)
            if self._left and not self._debts and not self._shadows.backlog:
                self._seal_left()

    def _seal_left(self) -> None:
        left, self._left = self._left, []
        for segment in left:
            try:
                segment.seal()
            except OSError as error:
                _LOG.warning("%s cannot be sealed: %s", segment.path.name, error)

    async def _guard(self) -> None:
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
        self._desk.draining = True
        while loop.time() < until:
            for connection in tuple(self._desk.connections):
                connection.drain()
            if not self._batcher.waiting and not self._desk.connections:
                break
            await asyncio.sleep(0.01)
        until = loop.time() + _DRAIN_SHADOWS
        while self._shadows.backlog and loop.time() < until:
            await asyncio.sleep(0.01)
        if not self._debts and not self._shadows.backlog:
            self._seal_left()


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
