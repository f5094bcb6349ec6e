"""Reads what a server answered and what the truth was, while the server goes on writing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    FAILED,
    FEEDBACK,
    MAGIC,
    SEAL,
    SHADOWED,
    SUFFIX,
    Failure,
    Frame,
    Scored,
    Truths,
    frames,
    micros,
    moment,
    read_seal,
)
from trimtab.serving.telemetry.table import PredictionTable

if TYPE_CHECKING:
    import polars as pl  # only for types: a reader that is never asked for a frame does not pay for it


class TelemetryReader:
    """The predictions of one telemetry folder, each (id, release) once, the first kept.

    `since`: segments sealed before that moment are never opened. `refresh` reads only what was written since the last
    one; between refreshes the figures stand still. A tail that is torn or half written is left for the next refresh.
    `classes` names the classes in order, for truths that came while no release was live to tell. Spans are
    [since, until), either end may be None (open).
    """

    def __init__(self, folder: Path, since: datetime | None = None, classes: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._since = None if since is None else micros(since)
        self._offsets: dict[Path, int] = {}
        self._sealed: set[Path] = set()
        self._table = PredictionTable(classes)
        self._failures: list[Failure] = []
        self._places: list[
            tuple[Path, int, int, int, int]
        ] = []  # a frame's file, offset of matrix, rows, width, outputs
        self._scores: list[bytes] = []
        self._kept: dict[int, tuple[bytes, bool]] = {}

    @property
    def orphans(self) -> int:
        """Ids whose truth came and whose prediction was never seen."""
        return self._table.orphans

    @property
    def repeated_truths(self) -> int:
        """How often truth came for an id that had one; the last by time wins."""
        return self._table.repeated

    @property
    def unreadable_truths(self) -> int:
        """Truths that name no class and are no number."""
        return self._table.unreadable

    @property
    def duplicates(self) -> int:
        """Scores passed over because the same release had scored the same id before (a retried request)."""
        return self._table.duplicates

    def refresh(self) -> int:
        """Takes in what is new; returns how many frames. A missing folder is an empty one."""
        count = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path in self._sealed:
                continue
            if path not in self._offsets and self._passed_over(path):
                continue
            count += self._read(path)
        return count

    def predictions(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """One row a (prediction, release), sorted by at, id and release.

        `id`, `at` (UTC), `release`, `model`, `stage` (live, canary or shadow), `generation`, `score` (Float32; the
        highest class's for several classes), `label` (Float64: index of the true class or the true number, null until
        known), `truth_at` (UTC, null until known), `latency` (Float32, seconds in the server).
        """
        return self._table.frame(self._window(since, until))

    def features(
        self, since: datetime | None, until: datetime | None, release: str
    ) -> tuple[NDArray[np.float32], list[str]]:
        """The matrix [rows, features] that `release` scored, and the rows' ids, sorted by moment and id."""
        rows = self._table.ordered(self._window(since, until), release)
        if self._kept:
            of_frame, in_frame = self._table.places(rows)
            whole = {number: set(np.frombuffer(kept, np.int32).tolist()) for number, (kept, _) in self._kept.items()}
            pairs = zip(of_frame.tolist(), in_frame.tolist(), strict=True)
            rows = rows[np.array([number not in whole or row in whole[number] for number, row in pairs], bool)]
        return self._gather(rows, scores=False), [self._table.ids[row] for row in rows]

    def scores(
        self, since: datetime | None, until: datetime | None, release: str
    ) -> tuple[NDArray[np.float32], list[str]]:
        """All outputs [rows, outputs] of `release`, and the rows' ids, sorted by moment and id."""
        rows = self._table.ordered(self._window(since, until), release)
        return self._gather(rows, scores=True), [self._table.ids[row] for row in rows]

    def failures(self, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
        """What releases could not score: `at` (UTC), `release`, `model`, `stage`, `rows`, `error`, sorted by `at`."""
        import polars as pl  # heavy: only where a frame is asked for

        low, high = _bounds(since, until)
        found = sorted(
            (one for one in self._failures if low <= one.at < high), key=lambda one: (one.at, one.release, one.error)
        )
        columns = {
            "at": [moment(one.at) for one in found],
            "release": [one.release for one in found],
            "model": [one.model for one in found],
            "stage": [one.stage for one in found],
            "rows": [one.rows for one in found],
            "error": [one.error for one in found],
        }
        text = dict.fromkeys(("release", "model", "stage", "error"), pl.String)
        return pl.DataFrame(columns, schema_overrides={"at": pl.Datetime("us", "UTC"), "rows": pl.Int64, **text})

    def forget(self, before: datetime) -> None:
        """Lets go of what is older than `before`, to bound memory; files are not touched."""
        low = micros(before)
        self._table.keep(self._table.at >= low)
        self._failures = [one for one in self._failures if one.at >= low]

    def _passed_over(self, path: Path) -> bool:
        if self._since is None:
            return False
        seal = read_seal(path)
        if seal is None or seal.last >= self._since:
            return False
        self._sealed.add(path)
        return True

    def _read(self, path: Path) -> int:
        offset = self._offsets.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:  # an empty segment that recovery removed
            return 0
        if offset == 0:
            if len(data) < len(MAGIC):
                return 0
            if not data.startswith(MAGIC):
                raise PermanentError(f"{path} is not a telemetry segment", hint="move it out of the telemetry folder")
            offset, data = len(MAGIC), data[len(MAGIC) :]
        count = 0
        for frame in frames(data, offset):
            self._take(path, frame)
            offset = frame.end
            count += 1
            if frame.kind == SEAL:
                self._sealed.add(path)
        self._offsets[path] = offset
        return count

    def _take(self, path: Path, frame: Frame) -> None:
        if frame.kind == FEEDBACK:
            self._table.add_truths(msgspec.msgpack.decode(frame.meta, type=Truths))
        elif frame.kind == FAILED:
            self._failures.append(msgspec.msgpack.decode(frame.meta, type=Failure))
        elif frame.kind in (ANSWERED, SHADOWED):
            record = msgspec.msgpack.decode(frame.meta, type=Scored)
            self._table.add_scored(record, len(self._places))
            self._places.append((path, frame.matrix, len(record.ids), record.width, record.outputs))
            if record.inputs is not None:
                self._kept[len(self._places) - 1] = (record.inputs.kept, record.inputs.complete)
            self._scores.append(record.scores)

    def _window(self, since: datetime | None, until: datetime | None) -> NDArray[np.bool_]:
        low, high = _bounds(since, until)
        at = self._table.at
        return (at >= low) & (at < high)

    def _gather(self, rows: NDArray[np.int64], *, scores: bool) -> NDArray[np.float32]:
        if len(rows) == 0:
            return np.empty((0, 0), np.float32)
        of_frame, in_frame = self._table.places(rows)
        numbers, starts = np.unique(of_frame, return_inverse=True)
        parts, base, total = [], np.empty(len(numbers), np.int64), 0
        for position, number in enumerate(numbers):
            path, offset, count, width, outputs = self._places[number]
            if scores:
                part = np.frombuffer(self._scores[number], np.float32).reshape(count, outputs)
            else:
                kept, complete = self._kept.get(number, (b"", True))
                stored = count if complete else len(kept) // 4
                part = np.fromfile(path, np.float32, stored * width, offset=offset).reshape(stored, width)
                if not complete:
                    whole = np.full((count, width), np.nan, np.float32)
                    whole[np.frombuffer(kept, np.int32)] = part
                    part = whole
            parts.append(part)
            base[position] = total
            total += count
        matrix: NDArray[np.float32] = np.concatenate(parts)[base[starts] + in_frame]
        return matrix


def _bounds(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    low = np.iinfo(np.int64).min if since is None else micros(since)
    high = np.iinfo(np.int64).max if until is None else micros(until)
    return low, high
