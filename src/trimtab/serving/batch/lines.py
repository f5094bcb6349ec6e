"""Batches of lines: NDJSON and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, cast

import orjson

from trimtab.records.model import Column
from trimtab.serving.batch.chunks import Chunk, Encoding
from trimtab.serving.batch.frames import Setup
from trimtab.serving.batch.reading import read_marks
from trimtab.serving.refusals import RefusalError

_WORDS = {"true": True, "false": False, "1": True, "0": False}
Row = Mapping[str, Any]
Read = tuple[Row | None, str]  # a row, or why there is none


class LineReader:
    """One row a line. Columns that the model does not have are left aside."""

    def __init__(self, setup: Setup, file: BinaryIO) -> None:
        self._setup = setup
        self._file = file
        self._names = [column.name for column in setup.signature.inputs]
        self._keys = set(self._names)
        self._taken = [*self._names, *(name for name in setup.entities if name not in self._keys)]
        self._encoding = Encoding(setup)

    def chunks(self) -> Iterator[Chunk]:
        """The rows, a few at a time."""
        rows = self._csv() if self._setup.sent == "csv" else self._ndjson()
        first = 0
        while those := list(islice(rows, self._setup.rows)):
            yield self._chunk(first, those)
            first += len(those)

    def _chunk(self, first: int, those: Sequence[Read]) -> Chunk:
        setup, names = self._setup, self._names
        errors = {place: error for place, (row, error) in enumerate(those) if row is None}
        ids, times = (
            [row and row.get(column) for row, _ in those] if column else () for column in (setup.ids, setup.times)
        )
        marks = read_marks(setup, ids, times, errors)
        optional = setup.optional
        if optional and any(row is not None and not all(name in row for name in optional) for row, _ in those):
            chosen = [row and _choose(row, self._taken) for row, _ in those]
            return self._encoding.incomplete(first, cast("Sequence[Row]", chosen), errors, marks)
        chosen = [row if row is None or row.keys() == self._keys else _choose(row, names) for row, _ in those]
        return self._encoding.plain(first, cast("Sequence[Row]", chosen), errors, marks)

    def _ndjson(self) -> Iterator[Read]:
        for line in self._lines():
            if line.isspace():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield None, f"not JSON: {error}"
                continue
            yield (row, "") if isinstance(row, dict) else (None, "expected an object with the model's columns")

    def _csv(self) -> Iterator[Read]:
        texts = (line.decode("utf-8-sig" if n == 0 else "utf-8") for n, line in enumerate(self._lines()))
        csv.field_size_limit(self._setup.longest_row)
        rows = csv.reader(texts, strict=True)
        number = -1
        try:
            head = next(rows, None)
            if head is None:
                return
            readers = self._columns(head)
            for cells in rows:
                if not cells:
                    continue
                number += 1
                if len(cells) != len(head):
                    yield None, f"expected {len(head)} cells, got {len(cells)}"
                    continue
                yield {name: _cell(column, cells[place]) for place, name, column in readers}, ""
        except (csv.Error, UnicodeDecodeError) as error:
            raise RefusalError(422, f"row {number + 1}: not CSV in UTF-8: {error}") from error

    def _columns(self, head: list[str]) -> list[tuple[int, str, Column | None]]:
        """Place, name and column of the cells that matter; no column: an id or a moment."""
        twice = next((name for name in head if head.count(name) > 1), None)
        if twice is not None:
            raise RefusalError(422, f"column {twice!r} is there twice")
        known = {column.name: column for column in self._setup.signature.inputs}
        wanted = wanted_columns(self._setup, head)
        return [(head.index(name), name, known.get(name)) for name in wanted]

    def _lines(self) -> Iterator[bytes]:
        most = self._setup.longest_row
        number = 0
        while line := self._file.readline(most + 1):
            if len(line) > most:
                raise RefusalError(413, f"line {number + 1} is longer than {most:,} bytes")
            number += 1
            yield line


def wanted_columns(setup: Setup, found: Sequence[str]) -> list[str]:
    """Which of the columns that are there are to be read. Raises RefusalError (422) naming every one that is missing,
    with the nearest that is there."""
    from difflib import get_close_matches

    inputs = [column.name for column in setup.signature.inputs]
    wanted = list(dict.fromkeys([*inputs, *(name for name in (setup.ids, setup.times) if name)]))
    errors = []
    for name in wanted:
        if name not in found and (name not in setup.optional or name in (setup.ids, setup.times)):
            near = get_close_matches(name, [one for one in found if one not in wanted], n=1)
            hint = f"is it {near[0]!r}?" if near else ""
            errors.append({"column": name, "error": "is missing", "hint": hint})
    if errors:
        shown = ", ".join(found[:50]) or "nothing"
        hint = errors[0]["hint"] or f"the batch has {shown}"
        message = f"column {errors[0]['column']!r} is missing"
        raise RefusalError(422, message, hint=hint, more={"errors": errors, "errors_found": len(errors)})
    return [name for name in dict.fromkeys([*wanted, *setup.entities]) if name in found]


def _cell(column: Column | None, text: str) -> Any:
    """A cell of CSV in its column's type; what cannot be read stays as it is and is refused by name afterwards. An
    empty cell is null."""
    if not text:
        return None
    if column is None or column.kind in ("category", "time"):
        return text
    if column.kind == "boolean":
        return _WORDS.get(text.lower(), text)
    try:
        return text if "_" in text else float(text)
    except ValueError:
        return text


def _choose(row: Row, names: Sequence[str]) -> Row:
    return {name: row[name] for name in names if name in row}
