"""The ledger: the durable, append-only record of every fact.

What it promises:

* A fact whose `append` returned is on disk: neither a killed process nor a power cut takes it back (see
  `Ledger.open`). A fact whose `append` did not return stands whole or not at all.
* One key, one fact. Appending the same again changes nothing; another fact under the same key is refused.
* Entries are numbered from 1 without a gap and never change: the database itself refuses updates and deletes, and each
  entry carries a digest chained to all before it, so that a change made behind the database's back is found.
* Several processes may read and append at once; they wait for one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self, overload

from sqlalchemy import ColumnElement, Executable, bindparam, func, insert, select

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.database import Database
from trimtab.records.fact import Fact
from trimtab.records.facts import AnyFact
from trimtab.records.journal import (
    GENESIS,
    Draft,
    Entry,
    F,
    Line,
    chained,
    comparable,
    difference,
    kind_of,
    read,
    same_fact,
    write,
)
from trimtab.records.schema import facts, leases

__all__ = ["Draft", "Entry", "Ledger", "LedgerConflict", "StaleFence", "comparable"]

_PAGE = 500

_line = (facts.c.seq, facts.c.key, facts.c.at, facts.c.kind, facts.c.fact, facts.c.measured, facts.c.chain)
_insert = insert(facts)
_head = select(facts.c.seq, facts.c.chain).order_by(facts.c.seq.desc()).limit(1)
_by_key = select(*_line).where(facts.c.key == bindparam("key"))
_fence = select(leases.c.name).where(leases.c.token == bindparam("token"), leases.c.holder != "")
_onward = select(*_line).where(facts.c.seq > bindparam("after")).order_by(facts.c.seq).limit(_PAGE)


class LedgerConflict(PermanentError):  # noqa: N818 - it says what happened
    """Another fact already stands under the key."""


class StaleFence(TemporaryError):  # noqa: N818 - it says what happened
    """The lease whose token was given is no longer held: someone else leads, and what was to be written is not."""


class Ledger:
    """See the module. Made by `Ledger.open`; a context manager that closes."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._statements: dict[tuple[int, bool, bool], Executable] = {}
        self._fence: int | None = None

    @classmethod
    def open(
        cls, path: Path | None, create: bool = True, *, wait: float = 30.0, survive_power_cut: bool = True
    ) -> Self:
        """The ledger at `path`, or a new one in memory (None), which only this thread may use.

        With `create` false a missing ledger is a PermanentError. `wait` is how many seconds to stand in line for the
        write lock. Every write is flushed to disk before it returns; without `survive_power_cut` a killed process still
        loses nothing, but a power cut may take the last seconds (always the newest entries, never one from between):
        good for a replay that can be run again.

        Raises PermanentError when the file is no ledger, is corrupt, or was written by a newer Trimtab.
        """
        return cls(Database(path, create=create, wait=wait, survive_power_cut=survive_power_cut))

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def fenced(self, token: int) -> Iterator[None]:
        """Within it every write through this object is refused (StaleFence) once the lease of `token` was lost."""
        before, self._fence = self._fence, token
        try:
            yield
        finally:
            self._fence = before

    def append(
        self,
        key: str,
        fact: AnyFact,
        *,
        at: datetime,
        measured: dict[str, float] | None = None,
        fence: int | None = None,
    ) -> bool:
        """Write a fact under its key. True when it was written, False when the very same already stands there (then
        `at` and `measured` are those of the first time).

        `fence` is the token of a lease: the write is refused when that lease was lost (StaleFence). Raises
        LedgerConflict when another fact stands under the key, PermanentError when the fact cannot be written as JSON
        (NaN, a moment without a zone), TemporaryError when the ledger stays locked.
        """
        return self.append_all([Draft(key=key, fact=fact, at=at, measured=measured or {})], fence=fence)[0]

    def append_all(self, drafts: Iterable[Draft], *, fence: int | None = None) -> list[bool]:
        """Write several facts, all or none, with one flush. Returns and raises as `append`, one answer a draft."""
        fence = self._fence if fence is None else fence
        stored = [write(draft) for draft in drafts]
        written: list[bool] = []
        with self.database.writing():
            if fence is not None and self.database.first(_fence, {"token": fence}) is None:
                raise StaleFence(f"lease token {fence} is no longer held: nothing was written", delay=0.0)
            seq, chain = self.head()
            for key, at, kind, fact, measured in stored:
                standing = self.database.first(_by_key, {"key": key})
                if standing is not None:
                    _same_or_refuse(Line(*standing), fact)
                    written.append(False)
                    continue
                seq += 1
                chain = chained(chain, seq=seq, key=key, at=at, kind=kind, fact=fact, measured=measured)
                row = {
                    "seq": seq,
                    "key": key,
                    "at": at,
                    "kind": kind,
                    "fact": fact,
                    "measured": measured,
                    "chain": chain,
                }
                self.database.change(_insert, row)
                written.append(True)
        return written

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, None when there is none."""
        row = self.database.first(_by_key, {"key": key})
        return None if row is None else read(Line(*row))

    @overload
    def entries(
        self,
        kind: None = None,
        *,
        prefix: str = "",
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Entry]: ...
    @overload
    def entries(
        self,
        kind: type[F] | tuple[type[F], ...],
        *,
        prefix: str = "",
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Entry[F]]: ...
    def entries(
        self,
        kind: type[Fact] | tuple[type[Fact], ...] | None = None,
        *,
        prefix: str = "",
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> Iterator[Entry[Any]]:
        """Entries in the order they were written (or the reverse): of these kinds, with a key that starts with
        `prefix`, with a seq above `after`, `limit` at most.

        Those that stand when the iteration begins; what is appended meanwhile is not among them.
        """
        kinds = _kinds(kind)
        statement = self._statement(len(kinds), bool(prefix), newest_first)
        top = self.head()[0]
        left = top if limit is None else limit
        values: dict[str, Any] = {"kinds": kinds, "from": prefix, "below": _above(prefix), "after": after, "until": top}
        while left > 0:
            page = min(left, _PAGE)
            rows = self.database.rows(statement, {**values, "page": page})
            for row in rows:
                yield read(Line(*row))
            if len(rows) < page:
                return
            left -= page
            values |= {"until": rows[-1][0] - 1} if newest_first else {"after": rows[-1][0]}

    @overload
    def last(self, kind: None = None, prefix: str = "") -> Entry | None: ...
    @overload
    def last(self, kind: type[F] | tuple[type[F], ...], prefix: str = "") -> Entry[F] | None: ...
    def last(self, kind: type[Fact] | tuple[type[Fact], ...] | None = None, prefix: str = "") -> Entry[Any] | None:
        """The newest entry of these kinds whose key starts with `prefix`, None when there is none."""
        kinds = _kinds(kind)
        statement = self._statement(len(kinds), bool(prefix), True)
        values = {"kinds": kinds, "from": prefix, "below": _above(prefix), "after": 0, "until": 2**62, "page": 1}
        row = self.database.first(statement, values)
        return None if row is None else read(Line(*row))

    def count(self, kind: type[Fact] | tuple[type[Fact], ...] | None = None, prefix: str = "") -> int:
        """How many entries there are of these kinds whose key starts with `prefix`."""
        kinds = _kinds(kind)
        if not kinds and not prefix:
            return self.head()[0]
        values = {"kinds": kinds, "from": prefix, "below": _above(prefix)}
        row = self.database.first(select(func.count()).where(*_conditions(bool(kinds), bool(prefix))), values)
        return 0 if row is None else int(row[0])

    def head(self) -> tuple[int, str]:
        """The newest entry's seq and chain. Kept elsewhere, it later proves by `verify` that nothing was cut off."""
        row = self.database.first(_head)
        return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))

    def verify(self, anchor: tuple[int, str] | None = None) -> int | None:
        """The first seq at which the chain of digests is broken (changed, missing or foreign), None when it holds.

        `anchor` is an earlier `head()`: the ledger must still hold exactly that entry.
        """
        seq, chain = 0, GENESIS
        while rows := self.database.rows(_onward, {"after": seq}):
            for row in rows:
                line = Line(*row)
                seq += 1
                if bytes in map(type, row):  # SQLite lets a text be overwritten by raw bytes
                    return seq
                chain = chained(
                    chain, seq=seq, key=line.key, at=line.at, kind=line.kind, fact=line.fact, measured=line.measured
                )
                if line.seq != seq or line.chain != chain:
                    return seq
                if anchor is not None and seq == anchor[0] and chain != anchor[1]:
                    return seq
        return seq + 1 if anchor is not None and anchor[0] > seq else None

    def _statement(self, kinds: int, prefix: bool, newest_first: bool) -> Executable:
        shape = (min(kinds, 1), prefix, newest_first)
        if shape not in self._statements:
            order = facts.c.seq.desc() if newest_first else facts.c.seq.asc()
            conditions = [facts.c.seq > bindparam("after"), facts.c.seq <= bindparam("until")]
            conditions += _conditions(kinds > 0, prefix)
            self._statements[shape] = select(*_line).where(*conditions).order_by(order).limit(bindparam("page"))
        return self._statements[shape]


def _same_or_refuse(standing: Line, refused: str) -> None:
    if same_fact(standing.fact, refused):
        return
    there = read(standing)
    other = read(Line(standing.seq, standing.key, standing.at, standing.kind, refused, "", "")).fact
    raise LedgerConflict(
        f"`{standing.key}` already holds {difference(there.fact, other)} (entry {there.seq})",
        hint="a fact is written once; a new one needs a key of its own",
    )


def _conditions(kinds: bool, prefix: bool) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if kinds:
        conditions.append(facts.c.kind.in_(bindparam("kinds", expanding=True)))
    if prefix:
        conditions += [facts.c.key >= bindparam("from"), facts.c.key < bindparam("below")]
    return conditions


def _kinds(kind: type[Fact] | tuple[type[Fact], ...] | None) -> list[str]:
    if kind is None:
        return []
    return [kind_of(each) for each in kind] if isinstance(kind, tuple) else [kind_of(kind)]


def _above(prefix: str) -> str:
    """The least text above all that start with `prefix`, in the order of code points."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""
