"""A text file as pieces of typed rows: CSV, NDJSON, or a JSON array."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.sources.delimited import Header, header_of, text_frame
from trimtab.data.sources.formats import Format
from trimtab.data.sources.json_rows import rows_of_elements, rows_of_lines, whole_elements
from trimtab.data.sources.listing import Found
from trimtab.data.sources.reading import Piece, Reading, Unfinished, told
from trimtab.data.sources.records import Records, in_utf8, opened, whole_lines, whole_rows
from trimtab.data.sources.seen import Seen
from trimtab.data.sources.typed import unread_lines
from trimtab.data.values.times import UTC_TIME, in_utc

_CUTS = {"csv": whole_rows, "ndjson": whole_lines, "json": whole_elements}
_ARRAY_PIECE = 4 * 2**20
"""Taking an array apart needs some twenty bytes for each of its own."""


def text_pieces(found: Found, form: Format, seen: Seen, reading: Reading) -> Iterator[Piece]:
    """The pieces from `seen.at` on. Raises Unfinished, and TrimtabErrors that do not name the file."""
    with told(form):
        if form.kind == "json" and not form.compression and not _closed(found.path):
            raise Unfinished("its array has no end")
        with _records(found, form, reading) as records:
            file = _Text(found, form, reading, records, _header(found, form, reading, records))
            start = file.header.length if file.header is not None else _start(form, records)
            records.skip(max(seen.at, start))
            begin = records.at
            if file.header is not None:  # a table without rows has columns all the same
                schema = dict.fromkeys(file.header.names, pl.String()) | {reading.spec.time: UTC_TIME}
                yield Piece(pl.DataFrame(schema=schema), begin, begin, records.digest)
            for raw in records.pieces():
                yield Piece(file.rows(raw), begin, records.at, records.digest)
                begin = records.at
            rest = records.head()
            if form.kind == "json":
                if not rest.strip(b" \t\r\n,").startswith(b"]"):
                    raise Unfinished("its array has no end")
            elif rest.strip():
                last = file.last(rest)
                records.skip(begin + len(rest))
                yield Piece(last, begin, records.at, records.digest)


def grown(found: Found, form: Format, seen: Seen, reading: Reading) -> bool:
    """Whether a text file still begins with what was read of it."""
    if form.kind not in ("csv", "ndjson") or not seen.digest:
        return False
    with told(form), _records(found, form, reading) as records:
        return records.skip(seen.at) and records.digest == seen.digest


@contextmanager
def _records(found: Found, form: Format, reading: Reading) -> Iterator[Records]:
    size = min(reading.size, _ARRAY_PIECE) if form.kind == "json" else reading.size
    with opened(found.path, form.compression) as stream:
        yield Records(stream, reading.spec.encoding, size, _CUTS[form.kind])


def _header(found: Found, form: Format, reading: Reading, records: Records) -> Header | None:
    if form.kind != "csv":
        return None
    spec, head = reading.spec, records.head()
    header = header_of(head, spec.delimiter, (*spec.key, spec.time))
    if header is None:
        raise Unfinished("its header has no end" if head else "it is empty")
    if not spec.delimiter and header.delimiter != "," and ".tsv" not in found.name.lower():
        mark = {"\t": "tabs"}.get(header.delimiter, repr(header.delimiter))
        reading.note(f"{found.name}: its cells lie between {mark}; declare `delimiter` to be sure")
    reading.check(header.names)
    return header


def _start(form: Format, records: Records) -> int:
    """Where the first record of JSON begins."""
    head = records.head()
    bom = 3 if records.bom else 0
    if form.kind == "ndjson":
        return bom
    bare = head[bom:].lstrip()
    if not bare:
        raise Unfinished("it is empty")
    if not bare.startswith(b"["):
        raise DataError("it is no array of objects", hint="one object a line is NDJSON: let its name end in .ndjson")
    return len(head) - len(bare) + 1


@dataclass
class _Text:
    """What is known of an open file."""

    found: Found
    form: Format
    reading: Reading
    records: Records
    header: Header | None

    def rows(self, raw: bytes) -> pl.DataFrame:
        """Typed rows of whole records."""
        reading = self.reading
        data, sure = in_utf8(raw, self.records.encoding)
        if not sure:
            name = self.found.name
            reading.note(f"{name}: some lines are not UTF-8 and were read as Windows-1252; declare `encoding`")
        if self.header is not None:
            rows, bad = text_frame(data, self.header)
        else:
            rows, bad = rows_of_lines(data) if self.form.kind == "ndjson" else rows_of_elements(data)
            if not rows.width:
                return unread_lines(bad)
            reading.check(tuple(rows.columns))
            absent = [name for name in reading.expected if name not in rows.columns]  # JSON leaves nulls out
            rows = rows.with_columns(pl.lit(None).alias(name) for name in absent)
        frame = reading.typed(rows, bad)
        return in_utc(frame, reading.spec)

    def last(self, rest: bytes) -> pl.DataFrame:
        """The last line, without an end: it counts when it is whole and nobody has written to the file for a while."""
        if self.found.fresh:
            raise Unfinished("its last line has no end")
        if self.header is not None:
            rows, bad = text_frame(rest + b"\n", self.header)
            marks = rest.count(self.header.delimiter.encode())
            whole = not bad and rows.height == 1 and marks >= len(self.header.names) - 1 and rest.count(b'"') % 2 == 0
        else:
            whole = not rows_of_lines(rest)[1]
        if not whole:
            raise Unfinished("its last line has no end and is not whole")
        return self.rows(rest + b"\n")


def _closed(path: Path) -> bool:
    """Whether a file ends with the bracket that closes an array."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 4096))
        tail = file.read().replace(b"\0", b"").rstrip()  # UTF-16 and UTF-32 too
    return not tail or tail.endswith(b"]")
