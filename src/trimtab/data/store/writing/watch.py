"""Whether what comes in is still of the kind that came before: columns added, gone or of another type, and numbers that
look like the former ones in another unit.

Columns are told by the versions. The quantiles of the blocks of late, by which units are told
(`trimtab.measures.drift.units`), lie beside the table in a file that may be lost: then some blocks have to come again
before units can be told. Personal columns leave nothing in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from trimtab.data.intake import REASON, Screened
from trimtab.data.port import UNREAD, DataError
from trimtab.data.quality.rules import WRONG_TYPE
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import DatasetVersion
from trimtab.measures.drift.units import AT, Conversion, unit_shift
from trimtab.records.facts import SchemaChange

_KEPT = 30
_FEWEST_CELLS = 50
_LARGE = 5_000
"""Rows from which on a batch is taken apart into several blocks, as a first collection of months is."""
_MANY = 20

Blocks = dict[str, list[list[float]]]


@dataclass(frozen=True)
class Look:
    """What a batch shows. `troubled` are the columns that are gone or of another type now, whether that is new or not;
    `blocks` what is to be remembered once the batch is stored."""

    changes: tuple[SchemaChange, ...]
    troubled: tuple[str, ...]
    blocks: Blocks


class Watch:
    """Looks at the batches of one dataset; `file` remembers blocks."""

    def __init__(self, spec: DatasetSpec, file: Path) -> None:
        self._spec, self._file = spec, file
        self._blocks: Blocks | None = None

    def look(self, rows: pl.DataFrame, screened: Screened, added: pl.DataFrame, before: DatasetVersion | None) -> Look:
        """`rows` are as they came, `added` those of them that are new, in stored types. Raises DataError for changes
        that the declaration refuses."""
        changes, troubled = list[SchemaChange](), list[str]()
        if before is not None:
            changes += [
                SchemaChange(column=name, kind="added", detail="it was not there before")
                for name in screened.new_columns
                if name in added.columns
            ]
            now = [*_gone(rows, before), *_retyped(rows, screened)]
            known = {_trouble(change): change for change in now}
            troubled = sorted(known)
            changes += [known[name] for name in troubled if name not in before.troubled]
            over = [name.partition(" ") for name in before.troubled if name not in known]
            changes += [
                SchemaChange(column=name, kind="returned", detail="it is as it was")
                for _, _, name in over
                if name in rows.columns
            ]
        blocks, shifts = self._units(added)
        changes += shifts
        if changes and self._spec.schema_changes == "refuse":
            told = "; ".join(change.in_words for change in changes)
            raise DataError(
                f"dataset {self._spec.name!r}: {told}; nothing of this was collected",
                hint='mend the source, or let `schema_changes = "accept"` take it as it is',
            )
        return Look(tuple(changes), tuple(troubled), blocks)

    def keep(self, look: Look) -> None:
        """Remember the blocks of a batch that is stored now. A disk that refuses it is no trouble."""
        if look.blocks is self._blocks:
            return
        self._blocks = look.blocks
        part = self._file.with_suffix(".part")
        with suppress(OSError):
            part.write_bytes(msgspec.json.encode(look.blocks))
            part.replace(self._file)

    def _known(self) -> Blocks:
        if self._blocks is None:
            self._blocks = {}
            with suppress(OSError, msgspec.MsgspecError):
                self._blocks = msgspec.json.decode(self._file.read_bytes(), type=Blocks)
        return self._blocks

    def _units(self, added: pl.DataFrame) -> tuple[Blocks, list[SchemaChange]]:
        known = self._known()
        leave = {self._spec.time, *self._spec.key, *self._spec.personal}
        numbers = [
            name for name, dtype in added.schema.items() if dtype in (pl.Int64, pl.Float64) and name not in leave
        ]
        if not numbers or added.height < _FEWEST_CELLS:
            return known, []
        found, changes = dict(known), list[SchemaChange]()
        for name, fresh in _quantiles(added, numbers).items():
            old = known.get(name, [])
            shift = _shifted(old, fresh)
            if shift is not None:
                kept, times = fresh, f"x {shift.factor:.7g}" if not shift.offset else ""
                plus = f"x {shift.factor:.7g} {shift.offset:+.6g}" if shift.offset else times
                detail = f"its numbers look like the former ones in another unit: {shift.name} ({plus})"
                changes.append(SchemaChange(column=name, kind="unit", detail=detail))
            else:
                kept = [*old, *fresh]
            found[name] = kept[-_KEPT:]
        return found, changes


def _shifted(old: Sequence[Sequence[float]], fresh: Sequence[Sequence[float]]) -> Conversion | None:
    """The conversion by which at least half of the new blocks differ, from the first that does on."""
    blocks, found = [list(block) for block in old], list[Conversion | None]()
    for block in fresh:
        shift = unit_shift(np.array(blocks[-_KEPT:]), np.array(block)) if blocks else None
        if shift is None and not any(found):
            blocks.append(list(block))
        if shift is not None or any(found):
            found.append(shift)
    first = next((shift for shift in found if shift is not None), None)
    same = sum(shift == first for shift in found)
    return first if first is not None and same * 2 >= len(found) else None


def _quantiles(rows: pl.DataFrame, numbers: Sequence[str]) -> dict[str, list[list[float]]]:
    """By column, the quantiles of each block of rows, in their order; blocks with few numbers are left out."""
    count = 1 if rows.height < _LARGE else _KEPT
    asked = [pl.col(numbers).quantile(at, "linear").name.prefix(f"{at} ") for at in AT]
    cells = pl.col(numbers).count().name.prefix("cells ")
    if count == 1:
        told = rows.select(*asked, cells)
    else:
        block = (pl.int_range(pl.len()) * count // pl.len()).alias("block")
        told = rows.select(block, *numbers).group_by("block", maintain_order=True).agg(*asked, cells)
    found: dict[str, list[list[float]]] = {}
    columns = told.to_dict(as_series=False)
    for name in numbers:
        lines = zip(*(columns[f"{at} {name}"] for at in AT), columns[f"cells {name}"], strict=True)
        whole = [list(map(float, line[:-1])) for line in lines if line[-1] >= _FEWEST_CELLS]
        whole = [block for block in whole if np.isfinite(block).all()]
        if whole:
            found[name] = whole
    return found


def _trouble(change: SchemaChange) -> str:
    return f"{change.kind} {change.column}"


def _gone(rows: pl.DataFrame, before: DatasetVersion) -> list[SchemaChange]:
    if set(rows.columns) <= {UNREAD} or before.columns == tuple(rows.columns):
        return []
    missing = [name for name in before.columns if name not in rows.columns]
    return [SchemaChange(column=name, kind="removed", detail="it is there no more") for name in missing]


def _retyped(rows: pl.DataFrame, screened: Screened) -> list[SchemaChange]:
    """Columns in which most rows could not be read as the stored type."""
    if screened.bad.height < _MANY:
        return []
    wrong = screened.bad.filter(pl.col(REASON).str.starts_with(WRONG_TYPE))
    names = wrong.get_column(REASON).str.strip_prefix(f"{WRONG_TYPE}: ").str.extract(r"^(.+?) (?:is not|cannot be) ", 1)
    found = list[SchemaChange]()
    for name, count in names.value_counts().rows():
        if count >= _MANY and count * 2 >= rows.height and name in rows.columns:
            detail = f"{count:,} of {rows.height:,} rows cannot be read as its type"
            found.append(SchemaChange(column=name, kind="retyped", detail=detail))
    return found
