"""Frames as Lance stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from trimtab.data.port import DIGEST

if TYPE_CHECKING:
    import pyarrow as pa


def fitted(rows: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """The rows with the table's columns in its order; one that they lack is null."""
    names = schema.names
    missing = [pl.lit(None).alias(name) for name in names if name not in rows.columns]
    if not missing:
        return rows.select(names)
    empty = pl.from_arrow(schema.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return rows.with_columns(expr.cast(empty.schema[expr.meta.output_name()]) for expr in missing).select(names)


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame as Lance stores it: digests as fixed 32 bytes, the rest as Polars gives it."""
    import pyarrow as pa

    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    if DIGEST in frame.columns:
        index = table.schema.get_field_index(DIGEST)
        table = table.set_column(index, DIGEST, table.column(DIGEST).cast(pa.binary()).cast(pa.binary(32)))
    return table
