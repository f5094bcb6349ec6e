"""A dataset and its versions: collected bit by bit, each state under the digest of its rows, none ever lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from trimtab.data.port import DIGEST, DataError, PagedSource, Source
from trimtab.data.privacy.sealing import Gone
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.branches import Branch, Branches, merge
from trimtab.data.store.home import Home, home_at
from trimtab.data.store.kept.checkout import check_out
from trimtab.data.store.kept.compare import compare
from trimtab.data.store.kept.export import write_rows
from trimtab.data.store.kept.retention import Freed, Retention
from trimtab.data.store.kept.verify import verify
from trimtab.data.store.naming import Names
from trimtab.data.store.order import in_order
from trimtab.data.store.personal import personal_of, readable
from trimtab.data.store.quarantine import Quarantine
from trimtab.data.store.state import Commit, DatasetVersion, Difference, Quarantined, Taken, Verification
from trimtab.data.store.tables.filters import time_filter
from trimtab.data.store.tables.table import Table
from trimtab.data.store.writing.lock import held
from trimtab.data.store.writing.newest import Newest
from trimtab.data.store.writing.paging import collect_pages
from trimtab.data.store.writing.position import Positions
from trimtab.data.store.writing.watch import Watch
from trimtab.data.store.writing.writer import Writer


class DatasetStore:
    """One dataset's versions below `root`: a folder, or a home that may lie in a bucket.

    Collecting is exactly once: rows, version id, parent and cursor are one commit of the store, so a process that is
    killed at any instant has either made the whole step or none of it, and collecting again makes it. Processes of one
    machine collect one after the other; in a bucket the one that commits first wins, and the others look again and do
    what is left. Any number may read.
    """

    def __init__(self, root: Path | Home, spec: DatasetSpec, branch: str = "") -> None:
        home = home_at(root)
        self.spec = spec
        self.branch = branch
        self._home = home
        self._folder = home.beside(spec.name, branch)
        self._lock = home.beside(spec.name) / "lock"
        trunk = Table(home.rows(spec.name))
        self._table = Table(home.rows(spec.name, branch), branch, trunk) if branch else trunk
        self.personal = personal_of(home.folder, spec)
        self._quarantine = Quarantine(home.quarantine(spec.name, branch))
        self._names = Names(self._table, spec.name, branch)
        self._newest = Newest(self._table, self._folder, spec.time, self._asked_again)
        self.packs = home.packs(spec.name)
        self._positions = Positions(self._folder, spec.source)
        self._writer = Writer(
            spec,
            table=self._table,
            names=self._names,
            newest=self._newest,
            quarantine=self._quarantine,
            positions=self._positions,
            packs=self.packs,
            personal=self.personal,
            watch=Watch(spec, self._folder / "blocks.json"),
            lock=self._lock,
            check=home.check_writers,
        )

    def collect(
        self,
        rows: pl.DataFrame | Source,
        *,
        until: datetime,
        now: datetime,
        told: Callable[[Taken], None] | None = None,
    ) -> Commit | None:
        """Take in what is new, up to `until`; None when nothing is.

        A source is asked for what lies after the cursor, and again for rows whose truth was not known then, or that may
        come late. By key: an identical row is stored already and left alone. One that only fills in cells that were
        null (a label that came later) takes the stored row's place. One that says otherwise in a known cell contradicts
        the stored row and is refused, or takes its place where the declaration says so. Refused rows go to the
        quarantine with their reason; a row is refused once, however often it comes.

        A source of pages is read on from the cursor that was committed last, and each page is a version of which `told`
        hears. What the pages before a failure brought stays.

        Raises DataError when the whole batch cannot be taken (a column is missing, times have no zone).
        """

        def work(before: DatasetVersion | None) -> Commit | None:
            writer, batch = self._writer, rows
            if isinstance(batch, PagedSource):
                again = self._asked_again
                return collect_pages(
                    batch, writer, self._positions, before, until=until, now=now, asked_again=again, told=told
                )
            stored = writer.stored(before)
            if not isinstance(batch, pl.DataFrame):
                if before is not None and until <= before.until:
                    return None
                batch = self._fetch(batch, before, stored, until)
            return writer.take(batch, before, stored, until=until, now=now)

        return self._writer.alone(work)

    def current(self) -> DatasetVersion | None:
        """The newest version; None before the first."""
        recent = self._newest.at_hand()
        if recent is not None:
            return recent.version
        return self._names.newest() if self._table.exists() else None

    def recent(self, since: datetime) -> pl.DataFrame:
        """Rows of the newest version with time > `since`, with digests, in no certain order. They are held in memory;
        `remember` keeps them for the next process. Raises DataError before the first version."""
        found = self._newest.after(since, self.version, self._read_after)
        rows = found.rows if self.personal is None else self.personal.reveal_recent(found.rows, found.version)
        return rows.filter(pl.col(self.spec.time) > since)

    def remember(self) -> None:
        """Keep the newest rows beside the table, so that a process that finds nothing new need not open it."""
        self._newest.remember(self.version, self._read_after)

    def versions(self) -> list[DatasetVersion]:
        """Every version, oldest first."""
        return self._names.all()

    def version(self, name: str | None = None) -> DatasetVersion:
        """A version by tag, by id or by the beginning of its id (8 characters at least); the newest for None.

        Raises DataError that names the nearest one.
        """
        return self._names.find(name)

    def read(
        self,
        version: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        digests: bool = False,
        sealed: bool = False,
        gone: Gone = "null",
    ) -> pl.DataFrame:
        """Rows of a version with since < time <= until, in order of time and key.

        Personal cells are opened, or left `sealed`; of people who were forgotten they are null, or the rows `left out`.
        Raises DataError for an unknown version or column.
        """
        found = self.version(version)
        have = found.columns
        wanted = list(columns if columns is not None else have)
        for name in wanted:
            if name not in have:
                near = get_close_matches(name, have, n=1)
                raise DataError(
                    f"dataset {self.spec.name!r} has no column {name!r}",
                    hint=f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(have)}",
                )
        order = list(dict.fromkeys([self.spec.time, *self.spec.key]))
        fetched = [*wanted, *(name for name in order if name not in wanted), *([DIGEST] if digests else [])]
        opened = None if sealed else self.personal
        fetched += opened.needed(fetched) if opened is not None else []
        rows = self._table.read(found.number, columns=fetched, where=time_filter(self.spec.time, since, until))
        if opened is not None:
            rows = opened.reveal(rows, found, gone=gone)
        kept = [*wanted, *([DIGEST] if digests else [])]
        return in_order(rows, order).select(kept)

    def of_person(self, person: bytes, version: str | None = None, *, read: bool = True) -> pl.DataFrame:
        """The rows of one person, by the pseudonym: all columns, opened, or the digests alone."""
        found = self.version(version)
        assert self.personal is not None
        return self.personal.of_person(self._table, found, person, read=read)

    def diff(self, a: str, b: str | None = None) -> Difference:
        """What changed from version `a` to version `b` (the newest for None)."""
        before, after = self.version(a), self.version(b)
        return compare(self._table, self.spec, before, after)

    def verify(self, version: str | None = None) -> Verification:
        """Read every row again and recompute its digest and the version's; names what does not agree."""
        return verify(self._table, self.packs, self.spec, self.version(version))

    def contents(self, digests: Sequence[bytes]) -> list[bytes]:
        """The bytes of media, by the digests that rows hold in a column of `media`. Raises DataError for one that is
        missing, or no longer what its digest says."""
        return self.packs.get(digests)

    def export(self, path: Path, version: str | None = None, *, personal: bool = False) -> int:
        """Write a version to a `.parquet` or `.csv` file, all or nothing; returns the rows written. What is personal is
        left out unless it is asked for."""
        columns = None if personal else readable(self.spec, self.version(version).columns)
        return write_rows(self.read(version, columns=columns), path)

    def quarantined(self, limit: int = 100, *, personal: bool = False) -> Quarantined:
        """The rows that were refused so far: counts by reason, and the newest ones, sealed unless asked for."""
        found = self._quarantine.look(limit)
        return found if self.personal is None or not personal else self.personal.refused(found)

    def tag(self, name: str, version: str | None = None) -> DatasetVersion:
        """Give a version a name of one's own; naming again moves it. Raises DataError for a name that cannot be one."""
        found = self.version(version)
        with held(self._lock):
            self._names.name(name, found.number)
        return found

    def untag(self, name: str) -> None:
        """Take a version's name away. Raises DataError where there is none."""
        with held(self._lock):
            self._names.unname(name)

    def tags(self) -> dict[str, DatasetVersion]:
        """The names that were given, and their versions."""
        return {name: self._names.noted(number) for name, number in sorted(self._names.given().items())}

    def branches(self) -> list[Branch]:
        """The branches that begin at versions of this dataset, by name."""
        return Branches(self._table, self._names).all()

    def create_branch(self, name: str, version: str | None = None) -> DatasetStore:
        """A line of versions of its own, beginning at a version (default: the newest) without copying it. What is
        collected into it leaves this one untouched. Raises DataError for a name that is taken or cannot be one."""
        if self.branch:
            raise DataError(f"a branch cannot begin at branch {self.branch!r}", hint="begin it where that one begins")
        found = self.version(version)
        with held(self._lock):
            Branches(self._table, self._names).create(name, found)
            other = self.on(name)
            other._names.keep(found, found.number)
        return other

    def on(self, branch: str) -> DatasetStore:
        """A branch of this dataset, as a store of its own. Raises DataError where there is none."""
        Branches(self._table, self._names).find(branch)
        return DatasetStore(self._home, self.spec, branch)

    def merge(self, branch: str) -> list[DatasetVersion]:
        """Go forward to where a branch stands: its versions, with their ids, become versions of this one, the oldest
        first. Raises DataError, and does nothing, where this one has gone on by itself since the branch began. Killed
        in the middle it has done some of them, and doing it again does the rest."""
        begins, other = Branches(self._table, self._names).find(branch).begins, self.on(branch)
        return self._writer.alone(lambda before: merge(self._writer, before, begins, other))

    def delete_branch(self, name: str) -> None:
        """Forget a branch and what was collected into it alone. Raises DataError where there is none."""
        with held(self._lock):
            Branches(self._table, self._names).delete(name)

    def let_go(self, keep: timedelta, needed: Mapping[str, str], *, now: datetime, dry: bool = False) -> Freed:
        """Let go of versions that were not the newest for longer than `keep`, with the bytes that only they needed;
        `dry` only tells. What stays: the newest, versions with a tag, those a branch begins at, all versions of
        branches, and those in `needed`, which says why by id. Killed in the middle, what stays is whole."""
        with held(self._lock):
            self._home.check_writers()
            branches = [self.on(branch.name) for branch in self.branches()]
            retention = Retention(self.spec, self._table, self._names, self.packs)
            found = retention.let_go(branches, now - keep, needed, now=now, dry=dry)
            self._newest.forget()
            return found

    def check_out(self, folder: Path, version: str | None = None) -> int:
        """Write the media of a version below a new folder, as files; how many."""
        return check_out(self, folder, version)

    @property
    def table(self) -> Table:
        """The table of this store's rows."""
        return self._table

    def files(self, version: DatasetVersion) -> set[str]:
        """The files that hold a version's rows, by name."""
        return self._table.files(version.number)

    def step(self, version: DatasetVersion, after: DatasetVersion | None) -> tuple[pl.DataFrame, pl.Series]:
        """What lies between two versions: the rows that came, with digests, and the digests that went."""
        rows = self._table.read(version.number, columns=[*version.columns, DIGEST])
        if after is None:
            return rows, rows.get_column(DIGEST).clear()
        old = self._table.read(after.number, columns=[DIGEST]).get_column(DIGEST)
        new = rows.get_column(DIGEST)
        return rows.filter(~new.is_in(old.implode())), old.filter(~old.is_in(new.implode()))

    def _read_after(self, version: DatasetVersion, since: datetime) -> pl.DataFrame:
        return self.read(version.id, since=since, digests=True, sealed=True)

    def _fetch(
        self,
        source: Source,
        before: DatasetVersion | None,
        stored: dict[str, pl.DataType] | None,
        until: datetime,
    ) -> pl.DataFrame:
        if stored is not None:
            source.expect(stored)
        return source.fetch(before.until - self._asked_again if before else None, until)

    @property
    def _asked_again(self) -> timedelta:
        """How far before the cursor a source is asked again: for truth that was not known, and rows that come late."""
        return timedelta(seconds=max(0.0, self.spec.known_after, self.spec.late))
