"""Rows that are like others in all but spelling, pictures that look alike, and media that cannot be decoded."""

from __future__ import annotations

import numpy as np
import polars as pl

from trimtab.data.port import DataError
from trimtab.data.quality.check import Answer, Batch, Check, nothing
from trimtab.measures.media.similar import near_duplicates
from trimtab.records.requirement import Estimate, Requirement

CORRUPT = "corrupt"
"""The column of a folder of media that says why a file cannot be decoded, and the kind of such a reason."""
_UNREADABLE = "wrong type: content "
_DIGITS = 6


def duplicates(requirement: Requirement, batch: Batch) -> Check:
    """Share of rows that are like an earlier one: with `distance`, whose hash differs in at most so many bits from that
    of an earlier row; else whose normalised cells are the same (columns named, or all but key and time). Counted.

    Text is compared without case, accents' composition (NFKC), punctuation and spaces; numbers to six digits. Rows
    with nothing in these columns are like no other.
    """
    if requirement.distance is not None:
        return _alike(requirement.columns[0], requirement.distance, batch)
    aside = {*batch.spec.key, batch.spec.time}
    columns = requirement.columns or tuple(name for name in batch.columns if name not in aside)
    batch.present(columns)
    if not columns:
        raise DataError(f"dataset {batch.spec.name!r} has no column beside its key and time to find duplicates by")
    name = f"duplicates {','.join(requirement.columns)}"
    empty = pl.all_horizontal(pl.col(column).is_null() for column in columns)
    cells = pl.struct(normalised(column, batch.schema[column]) for column in columns)

    def figure(row: Answer) -> Estimate:
        rows = row["rows"]
        if not rows:
            return nothing()
        empties = int(row[f"{name} empty"] or 0)
        different = row[name] - (empties > 0)
        return _share(rows - empties - different, rows, ", ".join(columns))

    return Check(
        {f"{name} empty": pl.col(f"{name} empty").sum()},
        figure,
        {f"{name} empty": empty},
        distinct={name: pl.when(~empty).then(cells)},
    )


def corrupt(requirement: Requirement, batch: Batch) -> Check:
    """Share of rows whose column `corrupt` (or the one named) holds a reason, or true, and of those refused because
    their content cannot be read, as a folder of media refuses them."""
    column = requirement.columns[0] if requirement.columns else CORRUPT
    refused = batch.refused_for(CORRUPT) + sum(n for why, n in batch.quarantined.items() if why.startswith(_UNREADABLE))
    if requirement.columns or CORRUPT in batch.schema or not batch.spec.media:
        batch.present((column,))
    cell = pl.col(column) if column in batch.schema else pl.lit(None, dtype=pl.Boolean)
    flag = isinstance(batch.schema.get(column, pl.Boolean()), pl.Boolean)
    found = cell.fill_null(value=False) if flag else cell.is_not_null()

    def figure(row: Answer) -> Estimate:
        rows = row["rows"] + refused
        if not rows:
            return nothing()
        damaged = int(row[f"damaged {column}"] or 0) + refused
        reason = f"{damaged:,} of {rows:,} files cannot be decoded" if damaged else ""
        return Estimate(figure=damaged / rows, rows=rows, reason=reason)

    return Check({f"damaged {column}": found.sum()}, figure)


def normalised(column: str, dtype: pl.DataType) -> pl.Expr:
    """A cell as duplicates are compared by."""
    cell = pl.col(column)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        cell, dtype = cell.cast(pl.String), pl.String()
    if isinstance(dtype, pl.String):
        plain = cell.str.normalize("NFKC").str.to_lowercase()
        return plain.str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
    return cell.round_sig_figs(_DIGITS) if dtype.is_float() else cell


def as_hashes(cells: pl.Series) -> pl.Series:
    """Hashes of 64 bits from hexadecimal text or whole numbers. Raises DataError for anything else."""
    if isinstance(cells.dtype, pl.String):
        try:
            halves = [cells.str.slice(start, 8).str.to_integer(base=16, dtype=pl.UInt64) for start in (0, 8)]
        except pl.exceptions.PolarsError as error:
            raise DataError(f"column {cells.name!r} holds text that is no hash of 16 hexadecimal digits") from error
        return halves[0] * 2**32 + halves[1]
    if cells.dtype.is_integer():
        return (
            cells.cast(pl.Int64).reinterpret(signed=False) if cells.dtype.is_signed_integer() else cells.cast(pl.UInt64)
        )
    raise DataError(
        f"column {cells.name!r} has type {cells.dtype} and holds no hashes",
        hint="`distance` needs a column of perceptual hashes, such as `hash` of a folder of pictures",
    )


def _alike(column: str, distance: int, batch: Batch) -> Check:
    batch.present((column,))

    def figure(row: Answer) -> Estimate:
        rows = row["rows"]
        if not rows:
            return nothing()
        cells = pl.Series(column, row[f"hashes {column}"], dtype=batch.schema[column])
        found = near_duplicates(as_hashes(cells).to_numpy(), distance)
        return _share(int(np.count_nonzero(found >= 0)), rows, f"{column}, within {distance} bits")

    return Check({f"hashes {column}": pl.col(column).drop_nulls().implode()}, figure)


def _share(repeated: int, rows: int, what: str) -> Estimate:
    reason = f"{repeated:,} of {rows:,} rows are like an earlier one ({what})" if repeated else ""
    return Estimate(figure=repeated / rows, rows=rows, reason=reason)
