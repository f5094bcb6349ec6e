"""The newest rows of a dataset beside its table, so that a look with nothing new need not open the table at all.

It is a copy and may be thrown away at any time: it counts only while the table says that nothing was committed since.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from trimtab.data.port import DIGEST
from trimtab.data.store.state import DatasetVersion
from trimtab.records.base import Record
from trimtab.records.durable import write_atomically

_MOST_ROWS = 500_000


class _Note(Record, kw_only=True):
    """Which version the rows are of, after which moment they all are there, and the table's mark when they were read;
    `file` holds them."""

    version: DatasetVersion
    since: datetime | None
    mark: str
    file: str


@dataclass(frozen=True)
class Recent:
    """Of the version, every row with time > `since` (None: all of them), with digests, in no certain order."""

    version: DatasetVersion
    since: datetime | None
    rows: pl.DataFrame

    def covers(self, since: datetime | None) -> bool:
        """Whether no row after `since` is missing."""
        return self.since is None or (since is not None and self.since <= since)

    def has(self, rows: pl.DataFrame) -> bool:
        """Whether all these rows, with digests, are here just as they are."""
        return bool(rows.get_column(DIGEST).is_in(self.rows.get_column(DIGEST).implode()).all())

    def after(self, version: DatasetVersion, added: pl.DataFrame, replaced: pl.Series) -> Recent:
        """With the rows of the next version, which `added` some; those with the digests `replaced` have gone."""
        stay = self.rows.filter(~pl.col(DIGEST).is_in(replaced.implode())) if len(replaced) else self.rows
        return Recent(version, self.since, pl.concat([stay, added.select(self.rows.columns)]))

    def cut(self, time: str, since: datetime) -> Recent:
        """Without what lies before `since`."""
        if self.since is not None and self.since >= since:
            return self
        return Recent(self.version, since, self.rows.filter(pl.col(time) > since))


def load(folder: Path, mark: str) -> Recent | None:
    """What was kept when the table had this mark; None where it has moved on, or nothing whole is there."""
    with suppress(OSError, msgspec.MsgspecError, pl.exceptions.PolarsError):
        note = msgspec.json.decode((folder / "recent.json").read_bytes(), type=_Note)
        if note.mark == mark:
            return Recent(note.version, note.since, pl.read_ipc(folder / note.file))
    return None


def keep(folder: Path, recent: Recent, mark: str) -> None:
    """Keep a copy for the next process, unless it would be large. A disk that refuses it is no trouble."""
    if recent.rows.height > _MOST_ROWS:
        return
    file = f"recent-{recent.version.id[:16]}.arrow"
    note = _Note(version=recent.version, since=recent.since, mark=mark, file=file)
    with suppress(OSError, pl.exceptions.PolarsError):
        old = set(folder.glob("recent-*.arrow*"))
        part = folder / f"{file}.part"
        recent.rows.write_ipc(part)
        part.replace(folder / file)
        write_atomically(folder / "recent.json", msgspec.json.encode(note))
        for path in old - {folder / file}:
            path.unlink(missing_ok=True)
