"""A target that only keeps what is wanted: for when no server runs here, or one runs elsewhere on the same folder."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trimtab.errors import TemporaryError
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.model import Routes
from trimtab.records.server import ServerStatus


class RoutesFile:
    """Writes the routes where a server that starts on this state folder will find them."""

    def __init__(self, state: Path) -> None:
        self._layout = Layout(state)

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def apply(self, routes: Routes) -> None:
        """Keep the routes, durably."""
        self._layout.serve.mkdir(parents=True, exist_ok=True)
        write_atomically(self._layout.routes, msgspec.json.encode(routes))

    def status(self) -> ServerStatus | None:
        """None: no server of this object's runs."""
        return None

    @property
    def url(self) -> str:
        """Raises TemporaryError: there is no server to reach."""
        raise TemporaryError("no prediction server runs", hint="start one with `trimtab serve` or `trimtab up`")
