"""A dataset and its versions: collected bit by bit, each state under the digest of its rows, none ever lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

import msgspec
import polars as pl

from trimtab.data.intake import screen
from trimtab.data.port import DIGEST, DataError, PagedSource, Source
from trimtab.data.privacy.sealing import Gone
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.collecting import Step, fold_in
from trimtab.data.store.compare import compare
from trimtab.data.store.export import write_rows
from trimtab.data.store.known import Known
from trimtab.data.store.lock import held
from trimtab.data.store.media import keep_media
from trimtab.data.store.order import in_order, span
from trimtab.data.store.packs import Packs
from trimtab.data.store.paging import collect_pages
from trimtab.data.store.personal import FORGOTTEN, families_of, personal_of, readable
from trimtab.data.store.position import Position, Positions
from trimtab.data.store.quarantine import Quarantine
from trimtab.data.store.recent import Recent, keep, load
from trimtab.data.store.state import Commit, DatasetVersion, Difference, Quarantined, Taken, Verification
from trimtab.data.store.table import Table, time_filter
from trimtab.data.store.verify import verify
from trimtab.records.base import canonical_json
from trimtab.records.objects import LocalObjects

_SHORT = 16
_PARTS = ((25_000, 32), (1_000_000, 128))
"""More parts than so many with fewer than so many rows are joined. Two sizes, because the parts that older versions are
made of are kept: what is joined over and over is stored over and over."""
_SLACK = timedelta(days=1)
"""Rows held in memory that are older than was asked for, before they are let go."""
_MOST_IN_RECENT = 50_000
"""A page of more rows is no news: what is held in memory of the newest rows is let go before it."""
_ID = re.compile(r"^[0-9a-f]{8,64}$")
_TAG = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")


class DatasetStore:
    """One dataset's versions below `root`.

    Collecting is exactly once: rows, version id, parent and cursor are one commit of the store, so a process that is
    killed at any instant has either made the whole step or none of it, and collecting again makes it. One process
    collects at a time; any number may read.
    """

    def __init__(self, root: Path, spec: DatasetSpec) -> None:
        self.spec = spec
        self._folder = root / spec.name
        self._table = Table(self._folder / "rows.lance")
        self._quarantine = Quarantine(self._folder / "quarantine.lance")
        self.personal = personal_of(root, spec)
        self._positions = Positions(self._folder, spec.source)
        self.packs = Packs(LocalObjects(self._folder / "media"))
        self._known: Known | None = None
        self._recent: Recent | None = None
        self._kept: Recent | None = None
        self._mark = ""

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
        the stored row and is refused. Refused rows go to the quarantine with their reason; a row is refused once,
        however often it comes.

        A source of pages is read on from the cursor that was committed last, and each page is a version of which `told`
        hears. What the pages before a failure brought stays.

        Raises DataError when the whole batch cannot be taken (a column is missing, times have no zone).
        """
        with held(self._folder / "lock"):
            before = self._mend()
            if isinstance(rows, PagedSource):
                again = self._asked_again
                return collect_pages(
                    rows, self, self._positions, before, until=until, now=now, asked_again=again, told=told
                )
            stored = self.stored(before)
            if not isinstance(rows, pl.DataFrame):
                if before is not None and until <= before.until:
                    return None
                rows = self._fetch(rows, before, stored, until)
            return self.take(rows, before, stored, until=until, now=now)

    def take(
        self,
        rows: pl.DataFrame,
        before: DatasetVersion | None,
        stored: dict[str, pl.DataType] | None,
        *,
        until: datetime,
        now: datetime,
        position: Position | None = None,
    ) -> Commit | None:
        """Make a version of what is new in these rows, that follows `before` with its types `stored`; None where there
        is nothing. The lock must be held: `collect` does."""
        if rows.is_empty():
            return None
        rows = keep_media(rows, self.spec, self.packs)
        screened = screen(rows, self.spec, stored, until=until, now=now, digests=self.personal is None)
        families, gone = dict[str, str](), 0
        if self.personal is not None:
            screened, families, gone = self.personal.conceal(screened, now)
        recent = self._at_hand()
        if recent is not None and screened.bad.is_empty() and recent.has(screened.good):
            return None
        step = fold_in(screened, self.spec, self._table, self._now_known(before))
        self._quarantine.add(step.refused, parent=before.id if before else None, now=now)
        if step.added.is_empty() and step.completed.is_empty():
            return None
        if rows.height > _MOST_IN_RECENT:
            self._recent = None
        version = self._commit(step, screened.new_columns, before, until, position, families=families)
        refused = step.counts | ({FORGOTTEN: gone} if gone else {})
        return Commit(version=version, same=step.same, early=screened.early, refused=refused)

    def current(self) -> DatasetVersion | None:
        """The newest version; None before the first."""
        recent = self._at_hand()
        if recent is not None:
            return recent.version
        return self._noted(self._table.number) if self._table.exists() else None

    def recent(self, since: datetime) -> pl.DataFrame:
        """Rows of the newest version with time > `since`, with digests, in no certain order. They are held in memory;
        `remember` keeps them for the next process. Raises DataError before the first version."""
        found = self._at_hand()
        if found is None or not found.covers(since):
            version = self.version()
            begin = min(since, version.until - self._asked_again)
            found = self._recent = Recent(version, begin, self.read(version.id, since=begin, digests=True, sealed=True))
        elif found.since is not None and since - found.since > _SLACK:
            begin = min(since, found.version.until - self._asked_again)
            found = self._recent = found.cut(self.spec.time, begin)
        rows = found.rows if self.personal is None else self.personal.reveal_recent(found.rows, found.version)
        return rows.filter(pl.col(self.spec.time) > since)

    def remember(self) -> None:
        """Keep the newest rows beside the table, so that a process that finds nothing new need not open it."""
        mark = self._table.mark()
        if not mark:
            return
        recent = self._at_hand()
        if recent is None:
            version = self.version()
            self.recent(version.until - self._asked_again)
            recent = self._recent
        if recent is not None and recent is not self._kept:
            keep(self._folder, recent, mark)
            self._kept = recent

    def _at_hand(self) -> Recent | None:
        """The newest rows that are held or were kept, where they are of the newest version."""
        if self._table.opened:
            held = self._recent
            return held if held is not None and held.version.number == self._table.number else None
        mark = self._table.mark()
        if not mark:
            return None
        if self._recent is None or mark != self._mark:
            self._recent = self._kept = load(self._folder, mark)
            self._mark = mark
        return self._recent

    def versions(self) -> list[DatasetVersion]:
        """Every version, oldest first."""
        if not self._table.exists():
            return []
        numbers = {number for name, number in self._table.tags().items() if name.startswith("v-")}
        found = {version.id: version for version in map(self._noted, sorted(numbers))}
        newest = self._noted(self._table.number)
        return list((found | {newest.id: newest}).values())

    def version(self, name: str | None = None) -> DatasetVersion:
        """A version by tag, by id or by the beginning of its id (8 characters at least); the newest for None.

        Raises DataError that names the nearest one.
        """
        if not self._table.exists():
            raise DataError(f"dataset {self.spec.name!r} has no version yet", hint="collect it first")
        if name is None:
            return self._noted(self._table.number)
        number = self._table.number_of(name) if _TAG.match(name) else None
        if number is None and _ID.match(name):
            tags = [f"v-{name[:_SHORT]}"]
            if len(name) < _SHORT:
                tags = [tag for tag in self._table.tags() if tag.startswith(tags[0])]
            found = [self._noted(n) for n in (self._table.number_of(tag) for tag in tags) if n is not None]
            found = [version for version in [*found, self._noted(self._table.number)] if version.id.startswith(name)]
            number = found[0].number if len({version.id for version in found}) == 1 else None
        if number is None:
            raise self._unknown(name)
        return self._noted(number)

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
        order = [self.spec.time, *self.spec.key]
        fetched = [*wanted, *(name for name in order if name not in wanted), *([DIGEST] if digests else [])]
        opened = None if sealed else self.personal
        fetched += opened.needed(fetched) if opened is not None else []
        rows = self._table.read(found.number, columns=fetched, where=time_filter(self.spec.time, since, until))
        if opened is not None:
            rows = opened.reveal(rows, found, gone=gone)
        kept = [*wanted, *([DIGEST] if digests else [])]
        return in_order(rows, order).select(kept)

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

    def quarantined(self, limit: int = 100) -> Quarantined:
        """The rows that were refused so far: counts by reason, and the newest ones."""
        return self._quarantine.look(limit)

    def tag(self, name: str, version: str | None = None) -> DatasetVersion:
        """Give a version a name of one's own; naming again moves it. Raises DataError for a name that cannot be one."""
        if not _TAG.match(name) or name.startswith("v-"):
            raise DataError(
                f"{name!r} cannot name a version",
                hint="use letters, digits, '.', '-' and '_', not beginning with '.' or 'v-'",
            )
        found = self.version(version)
        with held(self._folder / "lock"):
            self._table.tag(name, found.number)
        return found

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

    def stored(self, before: DatasetVersion | None) -> dict[str, pl.DataType] | None:
        """The types of the columns that the newest version, `before`, has."""
        if before is None:
            return None
        recent = self._at_hand()
        types = self._table.schema() if recent is None else recent.rows.schema
        found = {name: types[name] for name in before.columns}
        return found if self.personal is None else self.personal.types(found, before)

    def _commit(
        self,
        step: Step,
        new_columns: Sequence[str],
        before: DatasetVersion | None,
        until: datetime,
        position: Position | None,
        *,
        families: dict[str, str],
    ) -> DatasetVersion:
        """Write one version: first columns it lacks (null, so the content stays), then rows and note at once, then what
        can be mended later: the tag, and joining small parts."""
        rows = pl.concat([step.added, step.completed])
        recent = None if new_columns else self._at_hand()
        identity, known = self._now_known(before).changed(rows, step.replaced)
        first, last = span(rows.get_column(self.spec.time))
        version = DatasetVersion(
            dataset=self.spec.name,
            id=identity,
            parent=before.id if before else None,
            rows=step.added.height + (before.rows if before else 0),
            added=step.added.height,
            completed=step.completed.height,
            until=max(until, before.until) if before else until,
            time_min=min(first, before.time_min) if before else first,
            time_max=max(last, before.time_max) if before else last,
            quarantined=self._quarantine.since(before.id if before else None),
            columns=tuple(name for name in rows.columns if name != DIGEST),
            new_columns=tuple(new_columns),
            cursor=self._positions.noted(position.cursor) if position is not None else "",
            asked_since=position.since if position is not None else None,
            personal=families_of(before, families),
        )
        note = canonical_json(version).decode()
        if new_columns:
            self._table.add_columns({name: rows.schema[name] for name in new_columns})
        if step.completed.is_empty():
            number = self._table.append(rows, note)
        else:
            number = self._table.replace(rows, self.spec.key, note)
        self._table.tag(_tag(version), number)
        for part_rows, most in _PARTS:
            if self._table.small_parts(part_rows) > most:
                number = self._table.compact(part_rows)
                self._table.tag(_tag(version), number)
        known.number = number
        self._known = known
        version = msgspec.structs.replace(version, number=number)
        self._recent = None if recent is None else recent.after(version, rows, step.replaced)
        return version

    def _mend(self) -> DatasetVersion | None:
        """The newest version, given the tag that a killed process may have left out."""
        version = self.current()
        if version is not None and not self._table.has_tag(_tag(version)):
            self._table.tag(_tag(version), version.number)
        return version

    def _now_known(self, before: DatasetVersion | None) -> Known:
        if before is None:
            return Known.nothing(self.spec.key)
        if self._known is None or self._known.number != self._table.number:
            self._known = Known.load(self._table, self.spec.key)
        return self._known

    def _noted(self, number: int) -> DatasetVersion:
        note = self._table.note(number)
        if note is None:
            raise DataError(f"{self._table.path} was not written by Trimtab: version {number} has no note")
        return msgspec.structs.replace(msgspec.json.decode(note, type=DatasetVersion), number=number)

    def _unknown(self, name: str) -> DataError:
        names = [tag.removeprefix("v-") for tag in self._table.tags()]
        near = get_close_matches(name[:_SHORT], names, n=1, cutoff=0.4) or sorted(names)[-1:]
        return DataError(
            f"dataset {self.spec.name!r} has no version {name!r}",
            hint=f"the nearest name is {near[0]!r}" if near else "",
        )


def _tag(version: DatasetVersion) -> str:
    return f"v-{version.id[:_SHORT]}"
