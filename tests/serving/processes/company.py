"""What the tests of several processes share: a server of some, and how to see which of them answers."""

from __future__ import annotations

import re
import socket

from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import Running, until

from trimtab.records.server import ProcessStatus

ROW = {"distance": 1.0, "carrier": "AA"}
REQUEST = b'POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 33\r\n\r\n[{"distance":1.0,"carrier":"AA"}]'


def started(make: Make, processes: int = 2, **settings: object) -> Running:
    """A server of that many processes with one live release, all of them serving."""
    server = make(processes=processes, **settings)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    until(lambda: all(one.state == "serving" for one in processes_of(server)))
    return server


def processes_of(server: Running) -> tuple[ProcessStatus, ...]:
    """Its processes, as it tells of them."""
    return server.status().processes


def connections(server: Running, count: int) -> list[socket.socket]:
    """That many connections, each of which has been answered once."""
    made = [server.connect() for _ in range(count)]
    for sock in made:
        sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    return made


def series(text: str, name: str) -> float:
    """The sum of the samples of one name in a Prometheus text."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))
