"""The HTTP reader and connection under any bytes: what they hand over, and what they answer.

Held to, for every input: nothing is raised; all that is written are whole answers; each request that was handed over
has one; after a refusal nothing is handed over any more; it is the same requests however the bytes are cut; and where
h11, a parser by other people, understands a request too, it understands the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import h11
from tests.fuzz.wire import MARK, cut, held, opened

from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import Guard
from trimtab.serving.access.scopes import OPEN, PREDICT
from trimtab.serving.http.connections.connection import Connection
from trimtab.serving.http.crowd import Crowd
from trimtab.serving.http.origins import Origins
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool

_MOST = 4096


class Handed(NamedTuple):
    """A request as the desk got it; `fields` are its header lines, names in lower case."""

    method: bytes
    target: bytes
    body: bytes
    fields: tuple[tuple[bytes, bytes], ...] = ()
    token: bytes = b""


class EchoDesk:
    """Answers at once with what it got; `later` keeps every other request waiting."""

    def __init__(self, folder: Path, *, later: bool = False) -> None:
        self.config = ServerConfig(
            system="echo",
            max_body=_MOST,
            max_header=2048,
            max_held=4 * _MOST,
            compress_over=10**9,
            cors=("http://a.b",),
        )
        self.crowd = Crowd(self.config)
        self.origins = Origins(self.config.cors, self.config.host)
        self.draining = False
        self.handed: list[Handed] = []
        self.counted: list[int] = []
        self._guard = Guard(folder / "no-tokens.json", {})
        self._later = later
        self._held: Connection | None = None

    def handle(self, connection: Connection, request: Request) -> None:
        method = b"HEAD" if request.bare else request.method
        fields = tuple((name.lower(), value) for name, value in request.fields)
        self.handed.append(Handed(method, request.url, request.body, fields, request.token))
        if self._later and len(self.handed) % 2:
            self._held = connection
        else:
            connection.answer(200, request.body)

    def go_on(self) -> bool:
        """Answers what waits."""
        held, self._held = self._held, None
        if held is not None:
            held.answer(200, self.handed[-1].body)
        return held is not None

    def spool(self, url: bytes) -> Spool | None:
        return None

    def count(self, status: int) -> None:
        self.counted.append(status)

    def admission(self, url: bytes) -> tuple[Guard, int]:
        return self._guard, OPEN if url == b"/open" else PREDICT


class Seen(NamedTuple):
    """What became of one input."""

    handed: list[Handed]
    statuses: list[int]
    closed: bool


class HttpTarget:
    """Call it with bytes. The first byte says how they are cut in the second run: see `cut`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        logging.getLogger("trimtab.serving").addHandler(_Raise())

    def __call__(self, data: bytes) -> None:
        pattern, data = data[:1], data[1:]
        whole = self._run(data, 0, later=False)
        pieces = self._run(data, pattern[0] if pattern else 1, later=True)
        assert pieces.handed == whole.handed, f"cut differently:\n{whole}\n{pieces}"
        assert _outcomes(pieces) == _outcomes(whole), f"cut differently:\n{whole}\n{pieces}"
        _compare(data.replace(MARK, b""), whole)

    def _run(self, data: bytes, pattern: int, *, later: bool) -> Seen:
        desk, threads = EchoDesk(self._folder, later=later), Threads()
        asyncio._set_running_loop(threads)  # type: ignore[arg-type]
        try:
            connection, transport = opened(desk)
            for piece in cut(data, pattern):
                connection.data_received(piece)
                while transport.paused and (desk.go_on() or threads.work()):
                    pass
            while desk.go_on() or threads.work():
                pass
            ended = transport.ended
            connection.connection_lost(None)
        finally:
            asyncio._set_running_loop(None)
        found = held(connection, transport, desk.counted)
        assert found.count(200) == len(desk.handed), "not one answer for each request that was handed over"
        assert desk.crowd.room == desk.config.max_held, "room for bodies is lost"
        assert not desk.crowd.connections
        return Seen(desk.handed, found, ended)


def _outcomes(seen: Seen) -> list[int]:
    """The statuses; of what is wrong with the last, something else may be noticed first."""
    return [*seen.statuses[:-1], min(seen.statuses[-1], 400)] if seen.closed and seen.statuses else seen.statuses


class Threads:
    """Stands for the loop and its threads: what they are given is done when it is asked for, in that order."""

    def __init__(self) -> None:
        self._work: list[tuple[Future[Any], Callable[[], Any]]] = []

    def run_in_executor(self, _: None, work: Callable[..., Any], *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.append((future, lambda: work(*given)))
        return future

    def work(self) -> bool:
        """Does one piece of work; false when there is none."""
        if not self._work:
            return False
        future, work = self._work.pop(0)
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        return True


class _Raise(logging.Handler):
    """A fault of ours that was caught and logged is a finding."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            raise record.exc_info[1]


def _compare(data: bytes, seen: Seen) -> None:
    """Holds what was handed over to what h11 makes of the same bytes, as far as it goes along."""
    for ours, theirs in zip(seen.handed, _by_h11(data), strict=False):
        target = theirs.target
        if not target.startswith(b"/") and b"://" in target:
            rest = target.partition(b"://")[2]
            at = min((place for place in (rest.find(b"/"), rest.find(b"?"), rest.find(b"#")) if place >= 0), default=-1)
            target = b"/" if at < 0 else rest[at:] if rest[at : at + 1] == b"/" else b"/" + rest[at:]
        alike = ours[:3] == (theirs.method, target, theirs.body)
        assert alike, f"h11 reads {theirs}, we read {ours}"


def _by_h11(data: bytes) -> list[Handed]:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    found: list[Handed] = []
    try:
        parser.receive_data(data)
        while True:
            request = parser.next_event()
            if not isinstance(request, h11.Request):
                return found
            parts = []
            while not isinstance(event := parser.next_event(), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    return found
                parts.append(bytes(event.data))
            if any(name in {b"content-encoding", b"origin"} for name, _ in request.headers):
                return found  # we may inflate it, or answer it ourselves
            found.append(Handed(bytes(request.method), bytes(request.target), b"".join(parts)))
            parser.send(h11.Response(status_code=204, headers=[]))
            parser.send(h11.EndOfMessage())
            parser.start_next_cycle()
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return found
