"""Releases served for real: a target that runs them, its telemetry, and the callers of a replay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.deployment.port import Target
from trimtab.errors import TemporaryError
from trimtab.loop.history import ASKED_AT, KNOWN_AT, MOMENT
from trimtab.monitoring.live import ServingFigures
from trimtab.monitoring.serving_figures import serving_figures
from trimtab.records.model import Routes
from trimtab.serving.client import Client, Truth
from trimtab.serving.telemetry_reader import TelemetryReader

if TYPE_CHECKING:
    import polars as pl

_TRIES = 20


class ServedReleases:
    """What a target answers with, and what its telemetry says it answered. The telemetry is read on; it is never
    written here."""

    def __init__(self, target: Target, reader: TelemetryReader) -> None:
        self._target = target
        self._reader = reader
        self._generation = 0

    def apply(self, routes: Routes) -> None:
        for attempt in range(_TRIES):
            try:
                self._target.start()
                self._target.apply(routes)
                break
            except TemporaryError as error:  # a server that died is on its way up again
                if attempt + 1 == _TRIES:
                    raise
                time.sleep(min(error.delay, 1.0))
        self._generation = routes.generation

    def generation(self) -> int:
        return self._generation

    def predictions(self, since: datetime, until: datetime) -> pl.DataFrame:
        self._reader.refresh()
        return self._reader.predictions(since, until)

    def matrix(
        self, release: str, since: datetime, until: datetime
    ) -> tuple[NDArray[np.float32], list[str], NDArray[np.int64]]:
        import polars as pl  # heavy: only where rows are touched

        matrix, ids = self._reader.features(since, until, release)
        rows = self._reader.predictions(since, until).filter(pl.col("release") == release).sort("at", "id")
        return matrix, ids, rows["at"].to_physical().to_numpy()

    def figures(self, since: datetime, until: datetime) -> ServingFigures | None:
        import polars as pl

        self._target.start()
        status = self._target.status()
        answered = self._reader.predictions(since, until).filter(pl.col("stage") != "shadow")
        failed = self._reader.failures(since, until).filter(pl.col("stage") != "shadow")
        return serving_figures(
            answered["latency"].to_numpy(),
            errors=int(failed["rows"].sum()),
            memory=float(status.rss) if status is not None else None,
        )


class HttpTraffic:
    """The callers of a replay, over real HTTP. They ask again when the server dies under them, and lose nothing."""

    def __init__(self, system: System, target: Target, token: str | None = None) -> None:
        self._system = system
        self._target = target
        self._token = token
        self._client: Client | None = None

    def _connected(self) -> Client:
        url = self._target.url
        if self._client is None or self._client.url != url:
            self.close()
            self._client = Client(url, self._token)
        return self._client

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def predict(self, rows: pl.DataFrame, ids: Sequence[str]) -> None:
        spec = self._system.labelled
        hidden = {*spec.key, spec.time, spec.label, MOMENT, KNOWN_AT, ASKED_AT, "_digest"}
        inputs = self._system.model.inputs or tuple(name for name in rows.columns if name not in hidden)
        columns = rows.select(inputs).to_dicts()
        self._connected().predict(columns, ids, rows[ASKED_AT][0])

    def truth(self, ids: Sequence[str], labels: Sequence[float], at: datetime) -> None:
        told = [Truth(name, label, at) for name, label in zip(ids, labels, strict=True)]
        self._connected().feedback(told)

    def drain(self) -> None:
        """Wait until what was answered has been scored in shadow too."""
        self._connected().settle()

    def incarnation(self) -> int:
        """The server's process: another one has forgotten the rows that shadow releases had not scored yet."""
        self._target.start()
        return self._connected().status().pid
