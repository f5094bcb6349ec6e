"""One process of the prediction server: what it is made of, how it starts and how it goes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from trimtab.errors import PermanentError, TrimtabError
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig, ServerInfo
from trimtab.serving.access.tls import ServerTls
from trimtab.serving.config import is_private, read_configs
from trimtab.serving.http.endpoints.about import About
from trimtab.serving.http.endpoints.desk import PredictionDesk
from trimtab.serving.http.endpoints.overview import Company, Overview
from trimtab.serving.http.endpoints.reception import Reception
from trimtab.serving.listening import Listening
from trimtab.serving.processes.address import announce, hold, read_info
from trimtab.serving.processes.board import ENDING, SERVING, Board
from trimtab.serving.processes.notify import notify, reloading
from trimtab.serving.processes.seat import Seat
from trimtab.serving.processes.siblings import Siblings
from trimtab.serving.processes.tally import Tally, tally_name
from trimtab.serving.processes.wire import Folder
from trimtab.serving.system import ServedSystem
from trimtab.serving.whole import answer

_LOG = logging.getLogger("trimtab.serving")
_DRAIN = 10.0
_LOOK = 0.25
_OWN_FILES = 512  # what is open beside connections
_AGAIN = 5.0  # seconds until a system that could not be opened is tried again
_HEALTH = 0.5  # seconds after which the first of several processes takes requests though its models still load


class Server:
    """Serves the systems of some state folders, from one seat. The address and the limits of connections are those of
    the first system. `parent`: the process to end with (0: none)."""

    def __init__(self, roots: Sequence[Path], parent: int = 0, seat: Seat | None = None) -> None:
        self._parent = parent
        self._seat = seat or Seat()
        self._configs = read_configs([Layout(root) for root in roots])
        self._layouts = tuple(self._configs)
        self._config = next(iter(self._configs.values()))
        self._locks = self._seat.held or tuple(hold(layout) for layout in self._layouts)
        self._systems: list[ServedSystem] = []
        self._abouts: dict[str, About] = {}
        self._reception = Reception(self._config, tuple(one.system for one in self._configs.values()))
        self._shut = [(layout, config) for layout, config in self._configs.items() if not self._admit(layout, config)]
        self._company = None if self._seat.alone else self._join()
        board = None if self._company is None else self._company.board
        self._tls = self._certificate()
        self._listening = Listening(self._config, self._systems, self._reception, self._seat, board, tls=self._tls)
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Serves until it is told to end."""
        loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._over.set)
        loop.add_signal_handler(signal.SIGHUP, self._reread)
        for system in self._systems:
            self._open(system)
        gc.collect()
        gc.freeze()  # what is imported stays: the collector need not walk it again
        overview = Overview(self._abouts, self._company)
        if self._company is not None or len(self._configs) > 1:
            self._reception.oversee(overview)
        duties = (
            self._sweep(),
            self._follow_files(),
            self._end_with_parent(),
            self._tell_when_begun(),
            self._tend(overview),
        )
        for work in duties:
            self._tasks.append(asyncio.create_task(work))
        if self._company is None:
            await self._listen()
            self._begin()
        else:
            await self._company.siblings.open(partial(self._answer, overview))
            self._begin()
            await self._until_begun(self._company)
            await self._listen()
        await self._over.wait()
        _LOG.info("draining")
        await self._drain()
        await asyncio.gather(*(system.finish() for system in self._systems))
        for task in self._tasks:
            task.cancel()
        if self._company is not None:
            overview.counted()  # its last word, for those that go on
            self._company.siblings.close()
        _LOG.info("ended")

    def make_room(self) -> None:
        """Asks the system for as many open files as connections may need: many systems give few at first."""
        wanted = self._config.max_connections + _OWN_FILES
        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        if now == resource.RLIM_INFINITY or now >= wanted:
            return
        given = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (given, most))
        if given < wanted:  # connections must leave enough for telemetry: what cannot be kept is not answered
            crowd = self._reception.crowd
            crowd.most = max(given - _OWN_FILES, given // 4)
            told = "the system lets this process have %d open files: it takes %d connections at most, not %d"
            _LOG.warning(told, given, crowd.most, self._config.max_connections)

    def _admit(self, layout: Layout, config: ServerConfig) -> bool:
        """Takes up a system's state. One that cannot be served must not keep the others from it."""
        try:
            self._systems.append(ServedSystem(layout, config, self._seat))
        except (OSError, TrimtabError) as error:
            told = error.in_one_line() if isinstance(error, TrimtabError) else f"{layout.root} cannot be used: {error}"
            if len(self._configs) == 1:
                raise PermanentError(told) from error
            if self._reception.absent.get(config.system) != told:
                _LOG.error("system %r is not served: %s", config.system, told)
            self._reception.absent[config.system] = told
            return False
        return True

    def _open(self, system: ServedSystem) -> None:
        if self._company is not None:
            system.siblings = self._company.siblings
        system.open(asyncio.get_running_loop())
        desk = PredictionDesk(system, self._reception.connections)
        self._abouts[system.config.system] = desk.about
        self._reception.open(desk)

    def _begin(self) -> None:
        for system in self._systems:
            system.begin(self._reception.desks[system.config.system].resume)

    async def _listen(self) -> None:
        host, port, grpc_port = await self._listening.open(read_info(self._layouts[0].server))
        names = tuple(config.system for config in self._configs.values())
        info = ServerInfo(
            pid=os.getpid(),
            host=host,
            port=port,
            started=datetime.now(UTC),
            tls=self._tls is not None,
            grpc_port=grpc_port,
            systems=names,
        )
        if self._company is None:
            announce(self._layouts, info)
        else:
            self._company.board.tell(self._seat.slot, SERVING)
        _LOG.info("listening at %s for %s", info.url, ", ".join(f"system {name!r}" for name in names))
        if grpc_port is not None:
            _LOG.info("listening at %s for gRPC", info.grpc_address)

    async def _until_begun(self, company: Company) -> None:
        """A process that joins others takes requests only once it can answer them. Where nobody serves yet it soon does
        so all the same, to say why it cannot."""
        late = time.monotonic() + _HEALTH
        while not self._over.is_set() and not all(system.desired.begun for system in self._systems):
            if time.monotonic() > late and not company.board.serving():
                return
            await asyncio.sleep(0.005)

    async def _tell_when_begun(self) -> None:
        while not all(system.desired.begun for system in self._systems):
            await asyncio.sleep(0.005)
        notify("READY=1")

    def _reread(self) -> None:
        """SIGHUP: what a person may change while the server runs is read again; nothing is dropped."""
        _LOG.info("told to read its settings again")
        reloading()
        self._refresh()
        for system in self._systems:
            system.turn()  # whoever rewrites telemetry must not wait for a day
        notify("READY=1")

    async def _answer(self, overview: Overview, verb: str, body: bytes) -> bytes:
        """What another process asks."""
        told = overview.answer(verb, body)
        return await answer(self._systems, verb, body) if told is None else told

    async def _sweep(self) -> None:
        """Closes connections that wait too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.2)
            now = loop.time()
            for connection in tuple(self._reception.connections):
                connection.sweep(now)
            self._listening.look()
            if self._company is not None:
                self._company.board.beat(self._seat.slot)

    async def _follow_files(self) -> None:
        """Puts changed tokens and certificates in force."""
        while True:
            await asyncio.sleep(_LOOK)
            self._refresh()

    def _refresh(self) -> None:
        for system in self._systems:
            system.guard.refresh()
        if self._tls is not None:
            self._tls.refresh()

    def _certificate(self) -> ServerTls | None:
        """What is shown to callers, if anything, with a copy in the state folders for those who keep this server."""
        config = self._config
        if not config.tls_cert:
            if not is_private(config.host):
                _LOG.warning("host %s is open to other machines without TLS: tokens and data can be read", config.host)
            return None

        def copy(chain: bytes) -> None:
            for layout in self._layouts:
                write_atomically(layout.certificate, chain)

        return ServerTls(Path(config.tls_cert), Path(config.tls_key), copy)

    async def _end_with_parent(self) -> None:
        """Ends when the process that asked for it has ended."""
        while self._parent:
            if os.getppid() != self._parent:
                _LOG.warning("process %d has ended, and so does this server", self._parent)
                self._over.set()
            await asyncio.sleep(0.2)

    async def _tend(self, overview: Overview) -> None:
        """Every second: counters are kept for the other processes; every few, what could not be opened is tried."""
        tried = time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            if self._company is not None:
                overview.counted()
            if self._shut and time.monotonic() > tried + _AGAIN:
                tried = time.monotonic()
                self._shut = [(layout, config) for layout, config in self._shut if not self._reopen(layout, config)]

    def _reopen(self, layout: Layout, config: ServerConfig) -> bool:
        if not self._admit(layout, config):
            return False
        system = self._systems[-1]
        self._open(system)
        system.begin(self._reception.desks[config.system].resume)
        _LOG.info("system %r is served", config.system)
        return True

    async def _drain(self) -> None:
        """Answers what is due and takes nothing new."""
        loop = asyncio.get_running_loop()
        if self._company is None:
            notify("STOPPING=1")
        else:
            self._company.board.tell(self._seat.slot, ENDING)
        self._listening.close()
        until = loop.time() + _DRAIN
        await asyncio.sleep(0.05)  # what has reached the socket is read and answered still
        self._reception.draining = True
        ending = loop.create_task(self._listening.finish(_DRAIN))
        while loop.time() < until:
            for connection in tuple(self._reception.connections):
                connection.drain()
            busy = self._reception.connections or self._listening.entering
            if not busy and not any(system.batcher.waiting for system in self._systems):
                break
            await asyncio.sleep(0.01)
        await ending

    def _join(self) -> Company:
        folder = Folder(self._layouts[0].serve / "processes")
        seat = self._seat
        board = Board(seat.board, seat.count)
        tally = Tally(folder.path, tally_name(seat.slot, seat.turn))
        return Company(seat, board, Siblings(seat, folder), tally, self._parent)


def serve(roots: Sequence[Path], parent: int = 0, seat: Seat | None = None) -> None:
    """Runs one process of a server on the state folders `roots` until SIGTERM. Raises TrimtabError when it cannot
    start."""
    import uvloop

    gc.set_threshold(20_000, 20, 20)  # requests make no cycles: collect less often
    sys.setswitchinterval(0.001)  # a thread that scores yields to the loop sooner
    server = Server(roots, parent, seat)
    server.make_room()
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.run())
