"""Commits of which, of two on one version, one fails: with them writers need no lock to keep them apart."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from trimtab.data.port import DIGEST
from trimtab.data.store.tables.arrow import fitted, to_arrow
from trimtab.data.store.tables.failures import ConflictError
from trimtab.data.store.tables.filters import among
from trimtab.data.store.tables.place import TablePlace

if TYPE_CHECKING:
    import lance

STORAGE: Literal["2.2"] = "2.2"


def created(place: TablePlace, rows: pl.DataFrame, notes: dict[str, str]) -> lance.LanceDataset:
    """The first commit of a table. Lance's own creation would overwrite that of another writer."""
    import lance
    from lance.fragment import write_fragments

    table = to_arrow(rows)
    parts = write_fragments(
        table,
        place.uri,
        schema=table.schema,
        mode="create",
        data_storage_version=STORAGE,
        storage_options=place.options,
    )
    for number, part in enumerate(parts):
        part.id = number
    operation = lance.LanceOperation.Overwrite(table.schema, parts)
    first = lance.Transaction(read_version=0, operation=operation, transaction_properties=notes)
    try:
        return lance.LanceDataset.commit(
            place.uri, first, storage_options=place.options, max_retries=0, enable_v2_manifest_paths=True
        )
    except OSError as error:
        if place.exists():
            raise ConflictError(f"another process is writing to {place.uri}", delay=1) from error
        raise


def changed(
    newest: lance.LanceDataset, place: TablePlace, rows: pl.DataFrame, gone: pl.Series | None, notes: dict[str, str]
) -> lance.LanceDataset:
    """Rows that came, and those with the digests `gone` that went.

    All parts of the new version are written down in it (Lance's Merge), which Lance takes for no other commit's
    neighbour: of two such commits on one version one fails.
    """
    import lance
    from lance.fragment import write_fragments

    stay = [_without(part, gone) or _emptied(part, newest.version, place) for part in newest.get_fragments()]
    number = max((part.fragment_id for part in newest.get_fragments()), default=-1)
    more = []
    if rows.height:
        more = write_fragments(
            to_arrow(fitted(rows, newest.schema)),
            newest,
            data_storage_version=STORAGE,
            storage_options=place.options,
        )
    for part in more:
        number += 1
        part.id = number
    operation = lance.LanceOperation.Merge([*stay, *more], newest.lance_schema)
    transaction = lance.Transaction(read_version=newest.version, operation=operation, transaction_properties=notes)
    return lance.LanceDataset.commit(newest, transaction, max_retries=0)


def _without(part: Any, gone: pl.Series | None) -> Any:
    """A part less the rows with some digests; None where nothing is left."""
    if gone is None or not len(gone):
        return part.metadata
    here = pl.from_arrow(part.to_table(columns=[DIGEST]))
    assert isinstance(here, pl.DataFrame)
    digests = here.get_column(DIGEST).cast(pl.Binary)
    lost = digests.filter(digests.is_in(gone.implode()))
    if len(lost) == len(digests):
        return None
    return part.delete(among(DIGEST, lost)) if len(lost) else part.metadata


def _emptied(part: Any, number: int, place: TablePlace) -> Any:
    """A part of which every row is deleted. Lance gives none such, yet takes it: a Merge has to name every part that
    there was, and one without rows is left out of what it writes."""
    import pyarrow as pa
    from lance.fragment import FragmentMetadata
    from lance.lance import DeletionFile

    known, mark = part.metadata, secrets.randbits(63)
    schema = pa.schema([pa.field("row_id", pa.uint32(), nullable=False)])
    rows = pa.table([pa.array(range(known.physical_rows), pa.uint32())], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(rows)
    place.put(f"_deletions/{known.id}-{number}-{mark}.arrow", sink.getvalue().to_pybytes())
    return FragmentMetadata(
        id=known.id,
        files=known.files,
        physical_rows=known.physical_rows,
        deletion_file=DeletionFile(number, mark, "array", known.physical_rows, None),
        row_id_meta=known.row_id_meta,
    )
