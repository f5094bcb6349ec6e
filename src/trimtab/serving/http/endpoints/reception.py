"""What all connections of a process share: who is connected, and which system's desk a request is for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import orjson

from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import Guard
from trimtab.serving.access.scopes import ADMIN, ANY, OPEN
from trimtab.serving.execution.questions import read_json
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.crowd import Crowd, Guest
from trimtab.serving.http.endpoints.desk import PredictionDesk
from trimtab.serving.http.endpoints.later import Later
from trimtab.serving.http.endpoints.meant import meant
from trimtab.serving.http.endpoints.overview import Overview
from trimtab.serving.http.origins import Origins
from trimtab.serving.http.replies import JSON, TEXT
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.open_inference.metadata import server_metadata
from trimtab.serving.refusals import RefusalError
from trimtab.serving.whole import statistics

_PAGE = ([""], ["try"])
Work = Callable[[Request], Coroutine[None, None, bytes]]


class Own(NamedTuple):
    """An address that the reception answers itself: `work` makes the answer's body."""

    method: bytes
    scope: int
    work: Work
    kind: bytes = JSON


class Reception:
    """Hands each request to the desk of its system. `config` has the limits of connections; `names` are the systems
    there should be. What concerns all systems, or all processes, it answers itself."""

    def __init__(self, config: ServerConfig, names: tuple[str, ...]) -> None:
        self.config = config
        self.crowd = Crowd(config)
        self.origins = Origins(config.cors, config.host)
        self.draining = False
        self.desks: dict[str, PredictionDesk] = {}
        self.absent: dict[str, str] = {}
        self._names = names
        self._sole: PredictionDesk | None = None
        self.count: Callable[[int], None] = _uncounted
        self._later = Later()
        self._own: dict[bytes, Own] = {}

    @property
    def connections(self) -> set[Guest]:
        """Everybody who is connected."""
        return self.crowd.connections

    def open(self, desk: PredictionDesk) -> None:
        """A system is served from here on."""
        self.desks[desk.config.system] = desk
        if self.count is _uncounted:  # what answers were sent belongs to the process: the first desk keeps the count
            self.count = desk.count
        self.absent.pop(desk.config.system, None)
        self._sole = desk if len(self._names) == 1 else None

    def oversee(self, overview: Overview) -> None:
        """Answers for all: of several systems, or of a process that is not the only one."""
        self._overview = overview
        self._own[b"/metrics"] = Own(b"GET", ADMIN, self._metrics, TEXT)
        for name in self._names:
            self._own[f"/trimtab/status/{name}".encode()] = Own(b"GET", ADMIN, self._status_of(name))
        if len(self._names) == 1:
            self._own[b"/trimtab/status"] = Own(b"GET", ADMIN, self._status_of(self._names[0]))
        else:
            self._own |= {
                b"/v2": Own(b"GET", ANY, self._server),
                b"/v2/health/live": Own(b"GET", OPEN, self._live),
                b"/v2/health/ready": Own(b"GET", OPEN, self._ready),
                b"/v2/models/stats": Own(b"GET", ADMIN, self._statistics),
                b"/v2/repository/index": Own(b"POST", ANY, self._index),
            }

    def handle(self, connection: HttpCaller, request: Request) -> None:
        """Answers, now or later."""
        if request.head is not None and request.head.desk is not None:
            request.head.desk.handle(connection, request)
        elif self._own and (own := self._own.get(request.url.partition(b"?")[0])) is not None:
            if request.method == own.method:
                self._later.answer(connection, own.work(request), own.kind)
            else:
                allowed = own.method.decode()
                told = f"{request.method.decode('latin-1')} is not how to ask this: use {allowed}"
                connection.refuse(RefusalError(405, told, allow=allowed))
        elif self._sole is not None:
            if request.head is not None:
                request.head.desk = self._sole
            self._sole.handle(connection, request)
        else:
            try:
                desk = self._find(request.url)
            except RefusalError as error:
                connection.refuse(error)
            else:
                if len(request.body) > desk.config.max_body:
                    told = f"the body is larger than {desk.config.max_body:,} bytes"
                    connection.refuse(RefusalError(413, told, hint="send fewer rows at a time"))
                else:
                    desk.handle(connection, request)

    def spool(self, url: bytes) -> Spool | None:
        """Where a large body goes. Raises RefusalError."""
        try:
            desk = self._sole or self._find(url)
        except RefusalError:
            return None
        return desk.spool(url)

    def admission(self, url: bytes) -> tuple[Guard, int]:
        """Who lets in whoever asks for this address, and the scopes of which a token needs one. What concerns all
        systems, and what is nobody's, is in the hands of the first."""
        if self._sole is not None:
            return self._sole.admission(url)
        try:
            return self._find(url).admission(url)
        except RefusalError:
            own = self._own.get(url.partition(b"?")[0])
            return next(iter(self.desks.values())).system.guard, ANY if own is None else own.scope

    def _find(self, url: bytes) -> PredictionDesk:
        """The desk of the system that an address names: `/v2/models/<system>...`, or last, as in `/predict/<system>`.
        Raises RefusalError."""
        parts = unquote(url.partition(b"?")[0].decode("latin-1")).split("/")
        if parts[1:] in _PAGE and self.desks:  # the page asks by itself which systems there are
            return next(iter(self.desks.values()))
        if parts[1:3] == ["v2", "models"]:
            name = parts[3] if len(parts) > 3 else ""
        elif parts[1:4] == ["v2", "repository", "models"]:
            name = parts[4] if len(parts) > 4 else ""
        else:
            name = parts[-1]
        desk = self.desks.get(name)
        if desk is not None:
            return desk
        if name in self.absent:
            raise RefusalError(503, f"system {name!r} is not served: {self.absent[name]}", retry_after=5.0)
        told = ", ".join(self._names)
        if parts[1] == "v2":
            raise RefusalError(404, f"no such model or call: this server serves {told}")
        path, any_of_them = "/".join(parts)[:200].rstrip("/"), next(iter(self.desks.values()), None)
        hint = f"`GET /openapi.json/<system>` lists them all, of {told}"
        if any_of_them is not None and any_of_them.knows("/".join(parts[:-1])):
            raise RefusalError(404, f"no such system: {name[:200]!r}", hint=f"this server serves {told}")
        if any_of_them is None or any_of_them.knows(path):
            hint = f"this server has several systems: ask {path}/<system>, of {told}"
        raise RefusalError(404, f"no such address: {path or '/'}", hint=meant(path, "<system>") or hint)

    def _status_of(self, name: str) -> Work:
        async def status(_: Request) -> bytes:
            if name not in self.desks:
                raise RefusalError(503, f"system {name!r} is not served: {self.absent.get(name, 'it is being opened')}")
            return msgspec.json.encode(await self._overview.status(name))

        return status

    async def _metrics(self, _: Request) -> bytes:
        return (await self._overview.metrics()).encode()

    async def _server(self, _: Request) -> bytes:
        errors = {name: desk.about.error for name, desk in self.desks.items() if desk.about.error}
        return orjson.dumps(server_metadata() | {"systems": list(self._names), "errors": errors | self.absent})

    async def _live(self, _: Request) -> bytes:
        return b'{"live":true}'

    async def _ready(self, _: Request) -> bytes:
        """Every system has a live release."""
        why = self.absent | {name: told for name, desk in self.desks.items() if (told := desk.system.why_not_ready())}
        if why:
            name, told = next(iter(why.items()))
            raise RefusalError(503, f"system {name!r}: {told}", more={"ready": False, "errors": why})
        return b'{"ready":true}'

    async def _statistics(self, _: Request) -> bytes:
        told: list[dict[str, Any]] = []
        for desk in self.desks.values():
            told += await statistics(desk.system)
        return orjson.dumps({"model_stats": told})

    async def _index(self, request: Request) -> bytes:
        asked = read_json(request.body) if request.body else {}
        told: list[dict[str, str]] = []
        for desk in self.desks.values():
            told += desk.about.indexed(asked)
        return orjson.dumps(told)


def _uncounted(_: int) -> None:
    """No system is served yet."""
