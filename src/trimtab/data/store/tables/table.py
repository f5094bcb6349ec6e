"""What speaks to Lance, with `commits`: a table of rows with versions, tags and a note in each commit.

Lance starts threads of its own: a process that has opened a table must start others by spawn, never by fork.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
from blake3 import blake3

from trimtab.data.port import DIGEST, DataError
from trimtab.data.store.tables.arrow import fitted, to_arrow
from trimtab.data.store.tables.commits import STORAGE, changed, created
from trimtab.data.store.tables.failures import meaning
from trimtab.data.store.tables.place import TablePlace
from trimtab.errors import TrimtabError

if TYPE_CHECKING:
    import lance

_NOTE = "trimtab"
_DIGITS = 32


class Table:
    """A Lance dataset in one place. `note` is text that belongs to a commit and is visible if and only if it is.

    Where other machines may write too, a commit of rows succeeds only if nothing was committed since the version that
    is `held`; else it raises ConflictError and nothing was written. In a folder the lock sees to that.
    """

    def __init__(self, place: TablePlace, branch: str = "", trunk: Table | None = None) -> None:
        self.place = place
        self._branch = branch
        self._trunk = trunk
        self._lance: lance.LanceDataset | None = None
        self._seen = 0
        self._notes: dict[int, str | None] = {}
        self._holding = self._pinned = self._absent = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep to the version that is the newest at the first look, and to one's own commits after it, until the end.
        Nothing is opened before that look."""
        self._holding, self._pinned, self._absent = True, False, False
        try:
            yield
        finally:
            self._holding = self._pinned = self._absent = False

    def exists(self) -> bool:
        """Whether anything was ever committed."""
        if self._lance is not None:
            return True
        if self._absent:
            return False
        there = self.place.exists()
        self._absent = self._holding and not there
        return there

    @property
    def opened(self) -> bool:
        """Whether this process has the table open."""
        return self._lance is not None

    def mark(self) -> str:
        """Changes with every commit, and is told without opening the table; empty while that is not sure: two commits
        within one tick of the file system's clock leave the same time behind."""
        return self.place.mark()

    @property
    def number(self) -> int:
        """Lance's number of the newest version."""
        return int(self._newest().version)

    def schema(self, number: int | None = None) -> dict[str, pl.DataType]:
        """The Polars types of the columns, without the digest."""
        with self._translated():
            empty = pl.from_arrow(self._at(number).schema.empty_table())
        assert isinstance(empty, pl.DataFrame)
        return {name: dtype for name, dtype in empty.schema.items() if name != DIGEST}

    def rows(self, number: int | None = None) -> int:
        """How many rows a version has."""
        with self._translated():
            return int(self._at(number).count_rows())

    def note(self, number: int) -> str | None:
        """The note of the version, or of the newest one before it that has any (compaction writes none)."""
        if number not in self._notes:
            self._notes = {number: self._read_note(number)}
        return self._notes[number]

    def _read_note(self, number: int) -> str | None:
        newest = self._newest()
        begins = 0
        if self._trunk is not None:
            begins = self._trunk.branches()[self._branch][1]
        for wanted in range(number, begins, -1):
            with self._translated():
                transaction = newest.read_transaction(wanted)
            properties = (transaction.transaction_properties if transaction is not None else None) or {}
            if _NOTE in properties:
                return self._checked(properties[_NOTE])
        return self._trunk.note(begins) if self._trunk is not None else None

    def _checked(self, kept: str) -> str:
        """A note without the digest that it is kept with. Raises DataError where they do not agree."""
        digest, note = kept[:_DIGITS], kept[_DIGITS:]
        if _digest(note) != digest:
            raise DataError(
                f"the dataset in {self.place.uri} is damaged: the note of a version is not what was written",
                hint="restore its folder `_versions` and `_transactions` from a backup",
            )
        return note

    def append(self, rows: pl.DataFrame, note: str) -> int:
        """Commit rows and note at once; creates the table when there is none. Returns the new number."""
        import lance

        with self._translated():
            newest = self._newest() if self.exists() else None
            if self.place.shared:
                if newest is not None:
                    return self.change(rows, None, note)
                self._lance = created(self.place, rows, {_NOTE: _digest(note) + note})
                self._absent, self._pinned = False, self._holding
                return self.number
            if newest is None:
                self.place.ready()
            self._lance = lance.write_dataset(
                to_arrow(rows if newest is None else fitted(rows, newest.schema)),
                self.place.uri if newest is None else newest,
                mode="create" if newest is None else "append",
                data_storage_version=STORAGE,
                transaction_properties={_NOTE: _digest(note) + note},
            )
        return self.number

    def replace(self, rows: pl.DataFrame, key: Sequence[str], gone: pl.Series, note: str) -> int:
        """Commit rows and note at once; a row whose key is there takes the place of the old one, and the digests of
        these are `gone`."""
        import lance

        if self.place.shared:
            return self.change(rows, gone, note)
        with self._translated():
            newest = self._newest()
            merge = newest.merge_insert(list(key)).when_matched_update_all().when_not_matched_insert_all()
            transaction, _ = merge.execute_uncommitted(to_arrow(fitted(rows, newest.schema)))
            transaction.transaction_properties = {_NOTE: _digest(note) + note}
            self._lance = lance.LanceDataset.commit(newest, transaction)
        return self.number

    def change(self, rows: pl.DataFrame, gone: pl.Series | None, note: str) -> int:
        """Commit at once: rows that came, rows with the digests `gone` that went, and the note. Raises ConflictError
        where anything was committed since the held version, and then nothing was done."""
        with self._translated():
            self._lance = changed(self._newest(), self.place, rows, gone, {_NOTE: _digest(note) + note})
        return self.number

    def add_columns(self, columns: Mapping[str, pl.DataType]) -> None:
        """Add columns, null in every row there is. One that is there already is left over from a process that was
        killed before it committed a row: it is null everywhere; it is taken over, or replaced if its type differs."""
        have = self.schema()
        lacking = {name: dtype for name, dtype in columns.items() if have.get(name) != dtype}
        with self._translated():
            newest = self._newest()
            if stale := [name for name in lacking if name in have]:
                newest.drop_columns(stale)
            if lacking:
                newest.add_columns(list(to_arrow(pl.DataFrame(schema=lacking)).schema))
            self._lance = newest

    def read(
        self,
        number: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        where: str | None = None,
    ) -> pl.DataFrame:
        """Rows of a version in stored order."""
        with self._translated():
            table = self._at(number).to_table(columns=list(columns) if columns is not None else None, filter=where)
            frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def parts(self, number: int) -> Iterator[tuple[str, int, Any]]:
        """The parts a version is made of: name of the file, rows, and Lance's handle for `read_part`."""
        for fragment in self._at(number).get_fragments():
            files = fragment.data_files()
            yield (files[0].path if files else str(fragment.fragment_id)), fragment.count_rows(), fragment

    def read_part(self, part: Any, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """All rows of one part."""
        with self._translated():
            frame = pl.from_arrow(part.to_table(columns=list(columns) if columns is not None else None))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def small_parts(self, rows: int) -> int:
        """How many parts have fewer than so many rows."""
        with self._translated():
            return sum(fragment.physical_rows < rows for fragment in self._newest().get_fragments())

    def compact(self, rows: int, note: str) -> int:
        """Join small neighbouring parts up to so many rows each; the content stays. Returns the new number, which has
        the note again: the version that it was taken from may be cleaned away."""
        with self._translated():
            newest = self._newest()
            newest.optimize.compact_files(target_rows_per_fragment=rows)
            self._lance = newest
        return self.change(pl.DataFrame(), None, note)

    def tags(self) -> dict[str, int]:
        """Every tag of this branch and the number it names."""
        with self._translated():
            return {
                name: int(tag["version"])
                for name, tag in self._newest().tags.list().items()
                if (tag["branch"] or "") == self._branch
            }

    def tags_of(self, branch: str) -> list[str]:
        """The tags of another branch."""
        with self._translated():
            return [name for name, tag in self._newest().tags.list().items() if tag["branch"] == branch]

    def tag(self, name: str, number: int) -> None:
        """Name a version; moves the tag when it is there."""
        wanted: Any = (self._branch, number) if self._branch else number
        with self._translated():
            tags = self._newest().tags
            if self.place.has_tag(name):  # listing reads every tag there is
                tags.update(name, wanted)
                return
            try:
                tags.create(name, wanted)
            except (OSError, ValueError):
                if not self.place.has_tag(name):
                    raise
                tags.update(name, wanted)  # another writer was faster

    def untag(self, name: str) -> None:
        """Take a name away, if it is there."""
        with self._translated():
            if self.place.has_tag(name):
                self._newest().tags.delete(name)

    def has_tag(self, name: str) -> bool:
        """Whether a version is named so; told without opening the table."""
        return self.place.has_tag(name)

    def number_of(self, tag: str) -> int | None:
        """The number that a tag names; None where it names none of this branch."""
        if not self.place.has_tag(tag):
            return None
        if not tag.startswith("v-"):
            return self.tags().get(tag)
        with self._translated():
            return int(self._newest().tags.get_version(tag))

    def branches(self) -> dict[str, tuple[str, int]]:
        """Every branch, and the branch (empty for the trunk) and number that it begins at."""
        with self._translated():
            found = self._newest().branches.list().items()
            return {name: (one["parent_branch"] or "", int(one["parent_version"])) for name, one in found}

    def create_branch(self, name: str, number: int) -> None:
        """A line of versions of its own that begins at a version of this one; its rows are not copied."""
        with self._translated():
            self._newest().create_branch(name, (self._branch or None, number))

    def delete_branch(self, name: str) -> None:
        """Forget a branch and what was written to it."""
        with self._translated():
            self._newest().branches.delete(name)

    def files(self, number: int) -> set[str]:
        """The files that hold a version's rows, by name."""
        with self._translated():
            parts = self._at(number).get_fragments()
            return {file.path for part in parts for file in part.data_files()}

    def clean(self, *, sure: bool) -> int:
        """Remove versions without a name, but the newest, and files that no version needs; bytes freed. Unless it is
        `sure` that nobody writes, files that are a few days old are left, as they may belong to a commit under way."""
        with self._translated():
            done = self._newest().cleanup_old_versions(
                timedelta(0), error_if_tagged_old_versions=False, delete_unverified=sure
            )
        self._notes = {}
        return int(done.bytes_removed)

    def _newest(self) -> lance.LanceDataset:
        import lance  # half a second of start-up: only where rows are touched

        if self._pinned and self._lance is not None:
            return self._lance
        with self._translated():
            changed = self.place.changed()
            if self._lance is None:
                self._lance = lance.dataset(self.place.uri, storage_options=self.place.options)
            elif changed != self._seen or not changed:
                self._lance.checkout_latest()  # type: ignore[no-untyped-call]
            self._seen = changed if self.place.settled(changed) else 0
            self._pinned = self._holding
        return self._lance

    def _at(self, number: int | None) -> lance.LanceDataset:
        newest = self._newest()
        if number is None or number == newest.version:
            return newest
        with self._translated():
            return newest.checkout_version(number)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Lance's errors, and the panics of its decoders, as this stage's."""
        try:
            yield
        except (TrimtabError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            self._lance = None
            raise meaning(error, self.place) from error


def _digest(note: str) -> str:
    return blake3(note.encode()).hexdigest()[:_DIGITS]
