"""The answers of a batch in the format that its caller wants."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

import orjson

from trimtab.records.model import Signature
from trimtab.serving.batch.answer import Line, Writer
from trimtab.serving.batch.formats import Format


def writer_for(form: Format, signature: Signature) -> Writer:
    """The writer of a format."""
    if form == "ndjson":
        return NdjsonWriter(signature)
    if form == "csv":
        return CsvWriter(signature)
    from trimtab.serving.batch.column_writers import ArrowWriter, ParquetWriter  # here: lines do without Arrow

    return ArrowWriter(signature) if form == "arrow" else ParquetWriter(signature)


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
