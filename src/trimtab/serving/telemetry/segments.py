"""How telemetry lies on disk: frames in append-only segment files.

A segment starts with `MAGIC`. A frame is a 13-byte head (`<IIBI`: bytes of the body, CRC-32 of the body, kind, bytes of
the meta part) and a body: a msgpack record followed by the float32 matrix it speaks of. A segment whose writer ended in
order, or whose torn tail has been cut, ends with a `SEAL` frame of fixed size that tells the moments it covers, so that
a reader can pass over it.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

MAGIC = b"TRIMTAB\x02"
SUFFIX = ".seg"
ANSWERED, SHADOWED, FEEDBACK, FAILED, ENCODING, GAP, SEAL = 1, 2, 3, 4, 5, 6, 9
EVENTS = frozenset((ANSWERED, SHADOWED, FEEDBACK, FAILED, GAP))
HEAD = struct.Struct("<IIBI")
_SEAL = struct.Struct("<qqqq")
SEAL_SIZE = HEAD.size + _SEAL.size
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KeptInputs(msgspec.Struct, array_like=True, frozen=True):
    """Whose inputs follow the meta part: of every row where `complete`, else of the rows whose positions (int32) are in
    `kept`. `kept` is what stays when the segment is compacted; with a `share` of 1 it is empty and means every row.

    `share` is how likely a row was to be kept; `shares` (float32, one a row) takes its place where rows differ.
    `digests`: 16 bytes of blake3, one a row, where rows are large (empty: none is). Inputs that are no matrix have
    their `sizes` (int64 bytes, one a row) and `shapes`.
    """

    share: float = 1.0
    kept: bytes = b""
    complete: bool = True
    digests: bytes = b""
    sizes: bytes = b""
    shapes: Sequence[str] = ()
    shares: bytes = b""


class Scored(msgspec.Struct, array_like=True, frozen=True):
    """Rows that one release scored together. `at`: int64 microseconds and `latency`: float32 seconds, one a row;
    `scores`: float32, `outputs` a row; the matrix has `width` columns, in the encoding that `encoding` names. `run` and
    `batch` name the frame; an answered one `owes` scores by the shadow releases it lists, and then carries the `rows`
    (JSON) for those of another encoding; the frames that pay have the same `run` and `batch`. Without `inputs` the
    matrix of every row is kept. `answers` are the answers as JSON, a list of one a row, of a model without scores."""

    run: int
    batch: int
    generation: int
    release: str
    model: str
    stage: str
    ids: list[str]
    at: bytes
    latency: bytes
    scores: bytes
    outputs: int
    width: int
    encoding: str
    owes: list[str] = []
    rows: bytes = b""
    inputs: KeptInputs | None = None
    answers: bytes = b""


class EncodedColumn(msgspec.Struct, array_like=True, frozen=True):
    """One float of an encoded row: a `number`, or the position of a `category` in its vocabulary (-1: none of it)."""

    name: str
    kind: str
    vocabulary: list[str] = []


class Encoding(msgspec.Struct, array_like=True, frozen=True):
    """What the columns of a matrix mean; it comes before the first frame of its segment that has this encoding. Without
    columns the inputs are not a matrix: each row's are `sizes` bytes in the form that `shapes` tells."""

    key: str
    task: str
    classes: list[str]
    columns: list[EncodedColumn]


class Gap(msgspec.Struct, array_like=True, frozen=True):
    """Rows between two moments (microseconds) that were answered and could not be kept."""

    first: int
    last: int
    rows: int
    reason: str


class Truths(msgspec.Struct, array_like=True, frozen=True):
    """Truth that came back. `at`: int64 microseconds, one an item; a truth is the index of its class or a number
    where the server could tell, else as it was sent. `orphans` are the positions of ids that were not known then."""

    ids: list[str]
    truths: list[float | str]
    at: bytes
    orphans: list[int] = []


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Rows that a release was asked to score and could not."""

    release: str
    model: str
    stage: str
    rows: int
    at: int
    error: str


class Seal(NamedTuple):
    """First and last moment of a segment's frames (microseconds), its rows (of answers and of truths), and how many of
    its truths are orphans."""

    first: int
    last: int
    rows: int
    orphans: int = 0


class Frame(NamedTuple):
    """One frame as found: `start` is the offset of its head in the file, `matrix` that of its matrix."""

    kind: int
    meta: memoryview
    matrix: int
    start: int
    end: int


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(stamp: int) -> datetime:
    """The aware moment of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=stamp)


