"""Media columns: a row holds the digest of a content, and the content lies in the packs."""

from __future__ import annotations

import polars as pl

from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.packs import Packs


def keep_media(rows: pl.DataFrame, spec: DatasetSpec, packs: Packs) -> pl.DataFrame:
    """The rows with digests in place of bytes, once the bytes are kept. Raises DataError for a media column that holds
    no bytes."""
    for name in spec.media:
        column = rows.get_column(name) if name in rows.columns else None
        if column is None or isinstance(column.dtype, pl.Null):
            continue
        if column.dtype != pl.Binary:
            raise DataError(
                f"dataset {spec.name!r}: media column {name!r} holds {column.dtype}, not bytes; nothing was collected",
                hint="let the source give the content of each file as bytes",
            )
        there = column.is_not_null()
        digests = iter(packs.put(column.filter(there)))
        cells = [next(digests) if present else None for present in there]
        rows = rows.with_columns(pl.Series(name, cells, dtype=pl.Binary))
    return rows
