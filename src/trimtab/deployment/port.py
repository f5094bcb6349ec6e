"""Where releases run: what Trimtab asks of any place that serves them."""

from __future__ import annotations

from typing import Protocol

from trimtab.records.model import Routes
from trimtab.records.server import ServerStatus


class Target(Protocol):
    """A place that serves releases.

    An implementation guarantees:

    * `apply` is all or nothing: when it returns, every request that begins afterwards is answered by those routes; when
      it raises, the former routes stay in force. The change drops no request; those in flight end on what they began.
    * `apply` of the generation in force does nothing and returns; so it may be repeated after a crash.
    * What was applied last is served again after the place, or the machine, has been restarted.
    * A row that was answered is in the telemetry, also when the server is killed right after.
    """

    def start(self) -> None:
        """Makes the place serve; does nothing where it does. Raises TrimtabError with the server's own reason."""
        ...

    def stop(self) -> None:
        """Ends serving in order: what is in flight is answered first. Does nothing where it is not running."""
        ...

    def apply(self, routes: Routes) -> None:
        """Puts routes in force and waits until they are. Raises TrimtabError with the server's own reason."""
        ...

    def status(self) -> ServerStatus | None:
        """What the server says about itself; None when it is not running."""
        ...

    @property
    def url(self) -> str:
        """Where callers reach it. Raises TemporaryError when it is not running."""
        ...
