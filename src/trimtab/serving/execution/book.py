"""Keeps what the server did: durable telemetry first, then the counters and the ids it gave out."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec
import orjson

from trimtab.errors import TemporaryError
from trimtab.inference.postprocess_code import Named
from trimtab.inference.tensors.model import Outcome
from trimtab.inference.tensors.sent import EncodedRows
from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.execution.batches import Batch
from trimtab.serving.execution.feedback import Feedback, pack_feedback
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.pieces import Matrix, Part, Rows
from trimtab.serving.execution.questions import Question
from trimtab.serving.routing.releases import Fleet, Release
from trimtab.serving.telemetry.inputs import InputSampling
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    ENCODING,
    FAILED,
    SHADOWED,
    EncodedColumn,
    Encoding,
    Failure,
    KeptInputs,
    Scored,
    pack,
)
from trimtab.serving.telemetry.writing.commits import GroupCommit
from trimtab.serving.telemetry.writing.known import KnownIds
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

_LARGE_ANSWER = 64 * 2**10


@dataclass(slots=True)
class Owed:
    """Answered rows that shadow releases are to score: frame `batch` of `run`, in the encoding `key`. `segment` has
    their answers; empty where a former run left it."""

    fleet: Fleet
    releases: Sequence[Release]
    run: int
    batch: int
    ids: list[str]
    at: bytes
    key: str
    matrix: Matrix
    rows: Rows | None
    segment: str = ""


class Book:
    """Belongs to the event loop. Whatever it is told is on its way to the disk when it returns; it raises
    TemporaryError when the disk refuses, and then nothing was kept or counted. Where the policy is to answer all the
    same, answered rows that the disk refused are counted as dropped instead. With `commits` an answer may go out only
    `when_kept`."""

    def __init__(
        self,
        telemetry: TelemetryWriter,
        metrics: Metrics,
        known: KnownIds,
        policy: TelemetryPolicy = TelemetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self.telemetry = telemetry
        self.metrics = metrics
        self.known = known
        self.commits: GroupCommit | None = None
        self._debts: Counter[str] = Counter()
        self._inputs = InputSampling(policy)
        self._answers_anyway = policy.full == "answer"
        self._described: set[str] = set()
        self._batches = count()
        self._encode = msgspec.msgpack.Encoder().encode

    def answered(self, batch: Batch, parts: Sequence[Part]) -> list[Owed]:
        """Rows that are about to be answered; returns what shadow releases owe for them."""
        now = time.time_ns() // 1000
        ended = time.perf_counter()
        questions, rows = batch.questions, batch.rows
        fleet = questions[0].fleet
        took = [ended - one.started for one in questions]
        first = last = now
        if batch.plain:
            ids, waits, stamps, own = [one.ids[0] for one in questions], took, array("q", (now,)) * rows, True
        else:
            ids = questions[0].ids if len(questions) == 1 else [name for one in questions for name in one.ids]
            waits = [wait for one, wait in zip(questions, took, strict=True) for _ in range(one.count)]
            stamps = array("q", [stamp for one in questions for stamp in _stamps(one, now)])
            own = not any(one.given for one in questions)
            first, last = min(stamps), max(stamps)
        frames, owed = [], []
        for part in parts:
            places = part.places
            own_ids = ids if places is None else [ids[place] for place in places]
            at = stamps if places is None else array("q", [stamps[place] for place in places])
            late = array("f", waits if places is None else [waits[place] for place in places])
            frame, debt = self._answered(fleet, part, own_ids, at.tobytes(), late.tobytes())
            frames.append(frame)
            if debt is not None:
                owed.append(debt)
        try:
            if self.commits is not None:
                self.commits.admit()
            self.telemetry.write(frames, first, last, rows, [part.release.key for part in parts])
        except TemporaryError as error:
            if not self._answers_anyway:
                raise
            self.telemetry.drop(first, last, rows, error.message)
            owed = []
        self.known.add(ids, self.telemetry.segment, own=own)
        self.owe(owed, self.telemetry.segment)
        for part in parts:
            counts = self.metrics.of(part.release.release)
            counts.rows[part.release.stage] += len(part.scores)
            counts.executions += 1
            counts.last = now // 1000
            counts.time(took if len(parts) == 1 else [waits[place] for place in part.places or range(rows)])
        return owed

    def owe(self, owed: Sequence[Owed], segment: str = "") -> None:
        """They are to be paid: until then the segment is not sealed, so that a start after a kill finds them."""
        for debt in owed:
            debt.segment = segment
            self._debts[segment] += 1

    def paid(self, debt: Owed) -> None:
        """It has been paid, or never will be."""
        self._debts[debt.segment] -= 1
        if self._debts[debt.segment] <= 0:
            del self._debts[debt.segment]

    def owes(self, segment: str = "") -> bool:
        """Whether a segment of this run, or those that former ones left, have answers that shadow releases have not
        scored. What is scored for former ones is written to those of this run, which then have to stay as well."""
        return segment in self._debts or "" in self._debts

    def when_kept(self, done: Callable[[], None], failed: Callable[[TemporaryError], None], rows: int) -> None:
        """Calls `done` once what was kept last is as safe as the policy asks for: at once, or when it is on the disk;
        `failed` when it cannot be brought there."""
        if self.commits is None:
            done()
        elif self._answers_anyway:
            self.commits.after(done, lambda _: done(), rows)
        else:
            self.commits.after(done, failed, rows)

    def failed(self, release: Release, rows: int, error: str) -> None:
        """Rows that a release could not score and nobody answered, or that a shadow release left."""
        now = time.time_ns() // 1000
        self.metrics.of(release.release).failed += rows
        record = Failure(release.release, release.model, release.stage, rows, now, error[:500])
        self.telemetry.write([pack(FAILED, self._encode(record))], now, now, 0)

    def shadowed(self, owed: Owed, release: Release, matrix: Matrix, outcome: Outcome, seconds: float) -> None:
        """Rows that a shadow release scored after they were answered; `seconds` is its share for one row."""
        rows = len(owed.ids)
        if release.key not in self._described:
            self._describe(release)
        data, kept = self._kept(owed.ids, matrix, owed=False)
        record = Scored(
            run=owed.run, batch=owed.batch, generation=owed.fleet.generation,
            release=release.release, model=release.model, stage=release.stage,
            ids=owed.ids, at=owed.at, latency=array("f", [seconds]).tobytes() * rows, scores=outcome.scores.tobytes(),
            outputs=release.outputs, width=release.width, encoding=release.key, inputs=kept,
            answers=told_of(outcome.named),
        )  # fmt: skip
        stamps = array("q", owed.at)
        frame = pack(SHADOWED, self._encode(record), data)
        self.telemetry.write([frame], min(stamps), max(stamps), rows, (release.key,))
        self.metrics.of(release.release).rows[release.stage] += rows

    def truths(self, feedback: Feedback, orphans: list[int]) -> None:
        """Truth that came back; `orphans` are the places of ids that were never given out (their truth is kept all the
        same)."""
        frame = pack_feedback(feedback, orphans)
        self.telemetry.write([frame], min(feedback.at), max(feedback.at), len(feedback.ids), orphans=len(orphans))
        self.metrics.feedback["known"] += len(feedback.ids) - len(orphans)
        self.metrics.feedback["unknown"] += len(orphans)

    def _answered(self, fleet: Fleet, part: Part, ids: list[str], at: bytes, late: bytes) -> tuple[bytes, Owed | None]:
        release, number = part.release, next(self._batches)
        if release.key not in self._described:
            self._describe(release)
        debtors = [one for one in fleet.shadows if one.key == release.key or part.rows is not None]
        bare = b""
        if release.tensors is None and any(one.key != release.key for one in debtors):
            bare = orjson.dumps(part.rows)
        data, kept = self._kept(ids, part.matrix, owed=bool(debtors))
        record = Scored(
            self.telemetry.run, number, fleet.generation, release.release, release.model, release.stage, ids, at, late,
            part.scores.tobytes(), release.outputs, release.width, release.key,
            [one.release for one in debtors], bare, kept, told_of(part.named),
        )  # fmt: skip
        frame = pack(ANSWERED, self._encode(record), data)
        if not debtors:
            return frame, None
        return frame, Owed(fleet, debtors, self.telemetry.run, number, ids, at, release.key, part.matrix, part.rows)

    def _kept(self, ids: Sequence[str], matrix: Matrix, *, owed: bool) -> tuple[bytes, KeptInputs | None]:
        if not isinstance(matrix, EncodedRows):
            return self._inputs.matrix(ids, matrix, owed=owed)
        told = [one.payload() for one in matrix.sent]
        data, forms, digests = [one.data for one in told], [one.form for one in told], [one.digest for one in told]
        return self._inputs.payloads(ids, data, forms, owed=owed, digests=digests)

    def _describe(self, release: Release) -> None:
        """Tells the telemetry, once, what the encoding of a release means."""
        self._described.add(release.key)
        signature = release.signature
        columns = [EncodedColumn(one.name, one.kind, list(one.vocabulary)) for one in signature.features]
        told = Encoding(release.key, signature.task, list(signature.classes), columns)
        self.telemetry.describe(release.key, pack(ENCODING, self._encode(told)))


def told_of(named: Named | None) -> bytes:
    """Outputs by name as a JSON list, null for a row whose are large; empty where there are none."""
    if named is None:
        return b""
    rows = [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in named]
    return b"[%b]" % b",".join([row if len(row) <= _LARGE_ANSWER else b"null" for row in rows])


def _stamps(question: Question, now: int) -> list[int]:
    at = question.at
    if at is None:
        return [now] * question.count
    return at if isinstance(at, list) else [at] * question.count
