"""What makes versions: rows and note in one commit, exactly once, whoever else writes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl

from trimtab.data.intake import screen
from trimtab.data.port import DIGEST
from trimtab.data.quality.rules import WRONG_TYPE
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.media import keep_media
from trimtab.data.store.naming import Names
from trimtab.data.store.order import span
from trimtab.data.store.packs import Packs
from trimtab.data.store.personal import FORGOTTEN, Personal, families_of
from trimtab.data.store.quarantine import Quarantine
from trimtab.data.store.state import Commit, DatasetVersion, NothingReadableError
from trimtab.data.store.tables.failures import ConflictError
from trimtab.data.store.tables.table import Table
from trimtab.data.store.writing.collecting import Step, fold_in
from trimtab.data.store.writing.known import Known
from trimtab.data.store.writing.lock import held
from trimtab.data.store.writing.newest import Newest
from trimtab.data.store.writing.position import Position, Positions
from trimtab.data.store.writing.watch import Look, Watch
from trimtab.errors import TemporaryError
from trimtab.records.base import canonical_json

_PARTS = ((25_000, 32), (1_000_000, 128))
"""More parts than so many with fewer than so many rows are joined. Two sizes, because the parts that older versions are
made of are kept: what is joined over and over is stored over and over."""
_TELLING = 10
"""Rows that tell of a mistake when all of them are refused; fewer may be chance."""
_MOST_IN_RECENT = 50_000
"""A page of more rows is no news: what is held in memory of the newest rows is let go before it."""
_TRIES = 30
_PAUSE = 0.05

_T = TypeVar("_T")


class Writer:
    """Makes the versions of one table. Within `alone` this machine's other writers wait; one of another machine may
    commit in between, and what was begun is then done anew from its version on."""

    def __init__(
        self,
        spec: DatasetSpec,
        *,
        table: Table,
        names: Names,
        newest: Newest,
        quarantine: Quarantine,
        positions: Positions,
        packs: Packs,
        personal: Personal | None,
        watch: Watch,
        lock: Path,
        check: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._table = table
        self._names = names
        self._newest = newest
        self._quarantine = quarantine
        self._positions = positions
        self._packs = packs
        self._personal = personal
        self._watch = watch
        self._lock = lock
        self._check = check
        self._known: Known | None = None

    def alone(self, work: Callable[[DatasetVersion | None], _T]) -> _T:
        """Do something that commits, given the newest version; again where another writer was faster."""
        with held(self._lock):
            self._check()
            for attempt in range(_TRIES):
                try:
                    with self._table.held():
                        return work(self._mend())
                except ConflictError:
                    self._newest.forget()
                    if attempt == _TRIES - 1:
                        raise
                    # Two that met once would go on meeting; chance keeps them apart.
                    time.sleep(random.uniform(0, _PAUSE * 2 ** min(attempt, 6)))
        raise AssertionError("unreachable")

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
        is nothing. Only within `alone`."""
        if rows.is_empty():
            return None
        given = rows
        rows = keep_media(given, self._spec, self._packs)
        screened = screen(rows, self._spec, stored, until=until, now=now, digests=self._personal is None)
        families, gone = dict[str, str](), 0
        if self._personal is not None:
            screened, families, gone = self._personal.conceal(screened, now)
        recent = self._newest.at_hand()
        if recent is not None and screened.bad.is_empty() and recent.has(screened.good):
            return None
        if before is not None and self._table.number != before.number:
            raise ConflictError(f"another process is writing to {self._table.place.uri}", delay=1)
        step = fold_in(screened, self._spec, self._table, self._now_known(before))
        look = self._watch.look(rows, screened, step.added, before)
        self._quarantine.add(step.refused, parent=before.id if before else None, now=now)
        if step.added.is_empty() and step.completed.is_empty():
            if retyped := [change.in_words for change in look.changes if change.kind == "retyped"]:
                raise NothingReadableError(
                    f"dataset {self._spec.name!r}: {'; '.join(retyped)}, and no row is left",
                    hint=f"`trimtab data quarantine {self._spec.name}` shows them; mend the source",
                )
            if before is None and step.refused.height >= _TELLING and screened.good.is_empty() and not screened.early:
                raise self._nothing_taken(step)
            return None
        if rows.height > _MOST_IN_RECENT:
            self._newest.forget()
        version = self._commit(step, screened.new_columns, before, until, position, families=families, look=look)
        self._watch.keep(look)
        if self._spec.media and self._table.place.shared:  # another machine may have let go of contents meanwhile
            self._packs.refresh()
            keep_media(given, self._spec, self._packs)
        refused = step.counts | ({FORGOTTEN: gone} if gone else {})
        return Commit(version=version, same=step.same, early=screened.early, refused=refused, changes=look.changes)

    def _nothing_taken(self, step: Step) -> NothingReadableError:
        """For a first collection of which every row was refused: the commonest reason, and what mends it."""
        reason, count = max(step.counts.items(), key=lambda each: each[1])
        said = (
            f"dataset {self._spec.name!r}: all {step.refused.height:,} rows were refused, {count:,} of them as {reason}"
        )
        look = f"`trimtab data quarantine {self._spec.name}` shows them"
        if reason.startswith(f"{WRONG_TYPE}: {self._spec.time} "):
            look = f"a time is ISO 8601, such as 2013-01-31T17:05:00Z: write it so; {look}"
        return NothingReadableError(said, hint=look)

    def stored(self, before: DatasetVersion | None) -> dict[str, pl.DataType] | None:
        """The types of the columns that the newest version, `before`, has."""
        if before is None:
            return None
        recent = self._newest.at_hand()
        types = self._table.schema() if recent is None else recent.rows.schema
        found = {name: types[name] for name in before.columns}
        return found if self._personal is None else self._personal.types(found, before)

    def repeat(self, version: DatasetVersion, rows: pl.DataFrame, gone: pl.Series) -> None:
        """Make a version that was made elsewhere (`rows` came, those with the digests `gone` went), with the same note.
        Only within `alone`."""
        note = canonical_json(msgspec.structs.replace(version, number=0)).decode()
        types = rows.drop(DIGEST).schema
        if self._table.exists():
            have = self._table.schema()
            if more := {name: dtype for name, dtype in types.items() if name not in have}:
                self._table.add_columns(more)
            number = self._table.change(rows, gone, note)
        else:
            number = self._table.append(rows, note)
        self._settle(version, number, note)
        self._known = None
        self._newest.forget()

    def _commit(
        self,
        step: Step,
        new_columns: Sequence[str],
        before: DatasetVersion | None,
        until: datetime,
        position: Position | None,
        *,
        families: dict[str, str],
        look: Look,
    ) -> DatasetVersion:
        """Write one version: first columns it lacks (null, so the content stays), then rows and note at once, then what
        can be mended later: the tag, and joining small parts."""
        rows = pl.concat([step.added, step.completed])
        recent = None if new_columns else self._newest.at_hand()
        identity, known = self._now_known(before).changed(rows, step.replaced)
        first, last = span(rows.get_column(self._spec.time))
        version = DatasetVersion(
            dataset=self._spec.name,
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
            changes=look.changes,
            troubled=look.troubled,
        )
        note = canonical_json(version).decode()
        if before is not None:
            self._name(before)  # a page before this one may have found the disk full
        if new_columns:
            self._table.add_columns({name: rows.schema[name] for name in new_columns})
        if step.completed.is_empty():
            number = self._table.append(rows, note)
        else:
            number = self._table.replace(rows, self._spec.key, step.replaced, note)
        self._quarantine.accounted()
        number = self._settle(version, number, note)
        known.number = number
        self._known = known
        version = msgspec.structs.replace(version, number=number)
        self._newest.follow(recent, version, rows, step.replaced)
        return version

    def _settle(self, version: DatasetVersion, number: int, note: str) -> int:
        """Name what was committed, and join small parts; the version's number then. It is committed: where the disk is
        full or another writer is at it, the next commit does the rest."""
        with suppress(TemporaryError):
            self._names.keep(version, number)
            for part_rows, most in _PARTS:
                if self._table.small_parts(part_rows) > most:
                    number = self._table.compact(part_rows, note)
                    self._names.keep(version, number)
        return number

    def _mend(self) -> DatasetVersion | None:
        """The newest version, given the tag that a killed process may have left out."""
        recent = self._newest.at_hand()
        if recent is not None:
            version = recent.version
        elif self._table.exists():
            version = self._names.newest()
        else:
            return None
        self._name(version)
        return version

    def _name(self, version: DatasetVersion) -> None:
        if not self._table.has_tag(self._names.own(version)):
            self._names.keep(version, version.number)

    def _now_known(self, before: DatasetVersion | None) -> Known:
        if before is None:
            return Known.nothing(self._spec.key)
        if self._known is None or self._known.number != self._table.number:
            self._known = Known.load(self._table, self._spec.key)
        return self._known
