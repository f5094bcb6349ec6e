"""Telemetry written without a server, for tests of what reads it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.telemetry.inputs import InputSampling
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    ENCODING,
    FAILED,
    FEEDBACK,
    SHADOWED,
    EncodedColumn,
    Encoding,
    Failure,
    Scored,
    Truths,
    micros,
    pack,
)
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

T0 = datetime(2013, 1, 1, tzinfo=UTC)
CARRIERS = ["AA", "DL", "UA"]
ENCODINGS = {
    "tab": Encoding(
        "tab",
        "binary_classification",
        ["on time", "late"],
        [EncodedColumn("distance", "number"), EncodedColumn("carrier", "category", CARRIERS)],
    ),
    "img": Encoding("img", "multiclass_classification", ["a", "b", "c"], []),
}


class Written:
    """Writes what a server would, with inputs drawn from a seed."""

    def __init__(self, folder: Path, policy: TelemetryPolicy = TelemetryPolicy(), **settings: object) -> None:  # noqa: B008
        self.writer = TelemetryWriter(folder, **settings)  # type: ignore[arg-type]
        for key, encoding in ENCODINGS.items():
            self.writer.describe(key, pack(ENCODING, msgspec.msgpack.encode(encoding)))
        self._inputs = InputSampling(policy)
        self._random = np.random.default_rng(7)
        self._batch = 0

    def answer(
        self,
        ids: Sequence[str],
        at: datetime,
        release: str = "r1",
        *,
        stage: str = "live",
        outputs: int = 1,
        matrix: object = None,
        owed: bool = False,
    ) -> None:
        """Answers rows of two columns."""
        rows = len(ids)
        if matrix is None:
            drawn = [self._random.normal(size=rows), self._random.integers(-1, len(CARRIERS), rows)]
            matrix = np.stack(drawn, axis=1)
            matrix[self._random.random(rows) < 0.2, 0] = np.nan
        cells = np.asarray(matrix, np.float32)
        data, kept = self._inputs.matrix(ids, cells, owed=owed)
        self._write(ids, at, release, stage, outputs, "tab", data, kept, cells.shape[1])

    def look(self, ids: Sequence[str], at: datetime, payloads: Sequence[bytes], release: str = "seer") -> None:
        """Answers rows whose inputs are no matrix, with three scores each."""
        shapes = [f"image UINT8[{len(one)}]" for one in payloads]
        data, kept = self._inputs.payloads(ids, payloads, shapes, owed=False)
        self._write(ids, at, release, "live", 3, "img", data, kept, 0)

    def name(self, ids: Sequence[str], at: datetime, answers: Sequence[object], release: str = "namer") -> None:
        """Answers rows of a model without scores: its outputs are told by name."""
        data, kept = self._inputs.payloads(ids, [b"x"] * len(ids), ["text"] * len(ids), owed=False)
        told = msgspec.json.encode(answers)
        self._write(ids, at, release, "live", 0, "img", data, kept, 0, told)

    def fail(self, at: datetime, rows: int = 3) -> None:
        """A release that could not score."""
        stamp = micros(at)
        record = Failure("r1", "model-r1", "live", rows, stamp, "it broke")
        self.writer.write([pack(FAILED, msgspec.msgpack.encode(record))], stamp, stamp, 0)

    def tell(self, truths: dict[str, float | str], at: datetime, orphans: Sequence[str] = ()) -> None:
        """Truth that came back."""
        places = [place for place, name in enumerate(truths) if name in orphans]
        stamp = micros(at)
        record = Truths(list(truths), list(truths.values()), array("q", [stamp] * len(truths)).tobytes(), places)
        frame = pack(FEEDBACK, msgspec.msgpack.encode(record))
        self.writer.write([frame], stamp, stamp, len(truths), orphans=len(places))

    def close(self) -> None:
        self.writer.close()

    def _write(self, ids, at, release, stage, outputs, key, data, kept, width, told=b"") -> None:  # type: ignore[no-untyped-def]
        rows, stamp = len(ids), micros(at)
        self._batch += 1
        record = Scored(
            run=1,
            batch=self._batch,
            generation=2,
            release=release,
            model=f"model-{release}",
            stage=stage,
            ids=list(ids),
            at=array("q", [stamp] * rows).tobytes(),
            latency=self._random.random(rows).astype(np.float32).tobytes(),
            scores=self._random.random((rows, outputs)).astype(np.float32).tobytes(),
            outputs=outputs,
            width=width,
            encoding=key,
            inputs=kept,
            answers=told,
        )
        kind = SHADOWED if stage == "shadow" else ANSWERED
        self.writer.write([pack(kind, msgspec.msgpack.encode(record), data)], stamp, stamp, rows, (key,))
