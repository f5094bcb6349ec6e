"""What a row and a set of rows are called: blake3 digests of their content.

Canonical form of a row, so that anyone can recompute it. Take its cells that are not null, in order of column name:

    row    = blake3(shape ‖ values ‖ text)
    shape  = blake3("trimtab row 1\\n" and, for each of those cells: family, length of the name, ":", name), 32 bytes
    values = 8 bytes for each of those cells, little-endian
    text   = the bytes of the text, decimal and binary cells, one after the other

The value of a cell by family: `i` integer as int64; `u` uint64; `f` IEEE float64, with one zero and one NaN; `b` 0 or
1; `t` microseconds since 1970 in UTC; `d` days since 1970; `e` duration in microseconds; `o` nanoseconds since
midnight; `s` text, `n` decimal as text and `x` binary: the count of their bytes, which follow in `text`.

So the digest knows neither the order of columns nor their width in memory nor which library wrote them, and a column
that is added later, null in all older rows, changes none of them. Different rows have different canonical forms:
the shape fixes how many values follow, and the lengths among them cut the text.

A set of rows is blake3("trimtab rows 1\\n" ‖ row digests in ascending order): commutative, and as hard to collide as
blake3 itself (2^128), which a sum of digests is not (Wagner's generalised birthday attack finds equal 256-bit sums in
about 2^32). Adding rows digests the new rows only; of the old ones it merges 32 bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from blake3 import blake3
from numpy.typing import NDArray

from trimtab.data.port import DIGEST, DataError

Digests = NDArray[np.bytes_]
"""Row digests as an array of dtype S32."""

_FAMILIES: Mapping[str, tuple[type[pl.DataType], ...]] = {
    "i": (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32),
    "u": (pl.UInt64,),
    "f": (pl.Float32, pl.Float64),
    "b": (pl.Boolean,),
    "t": (pl.Datetime,),
    "d": (pl.Date,),
    "e": (pl.Duration,),
    "o": (pl.Time,),
    "s": (pl.String, pl.Categorical, pl.Enum),
    "n": (pl.Decimal,),
    "x": (pl.Binary,),
}
_ROWS_AT_ONCE = 65_536


def row_digests(frame: pl.DataFrame) -> pl.Series:
    """One 32-byte digest a row, as Binary named `_digest`; an existing `_digest` column is left out.

    Raises DataError for a column whose type has no canonical form.
    """
    cells = frame.select(pl.exclude(DIGEST)) if DIGEST in frame.columns else frame
    out: list[bytes] = []
    for start in range(0, cells.height, _ROWS_AT_ONCE):
        out.extend(_digests_of(cells.slice(start, _ROWS_AT_ONCE)))
    return pl.Series(DIGEST, out, dtype=pl.Binary)


def as_array(digests: pl.Series) -> Digests:
    """A Binary series of 32-byte digests as an array of S32."""
    return np.frombuffer(b"".join(digests.to_list()), dtype="S32")


def content_digest(frame: pl.DataFrame) -> str:
    """The identity, in hex, of the rows of a frame that carries `_digest`. Independent of order; equal to the version
    id when the frame holds a whole version. Raises DataError when the frame has no digests."""
    if DIGEST not in frame.columns:
        raise DataError("these rows carry no digests", hint="read them with digests=True")
    return set_digest(np.sort(as_array(frame.get_column(DIGEST))))


def set_digest(ascending: Digests) -> str:
    """The identity of a set of rows from their digests in ascending order."""
    hasher = blake3(b"trimtab rows 1\n")
    hasher.update(ascending.tobytes())
    return hasher.hexdigest()


def family(dtype: pl.DataType) -> str:
    """The family of a type, one letter; empty where it has no canonical form."""
    return next((letter for letter, types in _FAMILIES.items() if dtype.base_type() in types), "")


def _value(name: str, kind: str) -> pl.Expr:
    """A cell's 8 bytes as an unsigned integer; floats as they are."""
    cell = pl.col(name)
    if kind == "f":
        return cell.cast(pl.Float64)
    if kind == "u":
        return cell
    if kind in "snx":
        return _text(name, kind).bin.size().cast(pl.UInt64)
    if kind in "te":
        whole = cell.cast(pl.Datetime("us", "UTC") if kind == "t" else pl.Duration("us"))
        return whole.cast(pl.Int64).reinterpret(signed=False)
    return cell.cast(pl.Int64).reinterpret(signed=False)


