"""The routes that are wanted and the fleet that is in force: watches `serve/routes.json`, loads, swaps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import PermanentError, TrimtabError
from trimtab.records.model import Routes
from trimtab.serving.routing.beside import beside
from trimtab.serving.routing.releases import Fleet, load_fleet

if TYPE_CHECKING:
    from trimtab.records.blobs import Blobs

_LOG = logging.getLogger("trimtab.serving")
_EVERY = 0.02
_AGAIN = 5.0


class Desired:
    """`fleet` is in force for every request from now on; those that came before keep the one they met.

    `applied` is the generation in force as a whole (-1: none), `wanted` the newest seen, `error` why that is not in
    force, `begun` true once what was wanted at the start is in force or cannot be. At the start, where nothing is in
    force yet, a live release that loads is served even when another route does not. What is not loaded within
    `patience` seconds is given up.
    """

    def __init__(
        self, system: str, path: Path, blobs: Blobs, failed: Callable[[], None], patience: float = 120.0
    ) -> None:
        self.fleet = Fleet(-1, ())
        self.applied = -1
        self.wanted = -1
        self.error = ""
        self.loading = False
        self.begun = False
        self._system = system
        self._path = path
        self._blobs = blobs
        self._failed = failed
        self._patience = patience
        self._seen: tuple[int, int, int] | None = None
        self._again = float("inf")

    async def watch(self, applied: Callable[[Fleet], None], begun: Callable[[], None]) -> None:
        """Runs for as long as the server does; `applied` is called after each swap, `begun` once, when
        what was wanted at the start is in force or cannot be."""
        while True:
            stamp = self._stamp()
            if stamp is not None and (stamp != self._seen or time.monotonic() > self._again):
                self._seen = stamp
                await self._load(applied)
            if not self.begun:
                self.begun = True
                begun()
            await asyncio.sleep(_EVERY)

    def why_not_ready(self) -> str:
        """One line for callers, when no release is live."""
        if self.error:
            return f"no model is being served: {self.error}"
        if self.loading or not self.begun:
            return "no model is being served yet: it is being loaded"
        return "no model is being served yet: no release has been routed"

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    async def _load(self, applied: Callable[[Fleet], None]) -> None:
        self.loading = True
        started = time.monotonic()
        try:
            fleet, error = await beside(self._read, self._patience)
        except TrimtabError as trouble:
            self._fault(trouble.message)
            return
        except TimeoutError:
            self._fault(f"it was not loaded within {self._patience:g} s: code of its own hangs, or it is too large")
            self._again = float("inf")  # its thread is still at it: only other routes are worth another one
            return
        finally:
            self.loading = False
        self.fleet = fleet
        if error:
            self._fault(error)
        else:
            self.applied, self.error, self._again = fleet.generation, "", float("inf")
            told = ", ".join(f"{one.release} {one.stage}" for one in fleet.releases)
            took = time.monotonic() - started
            _LOG.info("generation %d is in force after %.2f s: %s", fleet.generation, took, told or "nothing is served")
        applied(fleet)

    def _fault(self, message: str) -> None:
        if message != self.error:
            self._failed()
            _LOG.error("generation %d is not in force: %s", self.wanted, message)
        self.error = message
        self._again = time.monotonic() + _AGAIN

    def _read(self) -> tuple[Fleet, str]:
        """In a thread: the fleet that the file asks for, or what can be served of it and why not the rest."""
        try:
            routes = msgspec.json.decode(self._path.read_bytes(), type=Routes)
        except (OSError, msgspec.MsgspecError) as error:
            raise PermanentError(f"{self._path.name} cannot be read: {error}") from error
        if routes.generation != self.wanted:
            self.error = ""  # it was about the former one, and whoever waits for this one must not take it for its own
            self.wanted = routes.generation
        if routes.system != self._system:
            raise PermanentError(f"the routes are for system {routes.system!r}; this server is for {self._system!r}")
        try:
            return load_fleet(routes, self._blobs, self.fleet), ""
        except TrimtabError as error:
            live = tuple(route for route in routes.routes if route.stage == "live")
            if self.fleet.live is not None or len(live) != 1 or len(live) == len(routes.routes):
                raise
            part = msgspec.structs.replace(routes, routes=live)
            return load_fleet(part, self._blobs, self.fleet), error.message
