"""Is every row as it was stored? Lance keeps no checksums, so each row is digested again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from trimtab.data.intake import key_text
from trimtab.data.port import DIGEST, DataError
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.packs import Packs
from trimtab.data.store.state import Damage, DatasetVersion, Verification
from trimtab.data.store.tables.table import Table
from trimtab.data.values.digest import as_array, row_digests, set_digest

_NAMED = 20


def verify(table: Table, packs: Packs, spec: DatasetSpec, version: DatasetVersion) -> Verification:
    """Read a version part by part. A part that cannot be decoded is named by its file, with the keys it should hold if
    these can still be read; a row whose digest does not agree by its key; and when all agree but the set is another
    one than the version's (rows are missing, or came twice), that is said. The content of every media cell is read
    again too, and named by the pack it lies in."""
    damages: list[Damage] = []
    seen: list[np.ndarray] = []
    packs = packs.afresh()
    for file, rows, part in table.parts(version.number):
        try:
            frame = table.read_part(part)
            again = row_digests(frame)
        except DataError as error:
            damages.append(Damage(file=file, reason=error.message, rows=rows, keys=_keys_of(table, part, spec)))
            continue
        seen.append(as_array(again))
        damages.extend(_lost_media(packs, frame, spec))
        wrong = frame.filter(again.ne_missing(frame.get_column(DIGEST)))
        if wrong.height:
            reason = "these rows are not what was stored: their digests do not agree"
            damages.append(Damage(file=file, reason=reason, rows=wrong.height, keys=_named(wrong, spec)))
    if not damages:
        found = set_digest(np.sort(np.concatenate(seen)))
        if found != version.id:
            count = sum(map(len, seen))
            reason = f"the rows are not those of the version: {count} rows where there were {version.rows}"
            damages.append(Damage(file="", reason=reason, rows=abs(count - version.rows)))
    return Verification(version=version.id, rows=version.rows, damages=tuple(damages))


def _lost_media(packs: Packs, rows: pl.DataFrame, spec: DatasetSpec) -> Iterator[Damage]:
    """What is wrong with the contents that the rows of one part name, pack by pack."""
    names = [name for name in spec.media if name in rows.columns]
    cells = {name: rows.get_column(name) for name in names}
    wrong = (
        packs.wrong(digest for column in cells.values() for digest in column.drop_nulls().to_list()) if names else {}
    )
    for pack in sorted(set(wrong.values())):
        lost = [digest for digest, where in wrong.items() if where == pack]
        held = pl.any_horizontal(pl.col(name).is_in(pl.Series(lost, dtype=pl.Binary).implode()) for name in names)
        named = rows.filter(held)
        reason = "the content of these rows is not what was stored" if pack else "the content of these rows is missing"
        yield Damage(file=pack, reason=reason, rows=named.height, keys=_named(named, spec))


def _keys_of(table: Table, part: object, spec: DatasetSpec) -> tuple[str, ...]:
    try:
        return _named(table.read_part(part, columns=spec.key), spec)
    except DataError:
        return ()


def _named(rows: pl.DataFrame, spec: DatasetSpec) -> tuple[str, ...]:
    return tuple(str(key) for key in rows.head(_NAMED).select(key_text(spec)).to_series().to_list())
