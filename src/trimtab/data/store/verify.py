"""Is every row as it was stored? Lance keeps no checksums, so each row is digested again."""

from __future__ import annotations

import numpy as np
import polars as pl

from trimtab.data.intake import key_text
from trimtab.data.port import DIGEST, DataError
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.state import Damage, DatasetVersion, Verification
from trimtab.data.store.table import Table
from trimtab.data.values.digest import as_array, row_digests, set_digest

_NAMED = 20


def verify(table: Table, spec: DatasetSpec, version: DatasetVersion) -> Verification:
    """Read a version part by part. A part that cannot be decoded is named by its file, with the keys it should hold if
    these can still be read; a row whose digest does not agree by its key; and when all agree but the set is another
    one than the version's (rows are missing, or came twice), that is said."""
    damages: list[Damage] = []
    seen: list[np.ndarray] = []
    for file, rows, part in table.parts(version.number):
        try:
            frame = table.read_part(part)
            again = row_digests(frame)
        except DataError as error:
            damages.append(Damage(file=file, reason=error.message, rows=rows, keys=_keys_of(table, part, spec)))
            continue
        seen.append(as_array(again))
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


def _keys_of(table: Table, part: object, spec: DatasetSpec) -> tuple[str, ...]:
    try:
        return _named(table.read_part(part, columns=spec.key), spec)
    except DataError:
        return ()


def _named(rows: pl.DataFrame, spec: DatasetSpec) -> tuple[str, ...]:
    return tuple(str(key) for key in rows.head(_NAMED).select(key_text(spec)).to_series().to_list())
