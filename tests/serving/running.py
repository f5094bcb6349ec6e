"""A real server process for the tests, and plain ways to talk to it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import orjson
from tests.serving import models

from trimtab.deployment.local import LocalServer
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.model import Route, Routes
from trimtab.records.server import ServerConfig, ServerInfo, ServerStatus
from trimtab.serving.client.sync import Client
from trimtab.serving.config import write_config
from trimtab.serving.telemetry.reading.reader import TelemetryReader


class Running:
    """One state folder with its server."""

    def __init__(self, root: Path, config: ServerConfig | None = None, token: str | None = None) -> None:
        self.layout = Layout(root)
        self.blobs = Blobs(self.layout.blobs)
        self.local = LocalServer(root, config or ServerConfig(system=models.SYSTEM, port=0), token=token)
        self.token = token
        self.generation = 0

    def start(self) -> Running:
        self.local.start()
        return self

    @property
    def url(self) -> str:
        return self.local.url

    @property
    def grpc(self) -> str:
        info = msgspec.json.decode(self.layout.server.read_bytes(), type=ServerInfo)
        assert info.grpc_address is not None
        return info.grpc_address

    def route(self, *those: Route, offset: float = 0.0) -> None:
        self.generation += 1
        self.local.apply(msgspec.structs.replace(models.routes(self.generation, *those), offset=offset))

    def client(self, patience: float = 10.0) -> Client:
        return Client(self.url, self.token, patience=patience)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """One request on a connection of its own; bytes go as they are, other bodies as JSON."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        sent = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        try:
            connection.request(method, path, sent, headers or {})
            response = connection.getresponse()
            return response.status, orjson.loads(response.read())
        finally:
            connection.close()

    def wait_ready(self) -> None:
        until(lambda: self.ask("GET", "/v2/health/ready")[0] == 200)

    def status(self) -> ServerStatus:
        with self.client() as client:
            return client.status()

    def connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)

    def reader(self) -> TelemetryReader:
        reader = TelemetryReader(self.layout.telemetry)
        reader.refresh()
        return reader

    def kill(self) -> None:
        pid = self.local.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.local.pid != pid)


@contextmanager
def several(root: Path, made: Mapping[str, bytes]) -> Iterator[str]:
    """One server for several systems: the models by the name of their system, each live as `<name>-1`. Its address."""
    words = [sys.executable, "-m", "trimtab.serving"]
    for name, model in made.items():
        layout = Layout(root / name)
        live = models.route(f"{name}-1", models.bundle(Blobs(layout.blobs), model))
        layout.serve.mkdir(parents=True)
        layout.routes.write_bytes(
            models.encoded(Routes(generation=1, system=name, routes=(live,), written=datetime.now(UTC)))
        )
        write_config(layout.serve_config, ServerConfig(system=name, port=0))
        words += ["--state", str(layout.root)]
    info = Layout(root / next(iter(made))).server
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            until(info.exists)
            yield msgspec.json.decode(info.read_bytes(), type=ServerInfo).url
        finally:
            process.terminate()


def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.005)


def receive_all(sock: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    while data := sock.recv(65_536):
        parts.append(data)
    return b"".join(parts)
