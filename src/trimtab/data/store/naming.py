"""What the versions of a table are called: by the digest of their rows, its beginning, or a tag."""

from __future__ import annotations

import re
from difflib import get_close_matches

import msgspec

from trimtab.data.port import DataError
from trimtab.data.store.state import DatasetVersion
from trimtab.data.store.tables.table import Table

_SHORT = 16
_ID = re.compile(r"^[0-9a-f]{8,64}$")
_TAG = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")
_OWN = "v-"


class Names:
    """The names in one table, or in one branch of it. Each version has a tag of its own, without which it would be
    cleaned away; users add theirs."""

    def __init__(self, table: Table, dataset: str, branch: str = "") -> None:
        self._table = table
        self._dataset = dataset
        self._suffix = f".{branch}" if branch else ""

    def noted(self, number: int) -> DatasetVersion:
        """What was written down with a version."""
        note = self._table.note(number)
        if note is None:
            raise DataError(f"{self._table.place.uri} was not written by Trimtab: version {number} has no note")
        return msgspec.structs.replace(msgspec.json.decode(note, type=DatasetVersion), number=number)

    def newest(self) -> DatasetVersion:
        """The newest version of a table that has one."""
        return self.noted(self._table.number)

    def all(self) -> list[DatasetVersion]:
        """Every version, oldest first."""
        if not self._table.exists():
            return []
        numbers = {number for name, number in self._table.tags().items() if name.startswith(_OWN)}
        found = {version.id: version for version in map(self.noted, sorted(numbers))}
        newest = self.newest()
        return list((found | {newest.id: newest}).values())

    def find(self, name: str | None) -> DatasetVersion:
        """A version by tag, by id or by the beginning of its id (8 characters at least); the newest for None.

        Raises DataError that names the nearest one.
        """
        if not self._table.exists():
            raise DataError(f"dataset {self._dataset!r} has no version yet", hint="collect it first")
        if name is None:
            return self.newest()
        number = self._table.number_of(name) if _TAG.match(name) else None
        if number is None and _ID.match(name):
            tags = [f"{_OWN}{name[:_SHORT]}{self._suffix}"]
            if len(name) < _SHORT:
                tags = [tag for tag in self._table.tags() if tag.startswith(f"{_OWN}{name}")]
            found = [self.noted(n) for n in (self._table.number_of(tag) for tag in tags) if n is not None]
            found = [version for version in [*found, self.newest()] if version.id.startswith(name)]
            number = found[0].number if len({version.id for version in found}) == 1 else None
        if number is None:
            raise self._unknown(name)
        return self.noted(number)

    def name(self, name: str, number: int) -> None:
        """Give a version a name of a user's own, or move that name to it."""
        if not _TAG.match(name) or name.startswith(_OWN):
            raise DataError(
                f"{name!r} cannot name a version",
                hint="use letters, digits, '.', '-' and '_', not beginning with '.' or 'v-'",
            )
        if self._table.has_tag(name) and self._table.number_of(name) is None:
            raise DataError(f"{name!r} names a version of another branch", hint="choose another name")
        self._table.tag(name, number)

    def unname(self, name: str) -> None:
        """Take a user's name away. Raises DataError where there is none."""
        if name.startswith(_OWN) or not _TAG.match(name) or self._table.number_of(name) is None:
            raise self._unknown(name)
        self._table.untag(name)

    def given(self) -> dict[str, int]:
        """The users' own names, and the number each stands for."""
        if not self._table.exists():
            return {}
        return {name: number for name, number in self._table.tags().items() if not name.startswith(_OWN)}

    def own(self, version: DatasetVersion) -> str:
        """The tag that keeps a version."""
        return f"{_OWN}{version.id[:_SHORT]}{self._suffix}"

    def keep(self, version: DatasetVersion, number: int) -> None:
        """See to it that a version stays."""
        self._table.tag(self.own(version), number)

    def _unknown(self, name: str) -> DataError:
        names = [tag.removeprefix(_OWN).removesuffix(self._suffix) for tag in self._table.tags()]
        near = get_close_matches(name[:_SHORT], names, n=1, cutoff=0.4) or sorted(names)[-1:]
        return DataError(
            f"dataset {self._dataset!r} has no version {name!r}",
            hint=f"the nearest name is {near[0]!r}" if near else "",
        )
