"""From what a segment in frames tells to the tables that are written as Arrow files."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from trimtab.serving.telemetry.archives.archive import INPUT
from trimtab.serving.telemetry.events import Answers, Told
from trimtab.serving.telemetry.framed import FramedSegment, Group
from trimtab.serving.telemetry.inputs import DIGEST
from trimtab.serving.telemetry.segments import EncodedColumn, Encoding, Failure

MOMENT = pl.Datetime("us", "UTC")


def answers_table(segment: FramedSegment, content: bytes, answers: Answers) -> pl.DataFrame:
    """The answers of one group with their inputs, in the segment's order."""
    group = segment.groups[answers.group]
    encoding = segment.encodings.get(group.encoding) or unnamed(group)
    origin = answers.origin.astype(np.uint32)

    def told(field: str, kind: type[pl.DataType]) -> pl.Series:
        return pl.Series(field, [getattr(one, field) for one in answers.origins], dtype=kind).gather(origin)

    columns = [
        answers.ids.alias("id"),
        pl.Series("time", answers.at).cast(MOMENT),
        told("release", pl.String),
        told("model", pl.String),
        told("stage", pl.String),
        told("generation", pl.Int64),
        pl.Series("score", answers.score, dtype=pl.Float32, nan_to_null=group.outputs == 0),
    ]
    if group.outputs > 1:
        several = np.frombuffer(b"".join([place.scores for place in group.places]), np.float32)
        kind = pl.Array(pl.Float32, group.outputs)
        columns.append(pl.Series("scores", several.reshape(-1, group.outputs), dtype=kind))
    columns += [
        pl.Series("latency", answers.latency, dtype=pl.Float32),
        pl.Series("kept", answers.kept),
        pl.Series("share", answers.share, dtype=pl.Float32),
    ]
    if any(place.answers for place in group.places):
        columns.append(_told_answers(group))
    if any(place.inputs is not None and place.inputs.digests for place in group.places):
        columns.append(_digests(group))
    if any(place.inputs is not None and place.inputs.sizes for place in group.places):
        columns += _payloads(group, content, answers.kept)
    elif encoding.columns:
        columns += _inputs(segment, group, content, encoding, answers.kept)
    return pl.DataFrame(columns)


def truths_table(told: Told) -> pl.DataFrame:
    """Truths: `truth` is null where `words` tell it."""
    words = [told.words.get(place) for place in range(len(told.at))] if told.words else [None] * len(told.at)
    return pl.DataFrame(
        [
            told.ids.alias("id"),
            pl.Series("time", told.at).cast(MOMENT),
            pl.Series("truth", told.number, nan_to_null=True),
            pl.Series("words", words, dtype=pl.String),
            pl.Series("orphan", told.orphan),
        ]
    )


def failures_table(failures: list[Failure]) -> pl.DataFrame:
    """What releases could not score."""
    kinds = {"release": pl.String, "model": pl.String, "stage": pl.String, "rows": pl.Int64, "at": pl.Int64}
    columns = [
        pl.Series(name, [getattr(one, name) for one in failures], dtype=kind)
        for name, kind in (*kinds.items(), ("error", pl.String))
    ]
    return pl.DataFrame(columns).with_columns(pl.col("at").cast(MOMENT)).rename({"at": "time"})


def unnamed(group: Group) -> Encoding:
    """The encoding of a segment that does not tell it."""
    width = group.places[0].width if group.places else 0
    columns = [EncodedColumn(str(place), "number") for place in range(width)]
    return Encoding(group.encoding, "", [], columns)


def _inputs(
    segment: FramedSegment, group: Group, content: bytes, encoding: Encoding, kept: NDArray[np.bool_]
) -> list[pl.Series]:
    matrix = np.concatenate([segment.matrix(content, place, encoding) for place in group.places])
    columns = []
    for place, column in enumerate(encoding.columns):
        cells = np.ascontiguousarray(matrix[:, place])
        name = INPUT + column.name
        if column.kind == "category":
            codes = pl.Series(name, np.where(kept, cells, -1).astype(np.int32))
            words = pl.Series(name, column.vocabulary, dtype=pl.Enum(column.vocabulary))
            columns.append(words.gather(codes.set(codes < 0, None).cast(pl.UInt32)).alias(name))
        else:
            columns.append(pl.Series(name, cells, dtype=pl.Float32, nan_to_null=True))
    return columns


def _digests(group: Group) -> pl.Series:
    found: list[str | None] = []
    for place in group.places:
        digests = place.inputs.digests if place.inputs is not None else b""
        found += [digests[low : low + DIGEST].hex() or None for low in range(0, place.rows * DIGEST, DIGEST)]
    return pl.Series("digest", found, dtype=pl.String)


def _payloads(group: Group, content: bytes, kept: NDArray[np.bool_]) -> list[pl.Series]:
    payloads: list[bytes | None] = []
    sizes: list[int] = []
    shapes: list[str] = []
    for place in group.places:
        assert place.inputs is not None
        own = np.frombuffer(place.inputs.sizes, np.int64)
        sizes += own.tolist()
        shapes += place.inputs.shapes
        stored = own if place.stored == place.rows or place.kept is None else own[place.kept]
        ends = np.cumsum([place.offset, *stored]).tolist()
        pieces = [content[low:high] for low, high in pairwise(ends)]
        if place.stored == place.rows:
            payloads += pieces
        else:
            whole: list[bytes | None] = [None] * place.rows
            for position, piece in zip(place.kept.tolist() if place.kept is not None else (), pieces, strict=True):
                whole[position] = piece
            payloads += whole
    payloads = [piece if keep else None for piece, keep in zip(payloads, kept.tolist(), strict=True)]
    return [
        pl.Series("bytes", sizes, dtype=pl.Int64),
        pl.Series("shape", shapes, dtype=pl.String),
        pl.Series("payload", payloads, dtype=pl.Binary),
    ]


def _told_answers(group: Group) -> pl.Series:
    found: list[str | None] = []
    for place in group.places:
        told = orjson.loads(place.answers) if place.answers else [None] * place.rows
        found += [None if one is None else orjson.dumps(one).decode() for one in told]
    return pl.Series("answer", found, dtype=pl.String)