def _bits(floats: NDArray[np.float64]) -> NDArray[np.uint64]:
    """The bits of floats, with one zero and one NaN."""
    return np.where(np.isnan(floats), np.nan, floats + 0.0).view(np.uint64)


def _text(name: str, kind: str) -> pl.Expr:
    cell = pl.col(name)
    return cell if kind == "x" else cell.cast(pl.String).cast(pl.Binary)


def _digests_of(frame: pl.DataFrame) -> Iterator[bytes]:
    schema = frame.schema
    kinds = {name: family(dtype) for name, dtype in schema.items() if not isinstance(dtype, pl.Null)}
    for name, kind in kinds.items():
        if not kind:
            raise DataError(f"column {name!r} has type {schema[name]}, which has no digest")
    names = sorted(kinds)
    values = np.zeros((frame.height, len(names)), dtype=np.uint64)
    present = np.ones((frame.height, len(names)), dtype=bool)
    columns = frame.select(_value(name, kinds[name]).alias(name) for name in names)
    for index, name in enumerate(names):
        column = columns.get_column(name)
        if column.null_count():
            present[:, index] = column.is_not_null().to_numpy()
            column = column.fill_null(pl.lit(0, dtype=column.dtype))  # a plain 0 would make UInt64 a float
        values[:, index] = _bits(column.to_numpy()) if column.dtype == pl.Float64 else column.to_numpy()
    shapes = _shapes(present, [f"{kinds[name]}{len(name.encode())}:{name}" for name in names])
    flat = (values if present.all() else values.ravel()[present.ravel()]).astype("<u8", copy=False).tobytes()
    ends = (np.cumsum(present.sum(axis=1)) * 8).tolist()
    texts = _texts(frame, [(name, kinds[name]) for name in names if kinds[name] in "snx"])
    begin = 0
    for shape, end, text in zip(shapes, ends, texts, strict=True):
        yield blake3(b"".join((shape, flat[begin:end], text))).digest()
        begin = end


def _shapes(present: NDArray[np.bool_], cells: Sequence[str]) -> Iterator[bytes]:
    """The shape of each row; rows share few patterns of nulls, so each pattern is digested once."""
    packed = np.packbits(present, axis=1)
    patterns, which = np.unique(
        np.ascontiguousarray(packed).view(np.dtype((np.void, max(1, packed.shape[1])))).ravel()
        if packed.shape[1]
        else np.zeros(len(present), dtype="V1"),
        return_inverse=True,
    )
    shapes = []
    for pattern in patterns:
        bits = np.unpackbits(np.frombuffer(pattern.tobytes(), dtype=np.uint8))[: len(cells)]
        mine = "".join(cell for cell, bit in zip(cells, bits, strict=False) if bit)
        shapes.append(blake3(b"trimtab row 1\n" + mine.encode()).digest())
    return (shapes[i] for i in which.tolist())


def _texts(frame: pl.DataFrame, columns: Sequence[tuple[str, str]]) -> list[bytes]:
    if not columns:
        return [b""] * frame.height
    if all(kind != "x" for _, kind in columns):
        joined = pl.concat_str([pl.col(name).cast(pl.String) for name, _ in columns], ignore_nulls=True)
        return frame.select(joined.cast(pl.Binary)).to_series().to_list()
    parts = [frame.select(_text(name, kind).fill_null(b"")).to_series().to_list() for name, kind in columns]
    return [b"".join(row) for row in zip(*parts, strict=True)]
