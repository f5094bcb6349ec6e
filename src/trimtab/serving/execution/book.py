"""Keeps what the server did: durable telemetry first, then the counters and the ids it gave out."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from trimtab.serving.execution.feedback import Feedback, pack_feedback
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.questions import Question
from trimtab.serving.execution.scoring import Part, Rows, Stumble
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.telemetry.known import KnownIds
from trimtab.serving.telemetry.segments import ANSWERED, FAILED, SHADOWED, Failure, Scored, pack
from trimtab.serving.telemetry.writer import TelemetryWriter


@dataclass(slots=True)
class Owed:
    """Answered rows that shadow releases are to score: frame `batch` of `run`, in the encoding `key`."""

    fleet: Fleet
    releases: Sequence[Release]
    run: int
    batch: int
    ids: list[str]
    at: bytes
    key: str
    matrix: NDArray[np.float32]
    rows: Rows | None


class Book:
    """Belongs to the event loop. Whatever it is told is on its way to the disk when it returns; it raises
    TemporaryError when the disk refuses, and then nothing was kept or counted."""

    def __init__(self, telemetry: TelemetryWriter, metrics: Metrics, known: KnownIds) -> None:
        self.telemetry = telemetry
        self.metrics = metrics
        self.known = known
        self._batches = count()
        self._encode = msgspec.msgpack.Encoder().encode

    def answered(self, batch: list[Question], parts: list[Part], stumbles: list[Stumble]) -> list[Owed]:
        """Rows that are about to be answered; returns what shadow releases owe for them."""
        now = time.time_ns() // 1000
        ended = time.perf_counter()
        fleet = batch[0].fleet
        ids: list[str]
        if len(batch) == 1:
            one = batch[0]
            ids, stamps = one.ids, _stamps(one, now)
            waits = [ended - one.started] * one.count
        else:
            ids, stamps, waits = [], [], []
            for one in batch:
                ids += one.ids
                stamps += _stamps(one, now)
                waits += [ended - one.started] * one.count
        frames, owed = [], []
        for part in parts:
            places = part.places
            own_ids = ids if places is None else [ids[place] for place in places]
            at = array("q", stamps if places is None else [stamps[place] for place in places]).tobytes()
            late = array("f", waits if places is None else [waits[place] for place in places]).tobytes()
            frame, debt = self._answered(fleet, part, own_ids, at, late)
            frames.append(frame)
            if debt is not None:
                owed.append(debt)
        frames += [self._failed(stumble, now) for stumble in stumbles]
        self.telemetry.write(frames, min(stamps), max(stamps), len(ids))
        self.known.add(ids)
        for part in parts:
            counts = self.metrics.of(part.release.release)
            counts.rows[part.release.stage] += len(part.scores)
            counts.executions += 1
            counts.last = now // 1000
            if len(parts) == 1:
                counts.time([ended - one.started for one in batch])
            else:
                counts.time([waits[place] for place in part.places or range(len(ids))])
        for stumble in stumbles:
            self.metrics.of(stumble.release.release).failed += stumble.rows
        return owed

    def failed(self, release: Release, rows: int, error: str) -> None:
        """Rows that a release could not score and nobody answered, or that a shadow release left."""
        stumble = Stumble(release, rows, error)
        now = time.time_ns() // 1000
        self.metrics.of(release.release).failed += rows
        self.telemetry.write([self._failed(stumble, now)], now, now, 0)

    def shadowed(self, owed: Owed, release: Release, matrix: bytes, scores: bytes, seconds: float) -> None:
        """Rows that a shadow release scored after they were answered; `seconds` is its share for one row."""
        rows = len(owed.ids)
        record = Scored(
            run=owed.run, batch=owed.batch, generation=owed.fleet.generation,
            release=release.release, model=release.model, stage=release.stage,
            ids=owed.ids, at=owed.at, latency=array("f", [seconds]).tobytes() * rows, scores=scores,
            outputs=release.outputs, width=release.width, encoding=release.key,
        )  # fmt: skip
        stamps = array("q", owed.at)
        frame = pack(SHADOWED, self._encode(record), matrix)
        self.telemetry.write([frame], min(stamps), max(stamps), rows)
        self.metrics.of(release.release).rows[release.stage] += rows

    def truths(self, feedback: Feedback) -> list[str]:
        """Truth that came back; returns the ids that were never given out (their truth is kept all the same)."""
        orphans = self.known.missing(feedback.ids)
        frame = pack_feedback(feedback, orphans)
        self.telemetry.write([frame], min(feedback.at), max(feedback.at), len(feedback.ids))
        self.metrics.feedback["known"] += len(feedback.ids) - len(orphans)
        self.metrics.feedback["unknown"] += len(orphans)
        return [feedback.ids[place] for place in orphans]

    def _answered(self, fleet: Fleet, part: Part, ids: list[str], at: bytes, late: bytes) -> tuple[bytes, Owed | None]:
        release, number = part.release, next(self._batches)
        debtors = [one for one in fleet.shadows if one.key == release.key or part.rows is not None]
        bare = b""
        if any(one.key != release.key for one in debtors):
            bare = orjson.dumps(part.rows)
        record = Scored(
            self.telemetry.run, number, fleet.generation, release.release, release.model, release.stage, ids, at, late,
            part.scores.tobytes(), release.outputs, release.width, release.key,
            [one.release for one in debtors], bare,
        )  # fmt: skip
        frame = pack(ANSWERED, self._encode(record), part.matrix.tobytes())
        if not debtors:
            return frame, None
        return frame, Owed(fleet, debtors, self.telemetry.run, number, ids, at, release.key, part.matrix, part.rows)

    def _failed(self, stumble: Stumble, now: int) -> bytes:
        one = stumble.release
        record = Failure(one.release, one.model, one.stage, stumble.rows, now, stumble.error[:500])
        return pack(FAILED, self._encode(record))


def _stamps(question: Question, now: int) -> list[int]:
    at = question.at
    if at is None:
        return [now] * question.count
    return at if isinstance(at, list) else [at] * question.count