def pack(kind: int, meta: bytes, matrix: bytes = b"") -> bytes:
    """A whole frame."""
    check = zlib.crc32(matrix, zlib.crc32(meta)) if matrix else zlib.crc32(meta)
    return HEAD.pack(len(meta) + len(matrix), check, kind, len(meta)) + meta + matrix


def pack_seal(seal: Seal) -> bytes:
    """The frame that ends a segment; `SEAL_SIZE` bytes."""
    return pack(SEAL, _SEAL.pack(*seal))


def unpack_seal(meta: memoryview | bytes) -> Seal:
    """The seal in a `SEAL` frame."""
    return Seal(*_SEAL.unpack(meta))


def frames(data: bytes | memoryview, base: int = 0) -> Iterator[Frame]:
    """The whole, sound frames at the head of `data`, which begins at offset `base` of its file; stops at the first that
    is not (a torn tail, or one still being written)."""
    view = memoryview(data)
    position, size = 0, len(view)
    while position + HEAD.size <= size:
        length, check, kind, meta = HEAD.unpack_from(view, position)
        body = position + HEAD.size
        end = body + length
        # No kind is 0: a tail of zeros, which a power cut may leave, has a sound checksum, that of nothing.
        if kind == 0 or end > size or meta > length or zlib.crc32(view[body:end]) != check:
            return
        yield Frame(kind, view[body : body + meta], base + body + meta, base + position, base + end)
        position = end


def salvaged(data: bytes | memoryview, base: int = 0) -> Iterator[Frame]:
    """The sound frames of a sealed segment's rest: one that is damaged is passed over where its head still tells where
    the next begins."""
    view = memoryview(data)
    position, size = 0, len(view)
    while position + HEAD.size <= size:
        end = position
        for frame in frames(view[position:], base + position):
            yield frame
            end = frame.end - base
        if end + HEAD.size > size:
            return
        position = end + HEAD.size + HEAD.unpack_from(view, end)[0]


def read_seal(path: Path) -> Seal | None:
    """The seal at the end of a segment, or None when it has none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < len(MAGIC) + SEAL_SIZE:
            return None
        file.seek(size - SEAL_SIZE)
        tail = file.read(SEAL_SIZE)
    found = next(frames(tail), None)
    return unpack_seal(found.meta) if found is not None and found.kind == SEAL else None


def times_of(frame: Frame) -> Seal:
    """What a frame that tells of events adds to the seal of its segment."""
    if frame.kind == GAP:
        gap = msgspec.msgpack.decode(frame.meta, type=Gap)
        return Seal(gap.first, gap.last, 0)
    if frame.kind == FAILED:
        failure = msgspec.msgpack.decode(frame.meta, type=Failure)
        return Seal(failure.at, failure.at, 0)
    orphans = 0
    if frame.kind == FEEDBACK:
        truths = msgspec.msgpack.decode(frame.meta, type=Truths)
        stamps, orphans = array("q", truths.at), len(truths.orphans)
    else:
        stamps = array("q", msgspec.msgpack.decode(frame.meta, type=Scored).at)
    return Seal(min(stamps), max(stamps), len(stamps), orphans)


def span_of(data: memoryview) -> Seal:
    """The seal that a segment's content (from its first byte) deserves."""
    spans = [times_of(frame) for frame in frames(data[len(MAGIC) :], len(MAGIC)) if frame.kind in EVENTS]
    if not spans:
        return Seal(0, 0, 0)
    first, last, rows, orphans = zip(*spans, strict=True)
    return Seal(min(first), max(last), sum(rows), sum(orphans))


def segment_name(first: int, run: int, number: int) -> str:
    """A name that sorts by the moment of the segment's first event; `run` tells which start of a server wrote it."""
    return f"{moment(first):%Y%m%dT%H%M%S.%fZ}-{run:016x}-{number:05d}{SUFFIX}"


def run_of(path: Path) -> int:
    """The run that a segment's name tells; 0 for a name that is none of ours."""
    return written_after(path.stem)[0]


def written_after(name: str) -> tuple[int, int, str]:
    """What orders segments by when they were written (their names order them by the events they begin with): the start
    of the server, and the number of the segment since then."""
    _, _, tail = name.partition("-")
    run, _, number = tail.partition("-")
    try:
        return int(run, 16), int(number), name
    except ValueError:  # a name that somebody else has given
        return 0, 0, name
