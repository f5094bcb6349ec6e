"""Releases served for real: a target that runs them, its telemetry, and the callers of a replay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.deployment.port import Target
from trimtab.deployment.routes_file import RoutesFile
from trimtab.errors import TemporaryError
from trimtab.loop.past.history import ASKED_AT
from trimtab.loop.ports import Label
from trimtab.monitoring.live import ServingFigures
from trimtab.monitoring.serving_figures import serving_figures
from trimtab.records.model import Routes
from trimtab.records.server import ServerStatus
from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client
from trimtab.serving.telemetry.reading.reader import TelemetryReader

if TYPE_CHECKING:
    import polars as pl

_TRIES = 30
_PATIENCE = 3.0
_Answer = TypeVar("_Answer")


class _Span(NamedTuple):
    """Predictions of [since, until), in order of time."""

    since: datetime
    until: datetime
    rows: pl.DataFrame


class ServedReleases:
    """What a target answers with, and what its telemetry says it answered. The telemetry is read on; it is never
    written here."""

    def __init__(self, target: Target, reader: TelemetryReader, *, several: bool = False) -> None:
        """`several`: models answer with a score for each of several classes."""
        self._target = target
        self._reader = reader
        self._several = several
        self._generation = 0
        self._read: _Span | None = None
        self._reach = timedelta(0)

    def apply(self, routes: Routes) -> None:
        def done() -> None:
            self._target.start()
            self._target.apply(routes)

        _patiently(done)
        self._generation = routes.generation

    def generation(self) -> int:
        return self._generation

    def predictions(self, since: datetime, until: datetime) -> pl.DataFrame:
        if self._reader.refresh():
            self._read = None
        rows = self._between(since, until)
        return self._with_every_score(rows, since, until) if self._several else rows

    def _between(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Predictions in [since, until). A look asks for several windows that end now: one is read, as long as the
        longest that was ever asked for, and the others are cut out of it."""
        self._reach = max(self._reach, until - since)
        if self._read is None or since < self._read.since or until > self._read.until:
            begin = min(since, until - self._reach)
            self._read = _Span(begin, until, self._reader.predictions(begin, until))
        moments = self._read.rows["at"].to_physical()
        low, high = (int(moments.search_sorted(round(t.timestamp() * 1e6), side="left")) for t in (since, until))
        return self._read.rows.slice(low, high - low)

    def _with_every_score(self, rows: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
        import polars as pl  # heavy: only where rows are touched

        scores = [rows.select("id", "release").clear().with_columns(score=pl.lit(None, dtype=pl.List(pl.Float64)))]
        for release in rows["release"].unique().to_list():
            found, ids = self._reader.scores(since, until, release)
            every = pl.Series("score", found.tolist(), dtype=pl.List(pl.Float64))
            named = pl.lit(release, dtype=pl.String).alias("release")
            scores.append(pl.DataFrame([pl.Series("id", ids, dtype=pl.String), every]).select("id", named, "score"))
        return rows.drop("score").join(pl.concat(scores), on=["id", "release"], how="left", maintain_order="left")

    def matrix(
        self, release: str, since: datetime, until: datetime
    ) -> tuple[NDArray[np.float32], list[str], NDArray[np.int64]]:
        found = self._reader.features(since, until, release)
        return found.matrix, found.ids, found.at

    def figures(self, since: datetime, until: datetime) -> ServingFigures | None:
        import polars as pl

        status = _patiently(self._status)
        failed = self._reader.failures(since, until).filter(pl.col("stage") != "shadow")
        return serving_figures(
            self._reader.latencies(since, until),
            errors=int(failed["rows"].sum()),
            memory=float(status.rss) if status is not None else None,
        )

    def _status(self) -> ServerStatus | None:
        """What the server says of itself; None only where the target runs none."""
        self._target.start()
        status = self._target.status()
        if status is None and not isinstance(self._target, RoutesFile):
            raise TemporaryError("the prediction server has just ended", delay=0.02)
        return status


class HttpTraffic:
    """The callers of a replay, over real HTTP. They ask again when the server dies under them, and lose nothing."""

    def __init__(self, system: System, target: Target, token: str | None = None) -> None:
        self._system = system
        self._target = target
        self._token = token
        self._client: Client | None = None

    def _ask(self, question: Callable[[Client], _Answer]) -> _Answer:
        """Ask until it is answered. A server that was killed comes up again, perhaps at another address."""

        def asked() -> _Answer:
            if self._client is None:
                self._target.start()
                self._client = Client(self._target.url, self._token, patience=_PATIENCE)
            try:
                return question(self._client)
            except TemporaryError:
                self.close()
                raise

        return _patiently(asked)

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def predict(self, rows: pl.DataFrame, ids: Sequence[str]) -> None:
        spec = self._system.labelled
        own = {*spec.key, spec.time, spec.label}
        named = (name for name in rows.columns if name not in own and not name.startswith("_"))
        inputs = self._system.model.inputs or tuple(named)
        columns = rows.select(inputs).to_dicts()
        moment = rows[ASKED_AT][0]

        def ask(here: slice) -> None:
            self._ask(lambda client: client.predict(columns[here], ids[here], moment))

        most = self._system.serve.max_rows
        for low in range(0, len(columns), most):
            ask(slice(low, low + most))

    def truth(self, ids: Sequence[str], labels: Sequence[Label], at: datetime) -> None:
        told = [Truth(name, label, at) for name, label in zip(ids, labels, strict=True)]
        self._ask(lambda client: client.feedback(told))

    def drain(self) -> None:
        """Wait until what was answered has been scored in shadow too."""
        self._ask(lambda client: client.settle())

    def incarnation(self) -> int:
        """The server's process: another one has forgotten the rows that shadow releases had not scored yet."""
        status = self._ask(lambda client: client.status())
        return hash((status.pid, *(one.pid for one in status.processes)))


def _patiently(attempt: Callable[[], _Answer]) -> _Answer:
    """Try again for as long as a server that died takes to come up, and some more."""
    for _ in range(_TRIES - 1):
        try:
            return attempt()
        except TemporaryError as error:
            time.sleep(min(error.delay, 0.5))
    return attempt()
