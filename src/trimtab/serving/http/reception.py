"""What all connections of a process share: who is connected, and which system's desk a request is for."""

from __future__ import annotations

from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import Guard
from trimtab.serving.http.connection import Connection
from trimtab.serving.http.desk import PredictionDesk
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool


class Reception:
    """Hands each request to the desk of its system. `config` has the limits of connections."""

    def __init__(self, config: ServerConfig, guard: Guard) -> None:
        self.config = config
        self.guard = guard
        self.connections: set[Connection] = set()
        self.draining = False
        self._sole: PredictionDesk

    def open(self, desk: PredictionDesk) -> None:
        """Requests are for this desk."""
        self._sole = desk

    def handle(self, connection: Connection, request: Request) -> None:
        """Answers, now or later."""
        self._sole.handle(connection, request)

    def spool(self, url: bytes) -> Spool | None:
        """Where a large body goes."""
        return self._sole.spool(url)

    def count(self, status: int) -> None:
        """An answer of that status was sent."""
        self._sole.count(status)

    def scope(self, url: bytes) -> int:
        """The scopes of which a token needs one for this address."""
        return self._sole.scope(url)
