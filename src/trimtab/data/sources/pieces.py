"""One file as pieces of typed rows, whatever its format, and where reading goes on behind each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from trimtab.data.sources.columnar import Groups, arrow_pieces, parquet_pieces
from trimtab.data.sources.formats import Compression, Format
from trimtab.data.sources.listing import Found
from trimtab.data.sources.reading import Piece, Reading, told
from trimtab.data.sources.records import opened
from trimtab.data.sources.seen import Seen
from trimtab.data.sources.text_pieces import text_pieces
from trimtab.data.values.times import in_utc


def pieces(found: Found, form: Format, seen: Seen, reading: Reading, until: int) -> Iterator[Piece]:
    """The pieces from `seen.at` on. Raises Unfinished, and TrimtabErrors that do not name the file."""
    if form.kind in ("csv", "ndjson", "json"):
        yield from text_pieces(found, form, seen, reading)
        return
    low = seen.given if seen.passed and seen.at < seen.passed else None
    at, time = seen.at, reading.spec.time
    with told(form), _plain(found.path, form.compression) as path:
        if form.kind == "arrow":
            parts: Iterator[tuple[pl.DataFrame | int | None, int]] = arrow_pieces(path, at, reading.size)
        else:
            parts = parquet_pieces(path, at, reading.size, Groups(time, low, until))
        for part, end in parts:
            if isinstance(part, pl.DataFrame):
                reading.check(tuple(part.columns))
                yield Piece(in_utc(part, reading.spec), at, end)
            else:
                yield Piece(None, at, end, later=part)
            at = end


@contextmanager
def _plain(path: Path, compression: Compression) -> Iterator[Path]:
    """The file itself, or a copy without the compression around it: its parts must be found by their place."""
    if not compression:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="trimtab-") as copy:
        with opened(path, compression) as stream:
            while block := stream.read(4 * 2**20):
                copy.write(block)
        copy.flush()
        yield Path(copy.name)
