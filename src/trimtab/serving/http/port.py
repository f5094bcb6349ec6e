"""What a connection needs of whoever answers."""

from __future__ import annotations

from typing import Protocol

from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import Guard
from trimtab.serving.http.crowd import Crowd
from trimtab.serving.http.origins import Origins
from trimtab.serving.http.request import Answerer
from trimtab.serving.http.spool import Spool


class Desk(Answerer, Protocol):
    """What a connection hands whole requests to."""

    config: ServerConfig
    crowd: Crowd
    origins: Origins
    draining: bool

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
