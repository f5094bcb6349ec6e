"""What may be let go: versions that nothing stands on, and the bytes that only they needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from trimtab.data.spec import DatasetSpec
from trimtab.data.store.naming import Names
from trimtab.data.store.packs import Packs
from trimtab.data.store.state import DatasetVersion
from trimtab.data.store.tables.table import Table
from trimtab.records.base import Record

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.store.kept.line import Line

_UNDER_WAY = timedelta(days=1)
"""In a bucket, contents that came within this time may belong to a version that another machine is about to commit."""


class Freed(Record, kw_only=True):
    """What was let go, or would be: ids of versions, contents of media, bytes of both; and of the versions that stay,
    why."""

    dataset: str
    versions: tuple[str, ...]
    contents: int
    bytes: int
    kept: dict[str, str]


def reasons(
    versions: Sequence[DatasetVersion],
    tags: Mapping[str, int],
    begins: Mapping[str, int],
    needed: Mapping[str, str],
    since: datetime,
) -> dict[int, str]:
    """Why versions stay, by number: the newest, those that branches begin at, that have a name, that `needed` says
    something stands on, and those that were the newest at some moment after `since`."""
    why: dict[int, str] = {}
    for version, following in zip(versions, [*versions[1:], None], strict=True):
        if following is None:
            why[version.number] = "the newest"
        elif version.id in needed:
            why[version.number] = needed[version.id]
        elif following.until > since:
            why[version.number] = "not old yet"
    why |= {number: f"branch {name}" for name, number in begins.items()}
    return why | {number: f"tag {name}" for name, number in tags.items()}


class Retention:
    """Lets go of one dataset's old versions. Only with the lock held."""

    def __init__(self, spec: DatasetSpec, table: Table, names: Names, packs: Packs) -> None:
        self._spec = spec
        self._table = table
        self._names = names
        self._packs = packs

    def let_go(
        self, branches: Sequence[Line], since: datetime, needed: Mapping[str, str], *, now: datetime, dry: bool
    ) -> Freed:
        """Let go of what has no reason to stay; `dry` only tells. First the names go, then what has none: killed in
        between, the next time does the rest, and what stays was never touched."""
        versions = self._names.all()
        if not versions:
            return Freed(dataset=self._spec.name, versions=(), contents=0, bytes=0, kept={})
        begins = {name: number for name, (_, number) in self._table.branches().items()}
        why = reasons(versions, self._names.given(), begins, needed, since)
        gone = [version for version in versions if version.number not in why]
        stay = [version for version in versions if version.number in why]
        contents, freed = self._sweep(stay, branches, now=now, dry=True) if dry else (0, 0)
        if dry:
            freed += self._unneeded(stay, branches)
        else:
            for version in gone:
                self._table.untag(self._names.own(version))
            freed += self._table.clean(sure=not self._table.place.shared)
            contents, bytes_of_media = self._sweep(stay, branches, now=now, dry=False)
            freed += bytes_of_media
        return Freed(
            dataset=self._spec.name,
            versions=tuple(version.id for version in gone),
            contents=contents,
            bytes=freed,
            kept={version.id: why[version.number] for version in stay},
        )

    def _unneeded(self, stay: Sequence[DatasetVersion], branches: Sequence[Line]) -> int:
        """Bytes of the files of rows that no version that stays has."""
        needed = {file for version in stay for file in self._table.files(version.number)}
        for branch in branches:
            needed |= {file for version in branch.versions() for file in branch.files(version)}
        sizes = self._table.place.sizes("data")
        return sum(size for name, size in sizes.items() if name.rpartition("/")[2] not in needed)

    def _sweep(
        self, stay: Sequence[DatasetVersion], branches: Sequence[Line], *, now: datetime, dry: bool
    ) -> tuple[int, int]:
        if not self._spec.media:
            return 0, 0
        keep = {cell for version in stay for cell in self._cells(self._table, version)}
        for branch in branches:
            for version in branch.versions():
                keep |= set(self._cells(branch.table, version))
        before = now - _UNDER_WAY if self._table.place.shared else None
        return self._packs.sweep(keep, dry=dry, before=before)

    def _cells(self, table: Table, version: DatasetVersion) -> Iterator[bytes]:
        names = [name for name in self._spec.media if name in version.columns]
        frame: pl.DataFrame = table.read(version.number, columns=names)
        for name in names:
            yield from frame.get_column(name).drop_nulls().unique()
