"""The newest version and its newest rows, held in memory and kept beside the table for the next process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from trimtab.data.store.state import DatasetVersion
from trimtab.data.store.tables.table import Table
from trimtab.data.store.writing.recent import Recent, keep, load

_SLACK = timedelta(days=1)
"""Rows held in memory that are older than was asked for, before they are let go."""

Reader = Callable[[DatasetVersion, datetime], pl.DataFrame]
"""Reads the rows of a version after a moment, with digests."""


class Newest:
    """The newest rows of a table, at least those that a source is `asked_again` for; `time` is the rows' time."""

    def __init__(self, table: Table, folder: Path, time: str, asked_again: timedelta) -> None:
        self._table = table
        self._folder = folder
        self._time = time
        self._asked_again = asked_again
        self._held: Recent | None = None
        self._kept: Recent | None = None
        self._mark = ""

    def at_hand(self) -> Recent | None:
        """The newest rows that are held or were kept, where they are of the newest version."""
        if self._table.opened:
            held = self._held
            return held if held is not None and held.version.number == self._table.number else None
        mark = self._table.mark()
        if not mark:
            return None
        if self._held is None or mark != self._mark:
            self._held = self._kept = load(self._folder, mark)
            self._mark = mark
        return self._held

    def after(self, since: datetime, version: Callable[[], DatasetVersion], read: Reader) -> Recent:
        """Every row with time > `since`, and perhaps some before it."""
        found = self.at_hand()
        if found is None or not found.covers(since):
            newest = version()
            begin = min(since, newest.until - self._asked_again)
            found = self._held = Recent(newest, begin, read(newest, begin))
        elif found.since is not None and since - found.since > _SLACK:
            begin = min(since, found.version.until - self._asked_again)
            found = self._held = found.cut(self._time, begin)
        return found

    def remember(self, version: Callable[[], DatasetVersion], read: Reader) -> None:
        """Keep the newest rows beside the table, so that a process that finds nothing new need not open it."""
        mark = self._table.mark()
        if not mark:
            return
        recent = self.at_hand()
        if recent is None:
            self.after(version().until - self._asked_again, version, read)
            recent = self._held
        if recent is not None and recent is not self._kept:
            keep(self._folder, recent, mark)
            self._kept = recent

    def follow(self, recent: Recent | None, version: DatasetVersion, rows: pl.DataFrame, replaced: pl.Series) -> None:
        """The version that came of `recent` is the newest now."""
        self._held = None if recent is None else recent.after(version, rows, replaced)

    def forget(self) -> None:
        """Hold nothing any more."""
        self._held = None
