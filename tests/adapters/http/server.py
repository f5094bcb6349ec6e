"""A JSON interface on this machine: rows behind pages of every kind, and whatever may go wrong with a server."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

Rows = list[dict[str, Any]]
Fault = Callable[["_Handler"], bool]
"""Answers in its own way, and says whether it did."""


@dataclass
class World:
    """What a server knows: its rows in order, how many go on a page, and `faults`, each of which spoils one answer, in
    turn. `asked` holds every question: path, parameters and headers."""

    rows: Rows = field(default_factory=list)
    size: int = 60
    faults: Iterator[Fault | None] = field(default_factory=lambda: iter(()))
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    world: World

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.world.asked.append((parts.path, query, dict(self.headers)))
        fault = next(self.world.faults, None)
        if fault is None or not fault(self):
            getattr(self, f"_{parts.path.strip('/')}")(query)

    def give(
        self, content: object, status: int = 200, headers: Iterable[tuple[str, str]] = (), *, size: int = 0
    ) -> None:
        """Answer; with `size` say that so many bytes come."""
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(size or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = bool(size)

    def _within(self, query: dict[str, str]) -> Rows:
        since, until = query.get("since"), query.get("until")
        found = self.world.rows
        if since:
            found = [row for row in found if _instant(row["at"]) > _instant(since)]
        return [row for row in found if _instant(row["at"]) <= _instant(until)] if until else found

    def _whole(self, query: dict[str, str]) -> None:
        self.give(self._within(query))

    def _cursor(self, query: dict[str, str]) -> None:
        rows, size = self._within(query), int(query.get("limit", self.world.size))
        start = int(query.get("after", "c0")[1:])
        following = f"c{start + size}" if start + size < len(rows) else None
        body = orjson.dumps({"data": {"items": rows[start : start + size]}, "meta": {"next": following}})
        packed = gzip.compress(body) if "gzip" in self.headers.get("Accept-Encoding", "") else body
        self.give(packed, headers=[("Content-Encoding", "gzip")] if packed is not body else [])

    def _link(self, query: dict[str, str]) -> None:
        start, size = int(query.get("start", 0)), self.world.size
        more = start + size < len(self.world.rows)
        kept = "".join(f"&{name}={value}" for name, value in query.items() if name != "start")
        link = [("Link", f'</link?start=0>; rel="first", </link?start={start + size}{kept}>; rel="next"')]
        self.give(self.world.rows[start : start + size], headers=link if more else [])

    def _offset(self, query: dict[str, str]) -> None:
        start = int(query.get("offset", 0))
        self.give({"rows": self.world.rows[start : start + self.world.size]})

    def _number(self, query: dict[str, str]) -> None:
        start = (int(query.get("p", 1)) - 1) * self.world.size
        self.give({"rows": self.world.rows[start : start + self.world.size]})

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A caller that went away is no news."""


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@contextmanager
def serving(world: World, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """The address of a server of this world; with a certificate and its key, over TLS as localhost."""
    handler = type("Handler", (_Handler,), {"world": world})
    server = _Server(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        host = "http://127.0.0.1" if certificate is None else "https://localhost"
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, *headers: tuple[str, str], body: bytes = b"{}") -> Fault:
    """Answers with a status."""

    def answer(handler: _Handler) -> bool:
        handler.give(body, code, headers)
        return True

    return answer


def half(handler: _Handler) -> bool:
    """Breaks off in the middle of its answer."""
    handler.give(b'{"data": {"items": [{"id": "trip', size=5_000)
    return True


def half_unsaid(handler: _Handler) -> bool:
    """Breaks off in the middle of an answer of which it has not said how long it is."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(b'[{"id": "trip')
    handler.close_connection = True
    return True


def hangs(seconds: float) -> Fault:
    """Says nothing for so long."""

    def answer(handler: _Handler) -> bool:
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return answer


def drips(pieces: int, pause: float) -> Fault:
    """Answers a byte at a time."""

    def answer(handler: _Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(pieces + 100))
        handler.end_headers()
        for _ in range(pieces):
            try:
                handler.wfile.write(b" ")
            except OSError:
                break
            time.sleep(pause)
        handler.close_connection = True
        return True

    return answer


def bomb(handler: _Handler) -> bool:
    """Answers with little that unpacks to much."""
    packed = gzip.compress(b" " * 200_000_000, 9)
    handler.give(packed, headers=[("Content-Encoding", "gzip")])
    return True
