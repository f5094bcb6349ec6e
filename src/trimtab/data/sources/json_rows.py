"""JSON objects as rows: one a line, or the elements of one array, of which no more than a piece is held in memory."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import polars as pl

from trimtab.data.port import DataError

_SIMPLE = (pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.Null)
_EXACT = 2**53


def rows_of_lines(piece: bytes) -> tuple[pl.DataFrame, list[str]]:
    """Whole lines in UTF-8 as a frame, and the lines that are no JSON objects."""
    try:
        frame = pl.read_ndjson(piece, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return _one_by_one(piece.splitlines())
    return (frame, []) if _plain(frame) else _one_by_one(piece.splitlines())


def rows_of_elements(piece: bytes) -> tuple[pl.DataFrame, list[str]]:
    """Whole elements of an array, with the commas between them, as a frame."""
    inner = piece.strip(b" \t\r\n,")
    if not inner:
        return pl.DataFrame(), []
    try:
        frame = pl.read_json(io.BytesIO(b"[" + inner + b"]"), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        frame = None
    if frame is not None and _plain(frame):
        return frame, []
    try:
        elements = msgspec.json.decode(b"[" + inner + b"]", type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(f"it is not JSON: {error}") from error
    return _one_by_one([bytes(element) for element in elements])


def _plain(frame: pl.DataFrame) -> bool:
    """Whether every column is of a type in which no cell can have lost anything."""
    if not all(dtype in _SIMPLE for dtype in frame.schema.values()):
        return False
    floats = [pl.col(name).abs().max() for name, dtype in frame.schema.items() if dtype == pl.Float64]
    return not floats or all(top is None or top < _EXACT for top in frame.select(floats).row(0))


def _one_by_one(lines: list[bytes]) -> tuple[pl.DataFrame, list[str]]:
    rows, bad = list[dict[str, Any]](), list[str]()
    for line in lines:
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            bad.append(line.decode(errors="replace"))
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names]), bad


def _column(name: str, cells: list[Any]) -> pl.Series:
    """Cells of one kind as such; nested ones, and those of several kinds, as the text that JSON has for them."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {bool}:
        return pl.Series(name, cells, dtype=pl.Boolean if kinds else pl.Null)
    if kinds == {int} and all(cell is None or abs(cell) < 2**63 for cell in cells):
        return pl.Series(name, cells, dtype=pl.Int64)
    if kinds <= {int, float} and all(not isinstance(cell, int) or abs(cell) <= _EXACT for cell in cells):
        return pl.Series(name, [None if cell is None else float(cell) for cell in cells], dtype=pl.Float64)
    return pl.Series(name, [_text(cell) for cell in cells], dtype=pl.String)


def _text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    return msgspec.json.encode(cell, order="sorted").decode()


def whole_elements(buffer: bytes, ended: bool) -> int:
    """Cuts behind the last element of an array that is complete. The buffer begins outside of any element."""
    del ended
    data = np.frombuffer(buffer, np.uint8)
    quotes = data == ord('"')
    slashes = data == ord("\\")
    if slashes.any():  # a quote behind an odd number of backslashes is text
        place = np.arange(len(data), dtype=np.int32)
        other = np.maximum.accumulate(np.where(slashes, -1, place))
        run = np.zeros(len(data), np.int32)
        run[1:] = place[:-1] - other[:-1]
        quotes &= run % 2 == 0
    outside = (np.cumsum(quotes, dtype=np.int32) & 1) == 0
    opens = ((data == ord("{")) | (data == ord("["))) & outside
    closes = ((data == ord("}")) | (data == ord("]"))) & outside
    depth = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
    ends = np.flatnonzero(closes & (depth == 0))
    over = np.flatnonzero(depth < 0)
    if len(over):
        ends = ends[ends < over[0]]
    return int(ends[-1]) + 1 if len(ends) else 0
