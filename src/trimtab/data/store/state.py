"""What the data stage tells of its datasets: versions, commits, differences and what a check found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from trimtab.data.port import DataError
from trimtab.records.base import Record
from trimtab.records.facts import DatasetCommitted, SchemaChange

if TYPE_CHECKING:
    import polars as pl


class DatasetVersion(Record, kw_only=True):
    """One immutable state of a dataset, as kept beside its rows.

    `id` is the digest of its rows (`digest.set_digest`), `parent` the id of the version before. `rows`, `time_min` and
    `time_max` speak of the whole version, `added` (new rows), `completed` (rows that had null cells filled in),
    `new_columns` and `quarantined` (rows refused since the parent, by reason) of the step from the parent.
    `until` is the cursor: the source was asked for everything up to it. `columns` are all it has, by name. `number` is
    the store's own version. `personal` are the columns that are sealed, with the families of what was sealed.

    Of a source of pages, `cursor` is where the reading goes on that made this version (`writing/position.py` says how
    it is kept), and `asked_since` is where that reading began.

    `changes` is what the step brought that is not as it was before in the columns, `troubled` which columns were gone
    or of another type in it.
    """

    dataset: str
    id: str
    parent: str | None
    rows: int
    added: int
    completed: int
    until: datetime
    time_min: datetime
    time_max: datetime
    quarantined: dict[str, int]
    columns: tuple[str, ...]
    new_columns: tuple[str, ...] = ()
    number: int = 0
    cursor: str = ""
    asked_since: datetime | None = None
    personal: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default
    changes: tuple[SchemaChange, ...] = ()
    troubled: tuple[str, ...] = ()

    @property
    def fact(self) -> DatasetCommitted:
        """The ledger's fact of this version: the same whenever it is asked for."""
        return DatasetCommitted(
            dataset=self.dataset,
            version=self.id,
            parent=self.parent,
            rows=self.rows,
            added=self.added,
            until=self.until,
            quarantined=self.quarantined,
            changes=self.changes,
        )


class NothingReadableError(DataError):
    """Every new row of a batch was refused, as a column is of another type: they are in the quarantine."""


class Commit(Record, kw_only=True):
    """What one collection came to. `same` rows were stored already, `early` ones lie after `until` and were left for
    later; `refused` counts the rows of this collection that went to the quarantine, by reason. `changes` is
    what is not as it was in the columns."""

    version: DatasetVersion
    same: int
    early: int
    refused: dict[str, int]
    changes: tuple[SchemaChange, ...] = ()


def all_of(commits: Sequence[Commit]) -> Commit | None:
    """One collection that made several versions: the newest, and the sums of what was counted; None for none."""
    refused: dict[str, int] = {}
    for commit in commits:
        for reason, count in commit.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    if not commits:
        return None
    changes = tuple(change for commit in commits for change in commit.changes)
    same, early = sum(commit.same for commit in commits), sum(commit.early for commit in commits)
    return Commit(version=commits[-1].version, same=same, early=early, refused=refused, changes=changes)


class Taken(Record, kw_only=True):
    """How far a collection has come: pages, rows and new rows so far, the share of all that lies behind, where it is
    known, and what the newest page had to say."""

    pages: int
    rows: int
    added: int
    share: float | None = None
    notes: tuple[str, ...] = ()


class ColumnMovement(Record, kw_only=True):
    """How far the distribution of one column lies apart in two versions, from 0 (the same) to 1: Kolmogorov-Smirnov for
    numbers and times, total variation for the rest. Null shares are told beside it."""

    column: str
    statistic: str
    distance: float
    nulls_before: float
    nulls_after: float


class Difference(Record, kw_only=True):
    """What lies between version `a` and version `b`: counts of keys, the first few of each, how many of the
    changed rows have another label than before (one that was not known counts), and movements by column, the largest
    first."""

    a: str
    b: str
    added: int
    removed: int
    changed: int
    same: int
    added_keys: tuple[str, ...]
    removed_keys: tuple[str, ...]
    changed_keys: tuple[str, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    labels_changed: int
    movement: tuple[ColumnMovement, ...]


class Damage(Record, kw_only=True):
    """Something a check found: `keys` names the rows where it can tell them."""

    file: str
    reason: str
    rows: int
    keys: tuple[str, ...] = ()


class Verification(Record, kw_only=True):
    """What reading a version again and recomputing every digest found."""

    version: str
    rows: int
    damages: tuple[Damage, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether every row is as it was stored."""
        return not self.damages


class Quarantined:
    """Refused rows: how many for which reason, and the newest of them (reason, seen_at, key, time, row as JSON)."""

    def __init__(self, reasons: dict[str, int], rows: pl.DataFrame) -> None:
        self.reasons = reasons
        self.rows = rows

    @property
    def total(self) -> int:
        """All refused rows."""
        return sum(self.reasons.values())
