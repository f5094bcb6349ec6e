"""How callers reach one process of the server: over HTTP, alone or with others at one address, and over gRPC."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import PermanentError
from trimtab.records.server import ServerConfig, ServerInfo
from trimtab.serving.access.tls import ServerTls
from trimtab.serving.http.connections.connection import Connection
from trimtab.serving.http.endpoints.reception import Reception
from trimtab.serving.processes.acceptor import FAREWELL, Acceptor
from trimtab.serving.processes.address import bind
from trimtab.serving.processes.board import Board
from trimtab.serving.processes.seat import Seat
from trimtab.serving.system import ServedSystem

if TYPE_CHECKING:
    from trimtab.serving.grpc.listener import GrpcListener  # only for types: its room is imported when asked for

_LOG = logging.getLogger("trimtab.serving")


class Listening:
    """`board` is that of the processes that share the address, None where this is the only one."""

    def __init__(
        self,
        config: ServerConfig,
        systems: Sequence[ServedSystem],
        reception: Reception,
        seat: Seat,
        board: Board | None,
        *,
        tls: ServerTls | None = None,
    ) -> None:
        self._config = config
        self._systems = systems
        self._reception = reception
        self._seat = seat
        self._board = board
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._acceptor: Acceptor | None = None
        self._grpc: GrpcListener | None = None

    async def open(self, before: ServerInfo | None) -> tuple[str, int, int | None]:
        """Takes requests from here on; host, port and gRPC's port (None: no gRPC). `before`: where the former server
        was. Raises PermanentError when it cannot listen there."""
        if self._board is None:
            sock = bind(self._config, before.port if before is not None else 0)
            self._server = await self._alone(sock)
        else:
            sock = socket.socket(fileno=self._seat.listening)
            sock.setblocking(False)
            self._acceptor = self._share(sock, self._board)
        grpc_port = None
        if self._config.grpc_port is not None:
            self._grpc = self._grpc_listener()
            grpc_port = await self._grpc.start((before and before.grpc_port) or 0)
        if self._acceptor is not None:
            self._acceptor.open()
        host, port = sock.getsockname()[:2]
        return host, port, grpc_port

    def look(self) -> None:
        """To be called about five times a second."""
        if self._acceptor is not None:
            self._acceptor.look()

    def close(self) -> None:
        """Takes what has reached the socket, and no more."""
        if self._server is not None:
            self._server.close()
        if self._acceptor is not None:
            self._acceptor.close()

    @property
    def entering(self) -> int:
        """Connections that were taken and have not begun yet."""
        return 0 if self._acceptor is None else self._acceptor.entering

    async def finish(self, grace: float) -> None:
        """Waits until what is due over gRPC has been answered."""
        if self._grpc is not None:
            await self._grpc.stop(grace)

    async def _alone(self, sock: socket.socket) -> asyncio.Server:
        make = asyncio.get_running_loop().create_server
        if self._tls is None:
            return await make(lambda: Connection(self._reception), sock=sock, backlog=1024)
        return await make(
            lambda: Connection(self._reception),
            sock=sock,
            backlog=1024,
            ssl=self._tls.context,
            ssl_handshake_timeout=self._config.header_timeout,
            ssl_shutdown_timeout=FAREWELL,
        )

    def _share(self, sock: socket.socket, board: Board) -> Acceptor:
        connections = self._reception.connections

        def make() -> Connection:
            return _Counted(self._reception, acceptor)

        acceptor = Acceptor(
            sock,
            make,
            board,
            self._seat.slot,
            connections.__len__,
            move=lambda count: self._reception.crowd.move(count, asyncio.get_running_loop().time()),
            ssl=None if self._tls is None else self._tls.context,
            handshake=self._config.header_timeout,
        )
        return acceptor

    def _grpc_listener(self) -> GrpcListener:
        try:
            from trimtab.serving.grpc.listener import GrpcListener  # 20 MB that only those pay who ask for it
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in {"grpc", "google"}:
                raise
            raise PermanentError(
                f"[serve] grpc_port needs a package that is missing: {error.name}", hint="pip install 'trimtab[grpc]'"
            ) from error
        if self._board is None:
            return GrpcListener(self._config, self._systems, tls=self._tls)
        config = msgspec.structs.replace(self._config, grpc_port=self._seat.grpc_port)
        return GrpcListener(config, self._systems, shared=True, tls=self._tls)


class _Counted(Connection):
    """A connection that tells when it has ended."""

    __slots__ = ("_acceptor", "_born")

    def __init__(self, reception: Reception, acceptor: Acceptor) -> None:
        super().__init__(reception)
        self._acceptor = acceptor
        self._born = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._acceptor.ended(time.monotonic() - self._born)
