"""kill -9 of one of several processes while requests come: the others answer on, and nothing is lost or told twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest
from tests.serving import models
from tests.serving.callers import Callers, Replay
from tests.serving.conftest import Make
from tests.serving.processes.company import ROW, processes_of, series, started
from tests.serving.running import Running, until

from trimtab.serving.client.answers import Truth


class Scrapes(Callers):
    """Counters read over and over, by a connection each, so that any process is asked."""

    def __init__(self, server: Running) -> None:
        super().__init__(self._scrape, 1)
        self.rows: list[float] = []
        self.failures: list[str] = []
        self._server = server

    def _scrape(self, _: int, over: threading.Event) -> None:
        while not over.wait(0.05):
            try:
                with self._server.client(patience=5.0) as client:
                    text = client.metrics()
            except Exception as error:  # whatever it is
                self.failures.append(repr(error))
            else:
                self.rows.append(series(text, "trimtab_rows_total"))


def kill_one(server: Running, slot: int) -> None:
    """SIGKILL for the process on that seat, and a wait until another has it."""
    before = processes_of(server)[slot]
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: (one := processes_of(server)[slot]).starts > before.starts and one.state == "serving", 20.0)


def routed(server: Running) -> Running:
    live, other = (models.bundle(server.blobs, models.sigmoid([weight, 0.0])) for weight in (0.01, -0.01))
    server.route(models.route("r1", live), models.route("r2", other, "shadow"))
    return server


def test_the_others_answer_on_and_it_is_back_within_seconds(make: Make) -> None:
    server = routed(started(make))
    with Replay(server, callers=3) as replay, Scrapes(server) as scrapes:
        for slot in (0, 1, 0):
            time.sleep(0.2)
            start, before = time.monotonic(), len(replay.answered)
            kill_one(server, slot)
            assert time.monotonic() - start < 10.0
            assert len(replay.answered) > before
    assert scrapes.failures == []
    assert scrapes.rows == sorted(scrapes.rows), "a counter of the whole server went back"
    assert sorted(one.starts for one in processes_of(server)) == [2, 3]
    replay.check()


def test_what_a_process_gave_out_is_known_after_its_death(make: Make) -> None:
    """Feedback for its ids is no 404: not while its seat is empty, not once another has it."""
    server = started(make)
    ids = []
    for _ in range(8):
        with server.client() as client:
            ids += [client.predict([ROW])[0].id]
    for one in processes_of(server):
        os.kill(one.pid, signal.SIGKILL)
        until(lambda one=one: processes_of(server)[one.process].pid != one.pid)  # type: ignore[misc]
        for name in ids:
            with server.client() as client:
                assert client.feedback([Truth(name, "late")]) == []
        until(lambda one=one: processes_of(server)[one.process].state == "serving")  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.timeout(300)  # so many deaths take as long as the machine needs for as many starts
def test_many_deaths_at_random_moments(make: Make) -> None:
    server = routed(started(make, 3))
    chance = random.Random(5)
    with Replay(server, callers=4) as replay, Scrapes(server) as scrapes:
        for _ in range(40):
            time.sleep(chance.uniform(0.0, 0.5))
            living = [one for one in processes_of(server) if one.pid]
            with suppress(ProcessLookupError):  # it has died just now, and its seat says so in a moment
                os.kill(chance.choice(living).pid, signal.SIGKILL)
            until(lambda: any(one.state == "serving" for one in processes_of(server)), 60.0)
        until(lambda: all(one.state == "serving" for one in processes_of(server)), 60.0)
    assert scrapes.failures == []
    assert scrapes.rows == sorted(scrapes.rows)
    replay.check()
