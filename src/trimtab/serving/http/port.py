"""What a connection needs of whoever answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import Guard
from trimtab.serving.http.crowd import Crowd
from trimtab.serving.http.origins import Origins
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool

if TYPE_CHECKING:
    from trimtab.serving.http.connection import Connection


class Desk(Protocol):
    """What a connection hands whole requests to."""

    config: ServerConfig
    crowd: Crowd
    origins: Origins
    draining: bool

    def handle(self, connection: Connection, request: Request) -> None:
        """Answers, now or later, with `connection.answer`."""
        ...

    def spool(self, url: bytes) -> Spool | None:
        """Where a body goes that is larger than others may be, or of unknown length; None: it is read as any other."""
        ...

    def count(self, status: int) -> None:
        """An answer of that status was sent."""
        ...

    def admission(self, url: bytes) -> tuple[Guard, int]:
        """Who lets in whoever asks for this address, and the flags of the scopes of which a token needs one; 0: it
        needs no token."""
        ...
