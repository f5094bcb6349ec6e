"""Which of several processes callers meet: connections that stay, that come for a request each, and after a death."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from urllib.parse import urlsplit

import orjson
from tests.serving.callers import Callers
from tests.serving.conftest import Make
from tests.serving.processes.company import ROW, processes_of, series, started
from tests.serving.running import Running, until

BODY = orjson.dumps([ROW])


class Pool(Callers):
    """Callers that each keep a connection for as long as the server does, and never ask again what failed."""

    def __init__(self, server: Running, callers: int) -> None:
        super().__init__(self._ask, callers)
        self.answered = 0
        self.moved = 0
        self.failures: list[str] = []
        self._address = urlsplit(server.url).netloc

    def _ask(self, _: int, over: threading.Event) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        while not over.wait(0.01):
            try:
                connection.request("POST", "/predict", BODY)
                response = connection.getresponse()
                response.read()
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
            else:
                self.answered += response.status == 200
                self.moved += response.getheader("connection") == "close"
        connection.close()


def counted(server: Running, slot: int) -> float:
    """Requests that the process on a seat has answered, as it noted within the last second."""
    files = (server.layout.serve / "processes").glob(f"{slot}-*.counted")
    return max((series(one.read_text(), "trimtab_requests_total") for one in files), default=0.0)


def test_callers_that_stay_are_shared_with_one_that_took_anothers_place(make: Make) -> None:
    """Those of the process that died come again while it is not there, and all meet the other one: they move back, and
    none of them notices more than that an answer ends its connection."""
    server = started(make)
    with Pool(server, 12) as pool:
        until(lambda: sum(one.connections for one in processes_of(server)) >= 12)
        os.kill(processes_of(server)[1].pid, signal.SIGKILL)
        until(lambda: (one := processes_of(server)[1]).starts == 2 and one.state == "serving")
        until(lambda: abs(processes_of(server)[0].connections - processes_of(server)[1].connections) <= 2)
        failed, before = len(pool.failures), counted(server, 1)
        until(lambda: counted(server, 1) > before)
    assert failed <= 12, pool.failures  # what the dead process had read, once for each of its callers
    assert len(pool.failures) == failed
    assert pool.answered > 100


def test_a_connection_for_each_request_finds_all_processes(make: Make) -> None:
    server = started(make, 3)
    time.sleep(1.1)  # what was asked until here has been noted
    before = [counted(server, slot) for slot in range(3)]
    for _ in range(600):
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        connection.request("POST", "/predict", BODY, {"connection": "close"})
        assert connection.getresponse().status == 200
        connection.close()
    until(lambda: sum(counted(server, slot) for slot in range(3)) >= sum(before) + 600)
    shares = [counted(server, slot) - before[slot] for slot in range(3)]
    assert min(shares) > 60, shares
