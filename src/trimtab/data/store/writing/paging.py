"""Collecting from a source of pages: each page is one commit of rows and cursor, so a kill costs a page at most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import polars as pl

from trimtab.data.port import PagedSource
from trimtab.data.store.state import Commit, DatasetVersion, NothingReadableError, Taken, all_of
from trimtab.data.store.writing.position import Position, Positions

Schema = dict[str, pl.DataType]


class Taker(Protocol):
    """What makes a version of some rows."""

    def take(
        self,
        rows: pl.DataFrame,
        before: DatasetVersion | None,
        stored: Schema | None,
        *,
        until: datetime,
        now: datetime,
        position: Position,
    ) -> Commit | None:
        """Commit what is new in these rows, with the position behind them; None where nothing is."""
        ...

    def stored(self, version: DatasetVersion | None) -> Schema | None:
        """The types of the columns that a version has; None for None."""
        ...


def collect_pages(
    source: PagedSource,
    taker: Taker,
    positions: Positions,
    before: DatasetVersion | None,
    *,
    until: datetime,
    now: datetime,
    asked_again: timedelta,
    told: Callable[[Taken], None] | None = None,
) -> Commit | None:
    """Read on from where the newest version stands, up to `until`; None when nothing is new.

    A reading that had come to its end is followed by one that asks for rows after `asked_again` before that end. Where
    the last one could read none of what came, and the source has nothing else, that is raised again: it still holds.
    """
    at = positions.of(before)
    standing = NothingReadableError(at.wrong, hint=at.hint) if at.wrong else None
    if at.ended and at.until is not None and until <= at.until:
        if standing is not None:
            raise standing
        return None
    since = at.since
    if at.ended:
        since = at.until - asked_again if at.until is not None else None
    wrong: NothingReadableError | None = None
    commits, taken = list[Commit](), Taken(pages=0, rows=0, added=0)
    stored = taker.stored(before)
    if stored is not None:
        source.expect(stored)
    for page in source.pages(at.cursor, since, until):
        standing = None
        version = before.id if before is not None else ""
        at = Position(cursor=page.cursor, until=until, since=since, ended=False, version=version)
        commit = None
        try:
            commit = taker.take(page.rows, before, stored, until=until, now=now, position=at)
        except NothingReadableError as error:  # the pages after it are read all the same
            wrong = wrong or error
        if commit is None:
            positions.move(_with(at, wrong))
        else:
            commits.append(commit)
            before = commit.version
            at = msgspec.structs.replace(at, version=before.id)
            if stored is None or before.new_columns:
                stored = taker.stored(before)
                source.expect(stored or {})
        taken = Taken(
            pages=taken.pages + 1,
            rows=taken.rows + page.rows.height,
            added=taken.added + (commit.version.added if commit is not None else 0),
            share=page.share,
            notes=page.notes,
        )
        if told is not None:
            told(taken)
    if not at.ended:
        positions.move(msgspec.structs.replace(_with(at, wrong), until=until, ended=True))
    left = wrong or standing
    if left is not None:
        raise left
    return all_of(commits)


def _with(at: Position, wrong: NothingReadableError | None) -> Position:
    """The position, with what was wrong on the way to it."""
    return at if wrong is None else msgspec.structs.replace(at, wrong=wrong.message, hint=wrong.hint)
