"""CSV and what is like it: the header, the character between the cells, and pieces as frames of text."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import polars as pl

from trimtab.data.port import DataError

_DELIMITERS = ",;\t|"
_FEW = 20


@dataclass(frozen=True)
class Header:
    """The first line: names, the character between them, and its length in bytes."""

    names: tuple[str, ...]
    delimiter: str
    length: int


def header_of(head: bytes, delimiter: str, wanted: tuple[str, ...]) -> Header | None:
    """The header of a file that begins so; None where its first line has no end. Where no delimiter is declared, it is
    the one by which the columns `wanted` are found, or most columns. Raises DataError for a header that cannot be one.
    """
    start = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    end = head.find(b"\n", start)
    if end < 0:
        return None
    line = head[start:end].decode("utf-8", errors="replace").rstrip("\r")
    found = [_split(line, mark) for mark in ([delimiter] if delimiter else _DELIMITERS)]
    names, mark = max(found, key=lambda pair: (sum(name in pair[0] for name in wanted), len(pair[0])))
    if not line.strip():
        raise DataError("its first line is empty: it has no header")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"its header names {', '.join(map(repr, twice))} twice")
    return Header(tuple(names), mark, end + 1)


def _split(line: str, delimiter: str) -> tuple[list[str], str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=delimiter))], delimiter
    except (csv.Error, StopIteration):
        return [], delimiter


def text_frame(piece: bytes, header: Header) -> tuple[pl.DataFrame, list[str]]:
    """Whole lines in UTF-8 as a frame of text, and the lines that are no rows of this table."""
    schema = dict.fromkeys(header.names, pl.String())
    try:
        frame = pl.read_csv(piece, has_header=False, schema=schema, separator=header.delimiter)
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=schema), []
    except pl.exceptions.PolarsError:
        return _line_by_line(piece.decode(), header)
    return frame.filter(~pl.all_horizontal(pl.all().is_null())), []


def _line_by_line(text: str, header: Header) -> tuple[pl.DataFrame, list[str]]:
    """The slow way, for pieces in which some line is damaged."""
    width = len(header.names)
    rows, bad = list[list[str | None]](), list[str]()
    try:
        parsed = list(csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter, strict=True))
    except csv.Error:
        parsed = []
        for line in text.splitlines():
            try:
                parsed.extend(csv.reader([line], delimiter=header.delimiter, strict=True))
            except csv.Error:
                bad.append(line)
    for cells in parsed:
        if len(cells) == width:
            rows.append([cell or None for cell in cells])
        elif any(cells):
            bad.append(header.delimiter.join(cells))
    if len(bad) > max(_FEW, len(rows)):
        raise DataError(
            f"{len(bad):,} of {len(bad) + len(rows):,} lines do not have the {width} cells of its header",
            hint="put its header right, or declare its `delimiter`",
        )
    return pl.DataFrame(rows, schema=dict.fromkeys(header.names, pl.String()), orient="row"), bad
