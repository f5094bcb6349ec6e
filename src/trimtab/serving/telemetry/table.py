"""Predictions in memory: growing columns, the rows of each id, and the truth beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.segments import Scored, Truths

if TYPE_CHECKING:
    import polars as pl  # only for types

_NEVER = np.iinfo(np.int64).min
_COLUMNS = {
    "at": np.int64,
    "latency": np.float32,
    "score": np.float32,
    "label": np.float64,
    "truth_at": np.int64,
    "origin": np.int32,
    "frame": np.int64,
    "row": np.int32,
}


class Origin(NamedTuple):
    """Who scored a row."""

    release: str
    model: str
    stage: str
    generation: int


class PredictionTable:
    """Rows in the order they were read; each (id, release) once, the first kept; the truth of the last moment wins."""

    def __init__(self, classes: tuple[str, ...] = ()) -> None:
        self._classes = {name: float(place) for place, name in enumerate(classes)}
        self.ids: list[str] = []
        self.repeated = 0
        self.unreadable = 0
        self.duplicates = 0
        self._size = 0
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(1024, kind) for name, kind in _COLUMNS.items()}
        self._rows_of: dict[str, int | tuple[int, ...]] = {}
        self._waiting: dict[str, tuple[int, float]] = {}
        self._origins: list[Origin] = []
        self._origin_codes: dict[Origin, int] = {}

    @property
    def at(self) -> NDArray[np.int64]:
        """Moments of the rows, microseconds."""
        return self._column("at")

    @property
    def orphans(self) -> int:
        """Truths whose prediction was not seen yet."""
        return len(self._waiting)

    def add_scored(self, record: Scored, frame: int) -> None:
        """The rows of one frame; `frame` is its number."""
        kept = self._kept(record)
        scores = np.frombuffer(record.scores, np.float32).reshape(len(record.ids), record.outputs)
        start = self._grow(len(kept))
        end = self._size
        pick = np.fromiter(kept, np.int64, len(kept))
        origin = Origin(record.release, record.model, record.stage, record.generation)
        code = self._origin_codes.get(origin)
        if code is None:
            code = self._origin_codes[origin] = len(self._origins)
            self._origins.append(origin)
        for name, values in (
            ("at", np.frombuffer(record.at, np.int64)[pick]),
            ("latency", np.frombuffer(record.latency, np.float32)[pick]),
            ("score", scores[pick].max(axis=1)),
            ("label", np.nan),
            ("truth_at", _NEVER),
            ("origin", code),
            ("frame", frame),
            ("row", pick),
        ):
            self._columns[name][start:end] = values
        names = record.ids if len(kept) == len(record.ids) else [record.ids[place] for place in kept]
        self.ids.extend(names)
        if self._waiting or isinstance(kept, list):
            self._told(start, names)

    def add_truths(self, record: Truths) -> None:
        """The truths of one frame; one whose prediction is unknown waits for it."""
        stamps = np.frombuffer(record.at, np.int64)
        for name, truth, stamp in zip(record.ids, record.truths, stamps.tolist(), strict=True):
            try:
                label = self._classes[truth] if truth in self._classes else float(truth)
            except ValueError:
                self.unreadable += 1
                continue
            rows = self._rows_of.get(name)
            if rows is None:
                before = self._waiting.get(name)
                self.repeated += before is not None
                if before is None or stamp >= before[0]:
                    self._waiting[name] = (stamp, label)
            elif isinstance(rows, int):
                self.repeated += self._set(rows, stamp, label)
            else:
                had = [self._set(row, stamp, label) for row in rows]
                self.repeated += had[0]

    def frame(self, mask: NDArray[np.bool_]) -> pl.DataFrame:
        """The rows under `mask`; see `TelemetryReader.predictions`."""
        import polars as pl  # heavy: only where a frame is asked for

        rows = np.flatnonzero(mask)
        origin = self._column("origin")[rows]
        label, known = self._column("label")[rows], self._column("truth_at")[rows]
        ids = self.ids if len(rows) == len(self.ids) else [self.ids[row] for row in rows]
        when = pl.Datetime("us", "UTC")

        def told(field: str) -> pl.Series:
            codes = pl.Series([getattr(one, field) for one in self._origins], dtype=pl.String)
            return codes.gather(pl.Series(origin.astype(np.uint32))) if len(rows) else pl.Series([], dtype=pl.String)

        generations = np.array([one.generation for one in self._origins] or [0], np.int64)
        frame = pl.DataFrame(
            {
                "id": pl.Series(ids, dtype=pl.String),
                "at": pl.Series(self.at[rows]).cast(when),
                "release": told("release"),
                "model": told("model"),
                "stage": told("stage"),
                "generation": pl.Series(generations[origin]),
                "score": pl.Series(self._column("score")[rows]),
                "label": pl.Series(label).fill_nan(None),
                "truth_at": pl.Series(known).cast(when),
                "latency": pl.Series(self._column("latency")[rows]),
            }
        )
        unknown = pl.Series(known == _NEVER)
        return frame.with_columns(truth_at=pl.when(unknown).then(None).otherwise(pl.col("truth_at"))).sort(
            "at", "id", "release"
        )

    def ordered(self, mask: NDArray[np.bool_], release: str) -> NDArray[np.int64]:
        """Rows under `mask` that `release` scored, sorted by moment and id."""
        codes = [code for code, one in enumerate(self._origins) if one.release == release]
        rows = np.flatnonzero(mask & np.isin(self._column("origin"), codes))
        at = self.at
        order = sorted(rows.tolist(), key=lambda row: (at[row], self.ids[row]))
        return np.array(order, np.int64)

    def places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The frame of each row, and its position there."""
        return self._column("frame")[rows], self._column("row")[rows].astype(np.int64)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drops the rows that are not under `mask`."""
        rows = np.flatnonzero(mask)
        for name in self._columns:
            self._columns[name] = self._column(name)[rows].copy()
        self.ids = [self.ids[row] for row in rows]
        self._size = len(rows)
        self._rows_of = {}
        for row, name in enumerate(self.ids):
            self._rows_of[name] = self._joined(name, row)

    def _kept(self, record: Scored) -> range | list[int]:
        """Positions in the frame of the rows that are new, entered under their ids."""
        names = record.ids
        fresh: dict[str, int | tuple[int, ...]] = dict(
            zip(names, range(self._size, self._size + len(names)), strict=True)
        )
        if len(fresh) == len(names) and self._rows_of.keys().isdisjoint(fresh):
            self._rows_of.update(fresh)
            return range(len(names))
        kept: list[int] = []
        for place, name in enumerate(names):
            if any(self._release_of(row, record) == record.release for row in self._rows(name)):
                self.duplicates += 1
                continue
            self._rows_of[name] = self._joined(name, self._size + len(kept))
            kept.append(place)
        return kept

    def _rows(self, name: str) -> tuple[int, ...]:
        rows = self._rows_of.get(name, ())
        return (rows,) if isinstance(rows, int) else rows

    def _release_of(self, row: int, record: Scored) -> str:
        """The release of a row, which may be one of the frame that is being added."""
        return record.release if row >= self._size else self._origins[int(self._columns["origin"][row])].release

    def _told(self, start: int, names: list[str]) -> None:
        """Gives rows from `start` on the truth that came before them, alone or with another release's row."""
        for row, name in enumerate(names, start):
            found = self._waiting.pop(name, None)
            if found is not None:
                self._set(row, *found)
            for other in self._rows(name):
                if other < start and self._columns["truth_at"][other] != _NEVER:
                    self._set(row, int(self._columns["truth_at"][other]), float(self._columns["label"][other]))

    def _joined(self, name: str, row: int) -> int | tuple[int, ...]:
        before = self._rows(name)
        return (*before, row) if before else row

    def _set(self, row: int, stamp: int, label: float) -> bool:
        """Sets a row's truth unless a later one is there; whether it had one."""
        known = self._columns["truth_at"]
        before = int(known[row])
        if stamp >= before:
            known[row] = stamp
            self._columns["label"][row] = label
        return before != _NEVER

    def _column(self, name: str) -> NDArray[Any]:
        return self._columns[name][: self._size]

    def _grow(self, rows: int) -> int:
        start, self._size = self._size, self._size + rows
        for name, column in self._columns.items():
            if self._size > len(column):
                bigger = np.empty(max(self._size, 2 * len(column)), column.dtype)
                bigger[:start] = column[:start]
                self._columns[name] = bigger
        return start
