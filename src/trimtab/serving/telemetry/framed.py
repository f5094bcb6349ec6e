"""A segment in frames: written by a server a moment ago, or for days, and read while it goes on."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.serving.telemetry.events import Answers, Events, Origin, Told, group_name, pick
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    ENCODING,
    FAILED,
    FEEDBACK,
    GAP,
    MAGIC,
    SEAL,
    SHADOWED,
    Encoding,
    Failure,
    Frame,
    Gap,
    Scored,
    Truths,
    frames,
    read_seal,
    salvaged,
    unpack_seal,
)

if TYPE_CHECKING:
    pass


class Place:
    """Where one frame of answers has its inputs: `start` is its first row in the group, `offset` that of its matrix in
    the file, `kept` the positions whose inputs are to stay (None: all), `stored` how many rows' are there."""

    __slots__ = ("answers", "inputs", "kept", "offset", "rows", "scores", "start", "stored", "width")

    def __init__(self, start: int, offset: int, record: Scored) -> None:
        inputs = record.inputs
        self.start = start
        self.offset = offset
        self.rows = len(record.ids)
        self.width = record.width
        self.scores = record.scores
        self.answers = record.answers
        self.inputs = inputs
        self.kept: NDArray[np.int32] | None = None
        self.stored = self.rows
        if inputs is not None and (inputs.share < 1.0 or inputs.shares):
            self.kept = np.frombuffer(inputs.kept, np.int32)
            self.stored = self.rows if inputs.complete else len(self.kept)


@dataclass
class Group:
    """All frames of one encoding and number of outputs."""

    encoding: str
    outputs: int
    rows: int = 0
    places: list[Place] = field(default_factory=list)
    fresh: list[Scored] = field(default_factory=list)  # what `read` has not given out


@dataclass
class _Found:
    truths: list[Truths] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


