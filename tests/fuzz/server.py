"""The whole server, in this process and with a real model, under any body to any address.

Held to, for every input: one whole answer; none that says that the server failed; nothing in its log; and JSON where it
says so.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import tempfile
from pathlib import Path

import msgspec
import orjson
from tests.fuzz.wire import held, opened
from tests.serving import models, pictures

from trimtab.records.blobs import Blobs
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.server import ServerConfig
from trimtab.serving.config import write_config
from trimtab.serving.server import Server

MODEL = f"/v2/models/{models.SYSTEM}"
ADDRESSES = (
    "/predict", f"{MODEL}/infer", "/feedback", "/v2/repository/index", f"{MODEL}/versions/model-r1/infer",
    "/predict?explain=true", f"/v2/repository/models/{models.SYSTEM}/load", f"{MODEL}/versions/x/infer",
)  # fmt: skip
LINES = (
    "content-type: application/octet-stream", "content-type: image/png", "content-type: audio/wav", "accept: a/b",
    "x-request-timeout-ms: 50", "x-sticky-key: k", "accept-encoding: gzip", "content-encoding: gzip",
)  # fmt: skip
_RENEWED = 20_000  # runs after which the server begins anew: what it remembers of predictions is no leak


class ServerTarget:
    """Call it with bytes: address, header lines, length of the JSON part (two bytes; 65535: not told), body.
    `pictures`: with a model of images instead of columns."""

    def __init__(self, *, pictures: bool = False) -> None:
        self._pictures = pictures
        self._loop = asyncio.new_event_loop()
        self._runs = 0
        self._complaints = _Complaints()
        logging.getLogger("trimtab.serving").addHandler(self._complaints)
        self._begin()

    def __call__(self, data: bytes) -> None:
        self._runs += 1
        if self._runs % _RENEWED == 0:
            self.close()
            self._begin()
        self._loop.run_until_complete(asyncio.wait_for(self._ask(as_request(data)), 20.0))
        assert not self._complaints.said, self._complaints.said

    def close(self) -> None:
        """Ends the server."""
        self._server._over.set()
        self._loop.run_until_complete(self._running)
        del self._server, self._running
        gc.unfreeze()  # a server freezes what it has loaded for good, which here would be for each that has ended
        gc.collect()
        shutil.rmtree(self._folder)

    def _begin(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        layout = Layout(self._folder)
        config = ServerConfig(system=models.SYSTEM, port=0, max_rows=64, max_body=2**20, answer_timeout=10.0)
        write_config(layout.serve_config, config)
        blobs = Blobs(layout.blobs)
        made = pictures.colours(blobs) if self._pictures else models.bundle(blobs, models.sigmoid([0.001, 0.5]))
        write_atomically(layout.routes, msgspec.json.encode(models.routes(1, models.route("r1", made))))
        self._server = Server([self._folder])
        self._running = self._loop.create_task(self._server.run())
        self._loop.run_until_complete(asyncio.wait_for(self._until_live(), 30.0))

    async def _until_live(self) -> None:
        while not (self._server._systems[0].desired.applied == 1 and self._server._reception.desks):
            assert not self._running.done(), self._running.exception()
            await asyncio.sleep(0.01)

    async def _ask(self, request: bytes) -> None:
        reception = self._server._reception
        connection, transport = opened(reception)
        counted: list[int] = []
        connection._desk = _Counting(reception, counted)  # type: ignore[assignment]
        connection.data_received(request)
        while connection._busy:
            await asyncio.sleep(0)
        connection.connection_lost(None)
        found = held(connection, transport, counted)
        assert len(found) == 1, found
        head, _, body = b"".join(transport.written).partition(b"\r\n\r\n")
        assert b"the server failed" not in body, body
        if b"\r\ncontent-type: application/json\r\n" in head and b"content-encoding" not in head:
            orjson.loads(body)


class _Counting:
    """The reception, and the statuses of one connection's answers."""

    def __init__(self, reception: object, counted: list[int]) -> None:
        self._reception = reception
        self._counted = counted

    def __getattr__(self, name: str) -> object:
        return getattr(self._reception, name)

    def count(self, status: int) -> None:
        self._counted.append(status)


class _Complaints(logging.Handler):
    """What the server says is wrong with itself."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


def as_request(data: bytes) -> bytes:
    """The request that an input stands for."""
    data = data.ljust(4, b"\0")
    path, flags, length, body = ADDRESSES[data[0] % len(ADDRESSES)], data[1], data[2] | data[3] << 8, data[4:]
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [LINES[0]] if flags & 1 else [LINES[1 + (flags >> 6) % 2]] if flags & 2 else []
    lines += [line for bit, line in enumerate(LINES[3:], 2) if flags & 1 << bit]
    if length != 65_535:
        lines.append(f"inference-header-content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_input(path: str, body: bytes, length: int = 65_535, flags: int = 0) -> bytes:
    """The input that stands for a request."""
    return bytes([ADDRESSES.index(path), flags, length & 255, length >> 8]) + body
