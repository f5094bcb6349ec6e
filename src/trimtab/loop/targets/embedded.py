"""Serving inside this process, for backtests: the same routing and scoring as the server, without HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import Model, load_model
from trimtab.inference.offset import shifted
from trimtab.loop.past.history import ASKED_AT
from trimtab.loop.ports import Label
from trimtab.monitoring.live import ServingFigures
from trimtab.records.blobs import Blobs
from trimtab.records.model import Route, Routes
from trimtab.serving.execution.feedback import class_index
from trimtab.serving.routing.shares import Shares, sticky_key

_MICRO = 1_000_000
_TIME = pl.Datetime("us", "UTC")


@dataclass
class _Chunk:
    """Rows that one release scored together, with their moments; truth is filled in as it is told (NaN, 0: not yet)."""

    release: str
    rows: pl.DataFrame
    moments: NDArray[np.int64]
    matrix: NDArray[np.float32]
    label: NDArray[np.float64]
    truth_at: NDArray[np.int64]


class EmbeddedServing:
    """A server and its telemetry in memory. Which release answers a row depends on its id, or sticky column, alone."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._routes: Routes | None = None
        self._models: dict[str, Model] = {}
        self._chunks: list[_Chunk] = []
        self._waiting: dict[str, list[tuple[_Chunk, int]]] = {}

    def apply(self, routes: Routes) -> None:
        for route in routes.routes:
            if route.model not in self._models:
                self._models[route.model] = load_model(self._blobs, route.bundle)
        self._routes = routes

    def generation(self) -> int:
        return self._routes.generation if self._routes else 0

    def figures(self, since: datetime, until: datetime) -> ServingFigures | None:  # noqa: ARG002 - the port's
        return None

    def drain(self) -> None:
        """Nothing waits here."""

    def incarnation(self) -> int:
        return 0

    def predict(self, rows: pl.DataFrame, ids: Sequence[str]) -> None:
        if self._routes is None:
            return
        routes = self._routes.routes
        canaries = [route for route in routes if route.stage == "canary"]
        keys: Sequence[str] = ids
        if canaries and self._routes.canary_by:
            values = rows[self._routes.canary_by].to_list()
            keys = [sticky_key(value) or name for value, name in zip(values, ids, strict=True)]
        parts = Shares([route.weight for route in canaries]).split(keys)
        for route in routes:
            if route.stage == "shadow":
                self._score(route, rows, list(ids))
            else:
                mine = parts[canaries.index(route) if route in canaries else -1]
                if mine:
                    self._score(route, rows[mine], [ids[i] for i in mine])

    def _score(self, route: Route, rows: pl.DataFrame, ids: list[str]) -> None:
        matrix = encode_frame(apply_features(self._blobs, route.bundle, rows), route.bundle.signature)
        moments = rows[ASKED_AT]
        chunk = _Chunk(
            release=route.release,
            rows=pl.DataFrame(
                {
                    "id": ids,
                    "at": moments.cast(_TIME),
                    "score": _column(shifted(self._models[route.model].scores(matrix), self._offset(route))),
                }
            ).with_columns(
                release=pl.lit(route.release),
                model=pl.lit(route.model),
                stage=pl.lit(route.stage, dtype=pl.String),
                generation=pl.lit(self.generation(), dtype=pl.Int64),
                latency=pl.lit(0.0),
            ),
            moments=moments.to_physical().to_numpy(),
            matrix=matrix,
            label=np.full(len(ids), np.nan),
            truth_at=np.zeros(len(ids), dtype=np.int64),
        )
        self._chunks.append(chunk)
        for position, name in enumerate(ids):
            self._waiting.setdefault(name, []).append((chunk, position))

    def _offset(self, route: Route) -> float:
        binary = route.bundle.signature.task == "binary_classification"
        return self._routes.offset if self._routes is not None and binary else 0.0

    def truth(self, ids: Sequence[str], labels: Sequence[Label], at: datetime) -> None:
        moment = round(at.timestamp() * _MICRO)
        known = {label: self._number(label) for label in set(labels)}
        for name, label in zip(ids, labels, strict=True):
            for chunk, position in self._waiting.pop(name, ()):
                chunk.label[position] = known[label]
                chunk.truth_at[position] = moment

    def _number(self, label: Label) -> float:
        """A truth as the server understands it: the index of the class it names, or the number."""
        routes = self._routes.routes if self._routes else ()
        signature = next((route.bundle.signature for route in routes if route.stage == "live"), None)
        if signature is None or signature.task == "regression":
            return float(label)
        found = class_index(label, signature)
        if found is None:
            raise PermanentError(f"the truth {label!r} is none of the classes {', '.join(signature.classes)}")
        return float(found)

    def _within(self, low: int, high: int) -> list[_Chunk]:
        found = []
        for chunk in reversed(self._chunks):  # newest first: windows are short, histories are long
            if chunk.moments[-1] < low:
                break
            if chunk.moments[0] < high:
                found.append(chunk)
        return found[::-1]

    def predictions(self, since: datetime, until: datetime) -> pl.DataFrame:
        low, high = round(since.timestamp() * _MICRO), round(until.timestamp() * _MICRO)
        chunks = self._within(low, high)
        if not chunks:
            return _nothing()
        label = pl.Series("label", np.concatenate([c.label for c in chunks]), nan_to_null=True)
        truth_at = pl.Series("truth_at", np.concatenate([c.truth_at for c in chunks])).cast(_TIME)
        rows = pl.concat([c.rows for c in chunks]).with_columns(label, truth_at)
        known = pl.when(pl.col("label").is_not_null()).then(pl.col("truth_at"))
        return rows.filter((pl.col("at") >= since) & (pl.col("at") < until)).with_columns(known.alias("truth_at"))

    def matrix(
        self, release: str, since: datetime, until: datetime
    ) -> tuple[NDArray[np.float32], list[str], NDArray[np.int64]]:
        low, high = round(since.timestamp() * _MICRO), round(until.timestamp() * _MICRO)
        chunks = [c for c in self._within(low, high) if c.release == release]
        if not chunks:
            return np.empty((0, 0), dtype=np.float32), [], np.empty(0, dtype=np.int64)
        moments = np.concatenate([c.moments for c in chunks])
        ids = [name for c in chunks for name in c.rows["id"].to_list()]
        kept = (moments >= low) & (moments < high)
        matrix = np.concatenate([c.matrix for c in chunks])
        return matrix[kept], [name for name, keep in zip(ids, kept, strict=True) if keep], moments[kept]


def _column(scores: NDArray[np.float32]) -> pl.Series:
    """One number a row, or a list where there are several classes."""
    several = scores.ndim == 2
    values = scores.astype(np.float64)
    return pl.Series("score", values.tolist(), dtype=pl.List(pl.Float64)) if several else pl.Series("score", values)


def _nothing() -> pl.DataFrame:
    text = dict.fromkeys(("id", "release", "model", "stage"), pl.String)
    numbers = dict.fromkeys(("score", "label", "latency"), pl.Float64)
    return pl.DataFrame(schema={**text, **numbers, "generation": pl.Int64, "at": _TIME, "truth_at": _TIME})