class FramedSegment:
    """One `.seg` file. What follows a frame that is not sound is left until it is: a tail may be half written; in a
    sealed segment it is damage."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.path = path
        self.groups: dict[str, Group] = {}
        self.encodings: dict[str, Encoding] = {}
        self._offset = 0
        self._whole = False
        self._sealed_rows = -1
        self._rows = 0
        self._told = 0

    @property
    def whole(self) -> bool:
        return self._whole

    @property
    def damaged(self) -> str:
        if 0 <= self._sealed_rows != self._rows:
            return f"{self._sealed_rows - self._rows:,} of {self._sealed_rows:,} rows cannot be read"
        return ""

    @property
    def read_to(self) -> int:
        """How many bytes of the file are understood."""
        return self._offset

    def read(self) -> Events:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        base = self._offset
        if base == 0:
            if len(data) < len(MAGIC):
                return Events([], [], [], [])
            if not data.startswith(MAGIC):
                raise PermanentError(f"{self.path} is not a telemetry segment", hint="move it out of the folder")
            base = self._offset = len(MAGIC)
            data = data[len(MAGIC) :]
        found = _Found()
        for frame in frames(data, base):
            self._take(frame, found)
        if self._offset - base < len(data) and read_seal(self.path) is not None:
            for frame in salvaged(memoryview(data)[self._offset - base :], self._offset):
                self._take(frame, found)
        answers = []
        for name, group in self.groups.items():
            if group.fresh:
                answers.append(columns_of(name, group))
                group.fresh = []
        return Events(answers, [self._truths(found.truths)] if found.truths else [], found.failures, found.gaps)

    def inputs(self, group: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Segment`."""
        return self._gather(group, places, scores=False)

    def scores(self, group: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Segment`."""
        return self._gather(group, places, scores=True)

    def matrix(self, mapped: mmap.mmap | bytes, place: Place, encoding: Encoding | None) -> NDArray[np.float32]:
        """The encoded rows of a whole frame, NaN where they are not kept."""
        stored: NDArray[np.float32] = np.frombuffer(mapped, np.float32, place.stored * place.width, place.offset)
        stored = stored.reshape(place.stored, place.width)
        if place.kept is None:
            return _understood(stored, encoding)
        whole = np.full((place.rows, place.width), np.nan, np.float32)
        whole[place.kept] = stored[place.kept] if place.stored == place.rows else stored
        return _understood(whole, encoding)

    def _take(self, frame: Frame, found: _Found) -> None:
        self._offset = frame.end
        if frame.kind in (ANSWERED, SHADOWED):
            record = msgspec.msgpack.decode(frame.meta, type=Scored)
            group = self.groups.setdefault(
                group_name(record.encoding, record.outputs), Group(record.encoding, record.outputs)
            )
            group.places.append(Place(group.rows, frame.matrix, record))
            group.fresh.append(record)
            group.rows += len(record.ids)
            self._rows += len(record.ids)
        elif frame.kind == FEEDBACK:
            found.truths.append(msgspec.msgpack.decode(frame.meta, type=Truths))
        elif frame.kind == FAILED:
            found.failures.append(msgspec.msgpack.decode(frame.meta, type=Failure))
        elif frame.kind == GAP:
            found.gaps.append(msgspec.msgpack.decode(frame.meta, type=Gap))
        elif frame.kind == ENCODING:
            encoding = msgspec.msgpack.decode(frame.meta, type=Encoding)
            self.encodings[encoding.key] = encoding
        elif frame.kind == SEAL:
            self._whole = True
            self._sealed_rows = unpack_seal(frame.meta).rows

    def _truths(self, truths: list[Truths]) -> Told:
        start = self._told
        told = truths_of(truths, start)
        self._told += len(told.at)
        self._rows += len(told.at)
        return told

    def _gather(self, group: str, places: NDArray[np.int64], *, scores: bool) -> NDArray[np.float32]:
        held = self.groups[group]
        starts = np.fromiter((place.start for place in held.places), np.int64, len(held.places))
        of_frame = np.searchsorted(starts, places, "right") - 1
        numbers, back = np.unique(of_frame, return_inverse=True)
        chosen = [held.places[number] for number in numbers]
        if scores:
            parts = [np.frombuffer(one.scores, np.float32).reshape(one.rows, held.outputs) for one in chosen]
        else:
            encoding = self.encodings.get(held.encoding)
            with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                parts = [np.array(self.matrix(mapped, one, encoding)) for one in chosen]
        base = np.cumsum([0, *(one.rows for one in chosen[:-1])])
        return pick(np.concatenate(parts), base[back] + places - starts[of_frame])


def columns_of(name: str, group: Group) -> Answers:
    """The fresh answers of a group."""
    import polars as pl  # heavy: only where a segment is read

    records = group.fresh
    places = group.places[-len(records) :]
    ids: list[str] = []
    for record in records:
        ids += record.ids
    scores = np.frombuffer(b"".join([record.scores for record in records]), np.float32)
    origins: dict[Origin, int] = {}
    codes = [
        origins.setdefault(Origin(one.release, one.model, one.stage, one.generation), len(origins)) for one in records
    ]
    kept, share = np.ones(len(ids), bool), np.ones(len(ids), np.float32)
    first = places[0].start
    for place in places:
        if place.kept is not None and place.inputs is not None:
            low = place.start - first
            here = slice(low, low + place.rows)
            kept[here] = False
            kept[low + place.kept] = True
            shares = place.inputs.shares
            share[here] = np.frombuffer(shares, np.float32) if shares else place.inputs.share
    return Answers(
        group=name,
        start=first,
        ids=pl.Series("id", ids, dtype=pl.String),
        at=np.frombuffer(b"".join([record.at for record in records]), np.int64),
        latency=np.frombuffer(b"".join([record.latency for record in records]), np.float32),
        score=scores if group.outputs == 1 else best_of(scores.reshape(len(ids), group.outputs)),
        origin=np.repeat(np.array(codes, np.int32), [place.rows for place in places]),
        origins=list(origins),
        kept=kept,
        share=share,
    )


def best_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest output of each row; NaN for a model that has none."""
    if scores.shape[1] == 0:
        return np.full(len(scores), np.nan, np.float32)
    best: NDArray[np.float32] = scores.max(axis=1)
    return best


def truths_of(records: list[Truths], start: int) -> Told:
    """The truths of these frames."""
    import polars as pl  # heavy: only where a segment is read

    ids: list[str] = []
    truths: list[float | str] = []
    orphans: list[int] = []
    for record in records:
        orphans += [len(ids) + place for place in record.orphans]
        ids += record.ids
        truths += record.truths
    words = {place: truth for place, truth in enumerate(truths) if isinstance(truth, str)}
    if words:
        truths = [np.nan if isinstance(truth, str) else truth for truth in truths]
    orphan = np.zeros(len(ids), bool)
    orphan[orphans] = True
    return Told(
        start=start,
        ids=pl.Series("id", ids, dtype=pl.String),
        at=np.frombuffer(b"".join([record.at for record in records]), np.int64),
        number=np.array(truths, np.float64),
        words=words,
        orphan=orphan,
    )


def _understood(matrix: NDArray[np.float32], encoding: Encoding | None) -> NDArray[np.float32]:
    """The matrix, with codes that are in no vocabulary as -1: a caller that sends rows encoded may send anything."""
    if encoding is None:
        return matrix
    places = [place for place, column in enumerate(encoding.columns) if column.kind == "category"]
    if not places:
        return matrix
    codes = matrix[:, places]
    sizes = np.array([len(encoding.columns[place].vocabulary) for place in places], np.float32)
    known = (codes >= 0) & (codes < sizes) & (codes == np.floor(codes))
    strange = ~known & (codes != -1)
    if not strange.any():
        return matrix
    mended = matrix.copy()
    mended[:, places] = np.where(strange, np.float32(-1), codes)
    return mended
