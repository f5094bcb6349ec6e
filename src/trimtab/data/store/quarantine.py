"""Rows that were refused: kept with the reason until someone looks, each one once."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from blake3 import blake3

from trimtab.data.intake import CONTENT, REASON
from trimtab.data.port import DIGEST
from trimtab.data.store.state import Quarantined
from trimtab.data.store.tables.failures import ConflictError
from trimtab.data.store.tables.place import TablePlace
from trimtab.data.store.tables.table import Table
from trimtab.data.values.times import UTC_TIME

_PARENT = "parent"
_SEEN = "seen_at"
_SMALL = 50_000
_MANY = 32
_TRIES = 20


class Quarantine:
    """A table of refused rows. `parent` is the dataset version that was current when the row was first refused: the
    version that follows it accounts for the row; unless another machine was committing that version just then, when
    none does."""

    def __init__(self, place: TablePlace) -> None:
        self._table = Table(place)
        self._waiting: set[bytes] = set()

    def add(self, bad: pl.DataFrame, *, parent: str | None, now: datetime) -> None:
        """Keep refused rows (reason, key, time, row as JSON), each of them once for each reason."""
        if bad.is_empty():
            return
        rows = bad.select(
            REASON,
            pl.lit(now).cast(UTC_TIME).alias(_SEEN),
            pl.lit(parent or "", dtype=pl.String).alias(_PARENT),
            "key",
            pl.col("time").cast(UTC_TIME),
            CONTENT,
        )
        digests = [blake3(f"{reason}\n{row}".encode()).digest() for reason, row in bad.select(REASON, CONTENT).rows()]
        rows = rows.with_columns(pl.Series(DIGEST, digests, dtype=pl.Binary))
        rows = rows.unique(DIGEST, keep="first", maintain_order=True)
        for attempt in range(_TRIES):
            try:
                with self._table.held():
                    self._add(rows)
                break
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise

    def _add(self, rows: pl.DataFrame) -> None:
        if not self._table.exists():
            self._table.append(rows, "")
            self._waiting.update(rows.get_column(DIGEST))
            return
        stored = self._table.read(columns=[DIGEST, _PARENT])
        fresh = rows.join(stored, on=DIGEST, how="anti", maintain_order="left")
        # Refused in an attempt that another writer's commit overtook: the version that now comes accounts for them.
        mine = stored.filter(pl.col(DIGEST).is_in(list(self._waiting))) if self._waiting else stored.clear()
        moved = rows.join(mine, on=DIGEST, how="semi").join(stored, on=[DIGEST, _PARENT], how="anti")
        if moved.height:
            self._table.change(pl.concat([fresh, moved]), moved.get_column(DIGEST), "")
        elif fresh.height:
            self._table.append(fresh, "")
            if self._table.small_parts(_SMALL) > _MANY:
                self._table.compact(_SMALL, "")
        self._waiting.update(fresh.get_column(DIGEST))

    def accounted(self) -> None:
        """A version was committed that accounts for what was refused so far."""
        self._waiting.clear()

    def since(self, parent: str | None) -> dict[str, int]:
        """Rows first refused while `parent` was current, by reason."""
        if not self._table.exists():
            return {}
        found = self._table.read(columns=[REASON], where=f"{_PARENT} = '{parent or ''}'")
        return _counts(found)

    def look(self, limit: int) -> Quarantined:
        """All counts, and the newest rows."""
        if not self._table.exists():
            empty: dict[str, pl.DataType] = {
                REASON: pl.String(),
                _SEEN: UTC_TIME,
                "key": pl.String(),
                "time": UTC_TIME,
                CONTENT: pl.String(),
            }
            return Quarantined({}, pl.DataFrame(schema=empty))
        rows = self._table.read(columns=[REASON, _SEEN, "key", "time", CONTENT])
        return Quarantined(_counts(rows), rows.sort(_SEEN, "key", descending=[True, False]).head(limit))


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by(REASON).len().sort(REASON).iter_rows())
