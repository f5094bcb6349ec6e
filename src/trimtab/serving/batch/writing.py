"""The answers of a batch in the format that its caller wants."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import orjson

from trimtab.records.model import Signature
from trimtab.serving.batch.chunks import Chunk
from trimtab.serving.batch.formats import Format
from trimtab.serving.batch.frames import Answered

_ROW_GROUP = 65_536
_COLUMNS = ("row", "id", "score", "label", "release", "model", "error")


class Line(NamedTuple):
    """One row of an answer: `score` and `label` as JSON, or `error`."""

    row: int
    id: str
    score: bytes
    label: bytes
    release: str
    model: str
    error: str


class Writer(Protocol):
    """Makes the bytes of an answer."""

    def rows(self, lines: Iterable[Line]) -> bytes:
        """What these rows add."""
        ...

    def end(self) -> bytes:
        """What follows the last row."""
        ...

    def broken(self, message: str) -> bytes:
        """What tells, in place of further rows, that there are none; empty where the format has no way to."""
        ...


def writer_for(form: Format, signature: Signature) -> Writer:
    """The writer of a format."""
    if form == "ndjson":
        return NdjsonWriter(signature)
    if form == "csv":
        return CsvWriter(signature)
    from trimtab.serving.batch.column_writers import ArrowWriter, ParquetWriter  # here: lines do without Arrow

    return ArrowWriter(signature) if form == "arrow" else ParquetWriter(signature)


def merged(chunk: Chunk, answered: Answered | None) -> Iterator[Line]:
    """The rows of a chunk in their order: answers, and the errors of those that could not be scored."""
    place = -1
    for offset in range(chunk.count):
        error = chunk.errors.get(offset, "")
        if not error and answered is not None:
            place += 1
            error = answered.errors.get(place, "")
            if not error:
                release, model = answered.releases[answered.release[place]]
                yield Line(
                    chunk.first + offset, answered.ids[place], answered.scores[place], answered.labels[place],
                    release, model, "",
                )  # fmt: skip
                continue
        yield Line(chunk.first + offset, "", b"", b"", "", "", error)


class NdjsonWriter:
    """One object a line: `row`, `id`, `score` (a list for several classes), `label`, `release` and `model`; or `row`
    and `error`."""

    def __init__(self, signature: Signature) -> None:
        self._listed = signature.task == "multiclass_classification"
        self._names: dict[tuple[str, str], bytes] = {}

    def rows(self, lines: Iterable[Line]) -> bytes:
        parts = []
        for line in lines:
            if line.error:
                parts.append(b'{"row":%d,"error":%b}\n' % (line.row, orjson.dumps(line.error)))
                continue
            names = self._names.get((line.release, line.model))
            if names is None:
                told = orjson.dumps({"release": line.release, "model": line.model})
                names = self._names[line.release, line.model] = b"," + told[1:]
            score = b"[%b]" % line.score if self._listed else line.score
            label = b',"label":%b' % line.label if line.label else b""
            parts.append(b'{"row":%d,"id":%b,"score":%b%b%b\n' % (line.row, orjson.dumps(line.id), score, label, names))
        return b"".join(parts)

    def end(self) -> bytes:
        return b""

    def broken(self, message: str) -> bytes:
        return b'{"error":%b}\n' % orjson.dumps(message)


class CsvWriter:
    """With a header; several classes have a column each, `score_` and the class."""

    def __init__(self, signature: Signature) -> None:
        self._classes = signature.classes if signature.task == "multiclass_classification" else ()
        self._labelled = signature.task != "regression"
        self._begun = False

    def rows(self, lines: Iterable[Line]) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if not self._begun:
            self._begun = True
            writer.writerow(self._head())
        width = len(self._classes) or 1
        for line in lines:
            scores = line.score.decode().split(",") if line.score else [""] * width
            label = [orjson.loads(line.label) if line.label else ""] if self._labelled else []
            writer.writerow([line.row, line.id, *scores, *label, line.release, line.model, line.error])
        return out.getvalue().encode("utf-8", "surrogatepass")

    def end(self) -> bytes:
        return b""

    def broken(self, message: str) -> bytes:
        out = io.StringIO()
        blank = [""] * (len(self._head()) - 1)
        csv.writer(out, lineterminator="\n").writerow([*blank, message])
        return out.getvalue().encode()

    def _head(self) -> list[Any]:
        scores = [f"score_{name}" for name in self._classes] or ["score"]
        return ["row", "id", *scores, *(["label"] if self._labelled else []), "release", "model", "error"]
