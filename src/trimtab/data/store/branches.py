"""Branches: lines of versions beside the trunk, for an experiment on data that must not touch it."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from trimtab.data.port import DataError
from trimtab.data.store.naming import Names
from trimtab.data.store.state import DatasetVersion
from trimtab.data.store.tables.table import Table
from trimtab.records.base import Record

if TYPE_CHECKING:
    from trimtab.data.store.kept.line import Line
    from trimtab.data.store.writing.writer import Writer

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")


class Branch(Record, kw_only=True):
    """One branch, and the version of the trunk that it begins at."""

    name: str
    begins: DatasetVersion


class Branches:
    """The branches of one trunk."""

    def __init__(self, table: Table, names: Names) -> None:
        self._table = table
        self._names = names

    def all(self) -> list[Branch]:
        """Every branch, by name."""
        if not self._table.exists():
            return []
        found = self._table.branches().items()
        return [Branch(name=name, begins=self._names.noted(number)) for name, (_, number) in sorted(found)]

    def find(self, name: str) -> Branch:
        """A branch by name. Raises DataError that names the nearest one."""
        found = {branch.name: branch for branch in self.all()}
        if name not in found:
            near = get_close_matches(name, found, n=1)
            raise DataError(
                f"there is no branch {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else "`trimtab data branch NAME BRANCH` makes one",
            )
        return found[name]

    def create(self, name: str, version: DatasetVersion) -> None:
        """Begin a branch at a version. Raises DataError for a name that is taken or cannot be one."""
        if not _NAME.match(name):
            raise DataError(f"{name!r} cannot name a branch", hint="use letters, digits, '-' and '_'")
        if name in self._table.branches():
            raise DataError(f"there is a branch {name!r} already", hint="choose another name, or delete it first")
        self._table.create_branch(name, version.number)

    def delete(self, name: str) -> None:
        """Forget a branch; its tags first, so that being killed in between leaves a branch that can be deleted."""
        self.find(name)
        for tag in self._table.tags_of(name):
            self._table.untag(tag)
        self._table.delete_branch(name)


def merge(writer: Writer, before: DatasetVersion | None, begins: DatasetVersion, branch: Line) -> list[DatasetVersion]:
    """Repeat on the trunk, whose newest version is `before`, the versions of a branch that it does not have yet. Raises
    DataError where the trunk stands at no version of the branch."""
    line = [begins, *(version for version in branch.versions() if version.id != begins.id)]
    ids = [version.id for version in line]
    if before is None or before.id not in ids:
        raise DataError(
            f"branch {branch.branch!r} cannot be merged: {branch.spec.name!r} has gone on since it began",
            hint="begin another branch at the newest version, and collect into it what this one has",
        )
    done, last = [], line[ids.index(before.id)]
    for version in line[ids.index(before.id) + 1 :]:
        rows, gone = branch.step(version, last)
        writer.repeat(version, rows, gone)
        done.append(version)
        last = version
    return done
