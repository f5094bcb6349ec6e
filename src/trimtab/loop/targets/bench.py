"""A prediction server of its own for each model that is measured: how it answers, before it answers anybody."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.deployment.local import LocalServer
from trimtab.errors import PermanentError, TrimtabError
from trimtab.monitoring.serving_figures import serving_figures
from trimtab.records.base import Clock
from trimtab.records.layout import Layout
from trimtab.records.model import ModelBundle, Route, Routes
from trimtab.records.requirement import Estimate
from trimtab.records.scratch import sweep_scratch
from trimtab.records.server import ServerConfig, ServerStatus
from trimtab.serving.client.sync import Client
from trimtab.serving.telemetry.reading.reader import TelemetryReader

if TYPE_CHECKING:
    import polars as pl

_NAME = "bench"
_ROUNDS = 4
_LEAST, _MOST = 100, 400
_ROUND = 1.0  # seconds that a round may take where it has its least requests
_APART = timedelta(hours=1)
_LATENCIES = ("serving.latency_p50", "serving.latency_p95", "serving.latency_p99")


class ServerBench:
    """Measures in folder `work`, with the models of `blobs`. `connections` callers ask at once, each for one row at a
    time; `requests` at least are made in a round.

    The server is the declared one (`config`), in a process of its own at a free port, and what is read is what the loop
    reads of a live server: the latency of each request from its telemetry, the memory from its status. Of several
    rounds the one with the least latency counts, since what else the machine does can only add to it. Throughput is of
    one core: rows over the processor time that the server took for them, whoever else runs.
    """

    def __init__(
        self,
        config: ServerConfig,
        blobs: Path,
        work: Path,
        *,
        clock: Clock,
        token: str | None = None,
        connections: int = 4,
        requests: int = 0,
    ) -> None:
        self._config = config
        self._blobs = blobs
        self._work = work
        self._clock = clock
        self._token = token
        self._connections = connections
        self._least = max(requests, _LEAST)
        self._numbers = count()
        sweep_scratch(work, _NAME)

    def measure(self, name: str, bundle: ModelBundle, rows: pl.DataFrame) -> dict[str, Estimate]:
        """The figures of model `name`, asked for `rows` (with its inputs) over and over. Raises PermanentError where it
        cannot be served or refuses them."""
        state = self._work / f"{_NAME}-{os.getpid()}-{next(self._numbers)}"
        layout = Layout(state)
        layout.serve.mkdir(parents=True)
        layout.blobs.symlink_to(self._blobs.absolute(), target_is_directory=True)
        server = LocalServer(state, self._config, token=self._token, linked=True)
        try:
            server.start()
            route = Route(release="r-bench", model=name, bundle=bundle, stage="live", weight=1.0)
            now = self._clock.now()
            server.apply(Routes(generation=1, system=self._config.system, routes=(route,), written=now))
            asked = rows.select(column.name for column in bundle.signature.inputs).to_dicts()
            return self._figures(server, layout, asked, now)
        except TrimtabError as error:
            raise PermanentError(f"it cannot be served: {error.message}", hint=error.hint) from error
        finally:
            server.stop()
            shutil.rmtree(state, ignore_errors=True)

    def _figures(
        self, server: LocalServer, layout: Layout, asked: Sequence[dict[str, Any]], now: datetime
    ) -> dict[str, Estimate]:
        spent: list[float] = []
        with Client(server.url, server.token, connections=self._connections) as client:
            started = time.perf_counter()
            self._round(client, asked, self._least, now - (_ROUNDS + 1) * _APART)  # it warms up
            pace = self._least / (time.perf_counter() - started)
            requests = max(self._least, min(_MOST, round(pace * _ROUND)))
            for number in range(_ROUNDS):
                before = _processor(client.status())
                self._round(client, asked, requests, now - (_ROUNDS - number) * _APART)
                spent.append(_processor(client.status()) - before)
            memory = float(client.status().rss)
        reader = TelemetryReader(layout.telemetry)
        reader.refresh()
        rounds = []
        for number in range(_ROUNDS):
            since = now - (_ROUNDS - number) * _APART
            rounds.append(serving_figures(reader.latencies(since, since + _APART)))
        found = {name: _least([each.estimate(name) for each in rounds]) for name in _LATENCIES}
        if (busy := min(spent)) > 0:
            found["serving.throughput"] = Estimate(figure=requests / busy, rows=requests)
        found["resources.memory"] = Estimate(figure=memory)
        return found

    def _round(self, client: Client, asked: Sequence[dict[str, Any]], requests: int, at: datetime) -> None:
        """Ask for one row a request until all are made. `at` tells the rounds apart in the telemetry."""
        numbers, lock = iter(range(requests)), threading.Lock()

        def caller() -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                client.predict([asked[number % len(asked)]], time=at)

        with ThreadPoolExecutor(self._connections) as pool:
            for each in [pool.submit(caller) for _ in range(self._connections)]:
                each.result()


def _least(estimates: Sequence[Estimate | None]) -> Estimate:
    measured = [each for each in estimates if each is not None and each.figure is not None]
    return min(measured, key=_figure, default=Estimate(figure=None, reason="no request was answered"))


def _figure(estimate: Estimate) -> float:
    return float("inf") if estimate.figure is None else estimate.figure


def _processor(status: ServerStatus) -> float:
    """Seconds of processor time that the server's processes have taken."""
    return sum(map(_seconds, {status.pid, *(each.pid for each in status.processes if each.pid)}))


def _seconds(pid: int) -> float:
    """Nanoseconds on a processor of every thread, where the system counts them; the usual clock ticks are as long as
    a hundred requests."""
    try:
        tasks = [int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()]
    except (OSError, ValueError, IndexError):
        return _ticks(pid)
    return float(np.sum(tasks)) / 1e9


def _ticks(pid: int) -> float:
    import psutil  # here: only where there is no /proc

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
