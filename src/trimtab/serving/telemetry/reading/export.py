"""Predictions with their inputs and their truth in one table, for people and for other tools."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from trimtab.serving.telemetry.archives.archive import ArchivedSegment
from trimtab.serving.telemetry.archives.tables import answers_table
from trimtab.serving.telemetry.events import Segment
from trimtab.serving.telemetry.folder import segments_in
from trimtab.serving.telemetry.framed import FramedSegment
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.segments import moment

FORMATS = ("parquet", "csv", "arrow", "ndjson")


def joined(reader: TelemetryReader, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
    """One row a (prediction, release), sorted by time, id and release: what `answers-*.arrow` holds, with `label` and
    `truth_time` after the score. Rows of models with other inputs have null in the columns that are not theirs."""
    rows = reader.predictions(since, until)
    parts = [
        _table(segment, group)[places].with_columns(pl.Series("order", positions))
        for segment, group, places, positions in reader.sources(since, until)
    ]
    if not parts:
        return rows
    table = (
        pl.concat(_alike(parts), how="diagonal")
        .sort("order")
        .drop("order")
        .hstack(rows.select("label", truth_time="truth_at"))
    )
    ahead = ["id", "time", "release", "model", "stage", "generation", "score", "label", "truth_time", "latency"]
    return table.select(*ahead, *(name for name in table.columns if name not in ahead))


class Prediction(NamedTuple):
    """All that the telemetry has of one id: a row for each release that scored it (retried requests, too), and its
    truths by moment, each with a note where another one holds."""

    rows: list[dict[str, Any]]
    truths: list[dict[str, Any]]


def prediction(folder: Path, name: str) -> Prediction:
    """Looks for an id in every segment."""
    rows: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    for found in segments_in(folder):
        segment = found.open()
        events = segment.read()
        for answers in events.answers:
            places = (answers.ids == name).arg_true()
            if len(places):
                rows += _table(segment, answers.group)[places.to_numpy()].to_dicts()
        for told in events.told:
            for place in (told.ids == name).arg_true().to_list():
                number = float(told.number[place])
                said = told.words.get(place, number)
                truths.append({"time": moment(int(told.at[place])), "truth": said, "note": ""})
    rows.sort(key=lambda row: row["time"])
    truths.sort(key=lambda truth: truth["time"])
    for truth in truths[:-1]:
        truth["note"] = ", which holds no more" if truth["truth"] != truths[-1]["truth"] else ", and again"
    if truths and not rows:
        truths[-1]["note"] = ", of a prediction that was never seen"
    return Prediction(rows, truths)


def write(table: pl.DataFrame, path: Path, kind: str) -> None:
    """Writes a table in one of FORMATS. In texts, bytes come as hexadecimal and lists as JSON."""
    if kind == "parquet":
        table.write_parquet(path)
    elif kind == "arrow":
        table.write_ipc(path, compression="zstd", compat_level=pl.CompatLevel.oldest())
    elif kind == "ndjson":
        _plain(table).write_ndjson(path)
    else:
        _flat(_plain(table)).write_csv(path)


def _table(segment: Segment, group: str) -> pl.DataFrame:
    if isinstance(segment, ArchivedSegment):
        return segment.frame(segment.file(group))
    assert isinstance(segment, FramedSegment)
    afresh = FramedSegment(segment.path)
    answers = next(one for one in afresh.read().answers if one.group == group)
    return answers_table(afresh, segment.path.read_bytes(), answers)


def _alike(parts: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Columns that have one name and several types, as the same input of two models may, become texts or numbers."""
    kinds: dict[str, set[pl.DataType]] = {}
    for part in parts:
        for name, kind in part.schema.items():
            kinds.setdefault(name, set()).add(kind)
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    scores = mixed & {"scores"}
    texts = [pl.col(name).cast(pl.List(pl.Float32)) for name in scores]
    return [
        part.with_columns(
            *(one for one in texts if one.meta.output_name() in part.columns),
            *(pl.col(name).cast(pl.String) for name in sorted(mixed - scores) if name in part.columns),
        )
        for part in parts
    ]


def _plain(table: pl.DataFrame) -> pl.DataFrame:
    binary = [name for name, kind in table.schema.items() if kind == pl.Binary]
    return table.with_columns(pl.col(name).bin.encode("hex") for name in binary)


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    nested = [name for name, kind in table.schema.items() if isinstance(kind, pl.List | pl.Array)]
    return table.with_columns(
        pl.Series(name, [None if cell is None else str(np.asarray(cell).tolist()) for cell in table[name].to_list()])
        for name in nested
    )
