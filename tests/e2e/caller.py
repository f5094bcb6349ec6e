"""A caller who does not belong to the replay: asks one row at a time, all the while, and remembers what became of it.

Its rows lie in the year 2000, outside every window the loop looks at, so that they change no fact.
"""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
import orjson
from tests.e2e.replaying import OUTSIDE

from trimtab.records.layout import Layout
from trimtab.records.server import ServerInfo

_ROW = {"tide": 3.1, "wind": 0.4, "pressure": 1011.5, "quay": "fish", "swell": 1.2}


class Asked(NamedTuple):
    """One question that was sent whole: to which server process, when, and the status of its answer (0: none came)."""

    id: str
    pid: int
    sent: float
    status: int


class OutsideCaller(threading.Thread):
    """Asks about a hundred times a second, for as long as there is a server, until `stop`."""

    def __init__(self, state: Path) -> None:
        super().__init__(daemon=True)
        self.asked: list[Asked] = []
        self._file = Layout(state).server
        self._over = threading.Event()
        self._numbers = count()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.01):
            with suppress(OSError, msgspec.MsgspecError):
                info = msgspec.json.decode(self._file.read_bytes(), type=ServerInfo)
                with closing(http.client.HTTPConnection(info.host, info.port, timeout=30)) as connection:
                    connection.connect()
                    while self._ask(connection, info.pid) and not self._over.wait(0.01):
                        pass

    def _ask(self, connection: http.client.HTTPConnection, pid: int) -> bool:
        """One question; whether the connection is good for another. Raises OSError when it could not be sent whole."""
        name = f"{OUTSIDE}{next(self._numbers)}"
        body = orjson.dumps({"rows": [_ROW], "ids": [name], "time": "2000-01-01T00:00:00Z"})
        sent, status, good = time.monotonic(), 0, False
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        with suppress(OSError, http.client.HTTPException):
            response = connection.getresponse()
            response.read()
            status, good = response.status, not response.will_close
        self.asked.append(Asked(name, pid, sent, status))
        return good
