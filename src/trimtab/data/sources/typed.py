"""Cells that have no type of their own, read one by one as their column's: what cannot be read is null, and told."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from trimtab.data.port import UNREAD
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.casting import reading, stored_type
from trimtab.data.values.times import from_text, has_offset, naive_error


def typed(frame: pl.DataFrame, types: Mapping[str, pl.DataType], spec: DatasetSpec) -> pl.DataFrame:
    """The frame with its cells as `types`, where those are named, and text times in UTC. Raises DataError for times
    without a zone where the declaration names none."""
    schema = frame.schema
    cells, failed = list[pl.Expr](), dict[str, pl.Expr]()
    for name, have in schema.items():
        if name == UNREAD:
            continue
        if name == spec.time and have == pl.String():
            _refuse_naive(frame, spec)
            moment = from_text(pl.col(name), spec.timezone)
            cells.append(moment.alias(name))
            failed[name] = pl.col(name).is_not_null() & moment.is_null()
        elif name == spec.time or types.get(name, have) == have or isinstance(types[name], pl.Null):
            cells.append(pl.col(name))
        else:
            read = reading(name, have, types[name], zone=spec.timezone)
            cells.append(read.cell.alias(name))
            if read.failed is not None:
                failed[name] = read.failed.fill_null(value=False)
    if not failed:
        return frame.select(cells)
    bad = pl.any_horizontal(failed.values())
    if not frame.select(bad.any()).item():
        return frame.select(cells)
    told = pl.struct([pl.when(flag).then(pl.col(name).cast(pl.String)).alias(name) for name, flag in failed.items()])
    return frame.select(*cells, pl.when(bad).then(told.struct.json_encode()).alias(UNREAD))


def unread_lines(lines: list[str]) -> pl.DataFrame:
    """Lines that are no rows, as rows of which nothing could be read."""
    cells = pl.DataFrame({"line": lines}).select(pl.struct("line").struct.json_encode().alias(UNREAD))
    return cells if lines else cells.clear()


def inferred(  # noqa: PLR0911 - one line for each type
    cells: pl.Series,
) -> pl.DataType:
    """The narrowest type that every cell of text can be read as; Null when all are empty. Digits with a leading zero
    are text."""
    cells = cells.drop_nulls()
    if cells.is_empty():
        return pl.Null()
    if cells.str.contains(r"^-?0\d").any():
        return pl.String()
    for dtype in (pl.Int64(), pl.Float64()):
        if cells.cast(dtype, strict=False).null_count() == 0:
            return dtype
    if cells.str.to_lowercase().is_in(["true", "false"]).all():
        return pl.Boolean()
    frame = cells.alias("cell").to_frame()
    if frame.select(pl.col("cell").str.to_date("%Y-%m-%d", strict=False).is_not_null().all()).item():
        return pl.Date()
    if frame.select(from_text(pl.col("cell"), None).is_not_null().all()).item():
        return stored_type(cells.name, pl.Datetime("us", "UTC"))
    return pl.String()


def _refuse_naive(text: pl.DataFrame, spec: DatasetSpec) -> None:
    if spec.timezone is not None:
        return
    unread = text.filter(~has_offset(pl.col(spec.time)))
    if unread.height and unread.select(from_text(pl.col(spec.time), "UTC").is_not_null().any()).item():
        raise naive_error(spec, spec.time)
