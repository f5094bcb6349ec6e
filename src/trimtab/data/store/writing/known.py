"""What is stored already, in memory: digests to tell identical rows and to name versions, keys to tell known ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.data.port import DIGEST
from trimtab.data.store.tables.table import Table
from trimtab.data.values.digest import Digests, as_array, set_digest


class Known:
    """The digests and hashed keys of one version, both in ascending order: 40 bytes a row. Hashes stay in this process,
    and only ever point out rows to look at."""

    def __init__(self, key: Sequence[str], digests: Digests, keys: NDArray[np.uint64], number: int) -> None:
        self._key = tuple(key)
        self._digests = digests
        self._keys = keys
        self.number = number

    @classmethod
    def load(cls, table: Table, key: Sequence[str]) -> Known:
        """Read a table's newest version."""
        rows = table.read(columns=[*key, DIGEST])
        return cls(key, np.sort(as_array(rows.get_column(DIGEST))), np.sort(_hashes(rows, key)), table.number)

    @classmethod
    def nothing(cls, key: Sequence[str]) -> Known:
        """What an empty dataset knows."""
        return cls(key, np.empty(0, dtype="S32"), np.empty(0, dtype=np.uint64), 0)

    def identical(self, rows: pl.DataFrame) -> pl.Series:
        """Which rows are stored just as they are."""
        return pl.Series(_member(self._digests, as_array(rows.get_column(DIGEST))))

    def maybe_stored(self, rows: pl.DataFrame) -> pl.Series:
        """Which rows have a key that may be stored; never false for one that is."""
        return pl.Series(_member(self._keys, _hashes(rows, self._key)))

    def changed(self, added: pl.DataFrame, removed: pl.Series) -> tuple[str, Known]:
        """The version id after rows (all of new keys) are added and those with the digests `removed` went away, and
        what is known then. Rows that take the place of removed ones are in `added` too."""
        digests = self._digests
        if len(removed):
            gone = np.searchsorted(digests, np.sort(as_array(removed)))
            digests = np.delete(digests, gone)
        digests = _merged(digests, as_array(added.get_column(DIGEST)))
        keys = _hashes(added, self._key)
        if len(removed):
            keys = keys[~_member(self._keys, keys)]
        return set_digest(digests), Known(self._key, digests, _merged(self._keys, keys), 0)


def _hashes(rows: pl.DataFrame, key: Sequence[str]) -> NDArray[np.uint64]:
    hashed = pl.col(key[0]).hash() if len(key) == 1 else pl.struct(key).hash()
    return rows.select(hashed).to_series().to_numpy()


def _member(ascending: np.ndarray, wanted: np.ndarray) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(wanted), dtype=bool)
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.asarray(ascending[at] == wanted)


def _merged(ascending: np.ndarray, more: np.ndarray) -> np.ndarray:
    more = np.sort(more)
    return np.insert(ascending, np.searchsorted(ascending, more), more) if len(ascending) else more
