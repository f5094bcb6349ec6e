"""A sealed segment as Arrow files, which any Arrow tool can read: docs/telemetry.md names their columns.

The files of a segment lie in a folder of its name. Its manifest tells what it holds and the blake3 digest of each file;
a folder without one is not there yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import blake3
import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.records.base import Record
from trimtab.serving.telemetry.events import Answers, Events, Origin, Told, pick
from trimtab.serving.telemetry.segments import Encoding, Failure, Gap

if TYPE_CHECKING:
    import polars as pl

MANIFEST = "manifest.json"
VERSION = 1
INPUT = "input_"
ORIGIN = ("release", "model", "stage", "generation")


class ArchivedFile(Record, kw_only=True):
    """One Arrow file; `group` and `encoding` are those of its answers."""

    name: str
    kind: Literal["answers", "truths", "failures", "ids"]
    rows: int
    bytes: int
    blake3: str
    group: str = ""
    encoding: str = ""


class Manifest(Record, kw_only=True):
    """What a compacted segment holds. `first` and `last`: its earliest and latest moment, microseconds since 1970.
    `failures` counts rows that releases could not score."""

    version: int
    segment: str
    first: int
    last: int
    answers: int
    truths: int
    orphans: int
    failures: int
    gaps: tuple[Gap, ...]
    encodings: tuple[Encoding, ...]
    files: tuple[ArchivedFile, ...]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a compacted segment. Raises PermanentError when it cannot be understood."""
    path = folder / MANIFEST
    data = path.read_bytes()
    try:
        if msgspec.json.decode(data, type=_Versioned).version > VERSION:
            raise PermanentError(f"{path} is of a newer Trimtab", hint="upgrade Trimtab")
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"{path} cannot be read: {error}", hint="`trimtab telemetry verify` tells more") from error


class _Versioned(msgspec.Struct):
    version: int


class ArchivedSegment:
    """One compacted segment. Its files are checked against the manifest as they are read."""

    def __init__(self, folder: Path, manifest: Manifest | None = None) -> None:
        self.name = folder.name
        self.folder = folder
        self.manifest = manifest or read_manifest(folder)
        self._encodings = {one.key: one for one in self.manifest.encodings}
        self._read = False
        self._checked: set[str] = set()

    @property
    def whole(self) -> bool:
        """See `Segment`."""
        return True

    @property
    def damaged(self) -> str:
        """See `Segment`."""
        return ""

    def read(self) -> Events:
        """See `Segment`; all of it the first time, nothing after."""
        if self._read:
            return Events([], [], [], [])
        self._read = True
        answers = [self._answers(file) for file in self._of("answers")]
        return Events(
            answers,
            [self.truths(file) for file in self._of("truths")],
            self.failures(),
            list(self.manifest.gaps),
        )

    def inputs(self, group: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Segment`."""
        file = self.file(group)
        columns = self._encodings[file.encoding].columns
        if not columns:  # inputs that are no matrix
            return np.empty((len(places), 0), np.float32)
        frame, first = self._part(file, [INPUT + column.name for column in columns], places)
        matrix = np.empty((frame.height, len(columns)), np.float32)
        for place, column in enumerate(columns):
            cells = frame[INPUT + column.name]
            if column.kind == "category":
                cells = cells.to_physical().cast(_float()).fill_null(-1.0)
            matrix[:, place] = cells.to_numpy()
        return pick(matrix, places - first)

    def scores(self, group: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Segment`."""
        file = self.file(group)
        outputs = group.removeprefix(file.encoding).removeprefix("-")
        if outputs == "0":
            return np.empty((len(places), 0), np.float32)
        frame, first = self._part(file, ["scores" if outputs else "score"], places)
        return pick(frame.to_series().to_numpy().reshape(frame.height, -1), places - first)

    def frame(self, file: ArchivedFile, columns: list[str] | None = None) -> pl.DataFrame:
        """A file's table, or some of its columns. Raises PermanentError when it is not what was written."""
        import polars as pl  # heavy: only where a segment is read

        data = (self.folder / file.name).read_bytes()
        self._check(file, data)
        return pl.read_ipc(data, columns=columns)

    def _part(self, file: ArchivedFile, columns: list[str], places: NDArray[np.int64]) -> tuple[pl.DataFrame, int]:
        """The rows of a file from the first of `places` to the last, and the number of the first: only record batches
        that have some are read."""
        import polars as pl  # heavy: only where a segment is read

        path = self.folder / file.name
        if file.name not in self._checked:
            self._check(file, path.read_bytes())
        low, high = (int(places.min()), int(places.max()) + 1) if len(places) else (0, 0)
        return pl.scan_ipc(path).select(columns).slice(low, high - low).collect(), low

    def _check(self, file: ArchivedFile, data: bytes) -> None:
        if file.name not in self._checked and blake3.blake3(data).hexdigest() != file.blake3:
            raise PermanentError(
                f"{self.folder / file.name} is damaged: its content is not what was written",
                hint="restore it from a copy, or move its folder out of the telemetry folder",
            )
        self._checked.add(file.name)

    def truths(self, file: ArchivedFile) -> Told:
        """The truths in a file."""
        frame = self.frame(file)
        words = frame["words"]
        return Told(
            start=0,
            ids=frame["id"],
            at=frame["time"].to_physical().to_numpy(),
            number=frame["truth"].to_numpy(),
            words={place: words[place] for place in words.is_not_null().arg_true().to_list()},
            orphan=frame["orphan"].to_numpy(),
        )

    def _answers(self, file: ArchivedFile) -> Answers:
        frame = self.frame(file, ["id", "time", *ORIGIN, "score", "latency", "kept", "share"])
        told = frame.select(ORIGIN)
        unique = told.unique(maintain_order=True)
        codes = told.join(unique.with_row_index("code"), on=ORIGIN, how="left", maintain_order="left")["code"]
        return Answers(
            group=file.group,
            start=0,
            ids=frame["id"],
            at=frame["time"].to_physical().to_numpy(),
            latency=frame["latency"].to_numpy(),
            score=frame["score"].to_numpy(),
            origin=codes.to_numpy().astype(np.int32),
            origins=[Origin(*row) for row in unique.iter_rows()],
            kept=frame["kept"].to_numpy(),
            share=frame["share"].to_numpy(),
        )

    def failures(self) -> list[Failure]:
        """What releases could not score."""
        tables = [self.frame(file).rename({"time": "at"}).with_columns(_micros()) for file in self._of("failures")]
        return [Failure(**row) for table in tables for row in table.iter_rows(named=True)]

    def _of(self, kind: str) -> list[ArchivedFile]:
        return [file for file in self.manifest.files if file.kind == kind]

    def file(self, group: str) -> ArchivedFile:
        """The file that holds the answers of a group."""
        return next(file for file in self._of("answers") if file.group == group)


def _float() -> type[pl.Float32]:
    import polars as pl  # heavy: only where a segment is read

    return pl.Float32


def _micros() -> pl.Expr:
    import polars as pl  # heavy: only where a segment is read

    return pl.col("at").to_physical()
