"""The one module that speaks to Lance: a table of rows with versions, tags and a note in each commit.

Lance starts threads of its own: a process that has opened a table must start others by spawn, never by fork.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from trimtab.data.port import DIGEST, DataError
from trimtab.errors import TemporaryError, TrimtabError

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

_NOTE = "trimtab"
_TICK = 50_000_000
"""Longer than a tick of any file system's clock, in nanoseconds."""
_STORAGE: Literal["2.2"] = "2.2"


class Table:
    """A Lance dataset in one folder. `note` is text that belongs to a commit and is visible if and only if it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lance: lance.LanceDataset | None = None
        self._seen = 0
        self._notes: dict[int, str | None] = {}

    def exists(self) -> bool:
        """Whether anything was ever committed."""
        return self._lance is not None or any((self.path / "_versions").glob("*.manifest"))

    @property
    def opened(self) -> bool:
        """Whether this process has the table open."""
        return self._lance is not None

    def mark(self) -> str:
        """Changes with every commit, and is told without opening the table; empty while that is not sure: two commits
        within one tick of the file system's clock leave the same time behind."""
        changed = self._changed()
        try:
            names = sorted(entry.name for entry in os.scandir(self.path / "_versions"))
        except OSError:
            return ""
        if time.time_ns() - changed < _TICK or not names:
            return ""
        return f"{changed}:{len(names)}:{names[0]}:{names[-1]}"

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
        for wanted in range(number, 0, -1):
            with self._translated():
                transaction = newest.read_transaction(wanted)
            properties = (transaction.transaction_properties if transaction is not None else None) or {}
            if _NOTE in properties:
                return properties[_NOTE]
        return None

    def append(self, rows: pl.DataFrame, note: str) -> int:
        """Commit rows and note at once; creates the table when there is none. Returns the new number."""
        import lance

        with self._translated():
            newest = self._newest() if self.exists() else None
            if newest is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lance = lance.write_dataset(
                to_arrow(rows if newest is None else _fitted(rows, newest.schema)),
                str(self.path) if newest is None else newest,
                mode="create" if newest is None else "append",
                data_storage_version=_STORAGE,
                transaction_properties={_NOTE: note},
            )
        return self.number

    def replace(self, rows: pl.DataFrame, key: Sequence[str], note: str) -> int:
        """Commit rows and note at once; a row whose key is there takes the place of the old one."""
        import lance

        with self._translated():
            newest = self._newest()
            merge = newest.merge_insert(list(key)).when_matched_update_all().when_not_matched_insert_all()
            transaction, _ = merge.execute_uncommitted(to_arrow(_fitted(rows, newest.schema)))
            transaction.transaction_properties = {_NOTE: note}
            self._lance = lance.LanceDataset.commit(newest, transaction)
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

    def compact(self, rows: int) -> int:
        """Join small neighbouring parts up to so many rows each; the content stays. Returns the new number."""
        with self._translated():
            newest = self._newest()
            newest.optimize.compact_files(target_rows_per_fragment=rows)
            self._lance = newest
        return self.number

    def tags(self) -> dict[str, int]:
        """Every tag and the number it names."""
        with self._translated():
            return {name: int(tag["version"]) for name, tag in self._newest().tags.list().items()}

    def tag(self, name: str, number: int) -> None:
        """Name a version; moves the tag when it is there."""
        with self._translated():
            tags = self._newest().tags
            if self._tag_file(name).is_file():  # listing reads every tag there is
                tags.update(name, number)
            else:
                tags.create(name, number)

    def has_tag(self, name: str) -> bool:
        """Whether a version is named so; told without opening the table."""
        return self._tag_file(name).is_file()

    def number_of(self, tag: str) -> int | None:
        """The number that a tag names."""
        if not self._tag_file(tag).is_file():
            return None
        with self._translated():
            return int(self._newest().tags.get_version(tag))

    def _tag_file(self, tag: str) -> Path:
        return self.path / "_refs" / "tags" / f"{tag}.json"

    def _newest(self) -> lance.LanceDataset:
        import lance  # half a second of start-up: only where rows are touched

        with self._translated():
            changed = self._changed()
            if self._lance is None:
                self._lance = lance.dataset(str(self.path))
            elif changed != self._seen:
                self._lance.checkout_latest()  # type: ignore[no-untyped-call]
            self._seen = changed if time.time_ns() - changed > _TICK else 0
        return self._lance

    def _changed(self) -> int:
        """When the newest commit was made, by the file system's clock (ns); 0 where there is none."""
        try:
            return (self.path / "_versions").stat().st_mtime_ns
        except OSError:
            return 0

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
            raise self._meaning(error) from error

    def _meaning(self, error: BaseException) -> TrimtabError:
        said = str(error)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in said or "os error 28" in said:
            return TemporaryError(
                f"the disk that holds {self.path} is full; nothing was committed", delay=60, hint="make room"
            )
        if "Permission denied" in said or "os error 13" in said:
            return DataError(f"{self.path} may not be read or written by this user")
        if "Too many concurrent writers" in said or "commit conflict" in said.lower():
            return TemporaryError(f"another process is writing to {self.path}", delay=1)
        brief = said.strip().splitlines()[0].split(", /home/")[0] if said.strip() else type(error).__name__
        return DataError(
            f"the dataset in {self.path} is damaged or unreadable: {brief}",
            hint="`trimtab data verify` names what is damaged; older versions may still be whole",
        )


def among(column: str, cells: pl.Series) -> str:
    """Lance's filter for rows whose cell is one of these; empty for types it has no plain literal of."""
    if cells.dtype == pl.String:
        literals = [f"""'{cell.replace("'", "''")}'""" for cell in cells.to_list()]
    elif cells.dtype == pl.Int64:
        literals = [str(cell) for cell in cells.to_list()]
    elif cells.dtype == pl.Binary:
        literals = [f"X'{cell}'" for cell in cells.bin.encode("hex").to_list()]
    else:
        return ""
    return f"`{column}` IN ({', '.join(dict.fromkeys(literals))})"


def _fitted(rows: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """The rows with the table's columns in its order; one that they lack is null."""
    names = schema.names
    missing = [pl.lit(None).alias(name) for name in names if name not in rows.columns]
    if not missing:
        return rows.select(names)
    empty = pl.from_arrow(schema.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return rows.with_columns(expr.cast(empty.schema[expr.meta.output_name()]) for expr in missing).select(names)


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """A frame as Lance stores it: digests as fixed 32 bytes, the rest as Polars gives it."""
    import pyarrow as pa

    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    if DIGEST in frame.columns:
        index = table.schema.get_field_index(DIGEST)
        table = table.set_column(index, DIGEST, table.column(DIGEST).cast(pa.binary()).cast(pa.binary(32)))
    return table


def time_filter(column: str, since: datetime | None, until: datetime | None) -> str | None:
    """Lance's filter for since < column <= until."""

    def literal(moment: datetime) -> str:
        return f"arrow_cast('{moment.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"

    parts = []
    if since is not None:
        parts.append(f"`{column}` > {literal(since)}")
    if until is not None:
        parts.append(f"`{column}` <= {literal(until)}")
    return " AND ".join(parts) or None
