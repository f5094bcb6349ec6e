"""Rows from the pages of a JSON interface over HTTP, read on from the page that was committed last."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec
import polars as pl
from blake3 import blake3

from trimtab.adapters.http.asking import Answer, Asking, Secrets, shown, with_parameters
from trimtab.adapters.http.kind import HttpOptions
from trimtab.data.port import DataError, Page, in_one_frame
from trimtab.data.sources.patience import Waiting
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.untyped import as_frame, within
from trimtab.errors import TrimtabError
from trimtab.records.base import Record, canonical_json

Place = str | int | None
"""Which page: a cursor, a link, an offset or a number; None for the first."""

_PARAMETERS = {"cursor": "cursor", "offset": "offset", "number": "page"}


class _At(Record):
    """Where a reading stands. It began at `since`, as `of` was declared, asks for rows up to `until`, and goes on at
    `place` unless it is `done`. The next reading may begin at `rest`."""

    of: str
    since: datetime | None
    until: datetime
    place: Place = None
    rest: Place = None
    rests: bool = False
    done: bool = False


def open_pages(spec: DatasetSpec, _folder: Path) -> HttpPages:
    """The source of a dataset that lies behind an address; secrets are read from the environment when it is asked."""
    return HttpPages(spec, environment=os.environ)


class HttpPages:
    """Each answer is a page. Tables in a row become columns `outer_inner`, lists JSON text.

    A reading that was broken off goes on at the page after the last one that was committed. A new one begins anew: with
    `since_parameter` it asks for what it needs; with `appends` it begins at the first page that held a row which it
    must see again; else every page is asked for, and rows that are stored already are known by their key.
    """

    def __init__(self, spec: DatasetSpec, *, environment: Mapping[str, str], waiting: Waiting | None = None) -> None:
        self._spec = spec
        self._options = msgspec.convert(dict(spec.options), HttpOptions)
        self._environment = environment
        self._waiting = waiting
        self._expected: dict[str, pl.DataType] = {}
        declared = canonical_json([spec.source, spec.time, spec.options])
        self._of = blake3(declared).hexdigest()[:12]
        self._again = timedelta(seconds=max(0.0, spec.known_after, spec.late))

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        self._expected = dict(schema)

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        return in_one_frame(self, since, until)

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        at = self._understood(cursor)
        if at is None or at.since != since:
            begun = at.rest if at is not None and at.rests and self._options.appends else None
            at = _At(of=self._of, since=since, until=until, place=begun)
        with closing(self._opened()) as asking:
            if not at.done:
                yield from self._read(asking, at)
            if at.until < until:  # the pages before may have held rows that were too late for the former span
                yield from self._read(asking, _At(of=self._of, since=since, until=until))

    def _read(self, asking: Asking, at: _At) -> Iterator[Page]:
        seen: set[Place] = set()
        while not at.done:
            if at.place in seen:
                raise DataError(
                    f"dataset {self._spec.name!r}: {shown(self._spec.source)} gives the same page again after "
                    f"{len(seen)} pages",
                    hint="look at `pages` and `next` in options",
                )
            seen.add(at.place)
            answer = self._asked(asking, at)
            rows = self._rows(answer)
            frame = as_frame(rows, self._spec, self._expected, columns=self._expected if rows else ())
            following = self._following(asking, answer, at.place, len(rows))
            at = self._behind(at, frame, following)
            yield Page(rows=self._given(frame, at.until), cursor=canonical_json(at).decode())

    def _given(self, frame: pl.DataFrame, until: datetime) -> pl.DataFrame:
        return within(frame, self._spec.time, until) if self._spec.time in frame.columns else frame

    def _behind(self, at: _At, frame: pl.DataFrame, following: Place) -> _At:
        """Where the reading stands after this page, which is the one to rest at when it holds a row that a later
        reading must see, or when rows may still be added to it."""
        newest = frame.get_column(self._spec.time).max() if self._spec.time in frame.columns else None
        must_see = isinstance(newest, datetime) and newest > at.until - self._again
        if not at.rests and (must_see or (following is None and frame.height > 0)):
            at = msgspec.structs.replace(at, rest=at.place, rests=True)
        elif not at.rests and frame.height:
            at = msgspec.structs.replace(at, rest=at.place)  # the last page with rows, if no other follows
        if following is None:
            return msgspec.structs.replace(at, place=None, done=True, rests=True)
        return msgspec.structs.replace(at, place=following)

    def _asked(self, asking: Asking, at: _At) -> Answer:
        try:
            return asking.get(self._address(at))
        except TrimtabError as error:
            error.message = f"dataset {self._spec.name!r}: {error.message}"
            raise

    def _address(self, at: _At) -> str:
        options = self._options
        if options.pages == "link" and isinstance(at.place, str):
            return at.place
        parameters = dict[str, str]()
        if options.since_parameter and at.since is not None:
            parameters[options.since_parameter] = self._moment(at.since)
        if options.until_parameter:
            parameters[options.until_parameter] = self._moment(at.until)
        if options.page_size is not None:
            parameters[options.size_parameter] = str(options.page_size)
        if options.pages in _PARAMETERS and at.place is not None:
            parameters[options.parameter or _PARAMETERS[options.pages]] = str(at.place)
        return with_parameters(self._spec.source, parameters)

    def _moment(self, moment: datetime) -> str:
        match self._options.moments:
            case "unix":
                return f"{moment.timestamp():.6f}".rstrip("0").rstrip(".")
            case "unix_ms":
                return str(int(moment.timestamp() * 1000))
            case _:
                return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def _following(self, asking: Asking, answer: Answer, place: Place, rows: int) -> Place:
        """The next page; None where this is the last. Offsets and numbers end at a page without rows: a short page may
        only mean that the server gives fewer than it was asked for."""
        options = self._options
        found = self._at_path(answer.content, options.next) if options.next else answer.next
        if options.pages == "cursor" and isinstance(found, str | int) and not isinstance(found, bool):
            return None if found == "" else found
        if options.pages == "link" and isinstance(found, str) and found:
            here = place if isinstance(place, str) else self._spec.source
            return asking.without_secrets(urljoin(here, found))
        if options.pages == "offset" and rows:
            return (place if isinstance(place, int) else 0) + rows
        if options.pages == "number" and rows:
            return (place if isinstance(place, int) else options.first) + 1
        return None

    def _rows(self, answer: Answer) -> list[dict[str, Any]]:
        content, items = answer.content, self._options.items
        found = self._at_path(content, items) if items else content
        if found is None and (content is None or items):
            found = [] if content is None or self._names_nothing(content, items) else found
        if not isinstance(found, list):
            has = f"; it has {', '.join(sorted(content)[:20])}" if isinstance(content, dict) else ""
            raise DataError(
                f"dataset {self._spec.name!r}: the answer of {shown(self._spec.source)} has no list"
                f"{f' at {items!r}' if items else ''}{has}",
                hint='say where the rows are, such as items = "data.items", in options',
            )
        for row in found:
            if not isinstance(row, dict):
                raise DataError(
                    f"dataset {self._spec.name!r}: a row of {shown(self._spec.source)} is no table of cells"
                )
        return [self._row(row) for row in found]

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        flat = spread(row)
        if self._options.moments != "iso":
            found = flat.get(self._spec.time)
            if isinstance(found, int | float) and not isinstance(found, bool):
                flat[self._spec.time] = _instant(found, 1.0 if self._options.moments == "unix" else 1000.0)
        return flat

    def _names_nothing(self, content: Any, path: str) -> bool:
        """Whether the path leads to a null that is there: an empty list, as some interfaces write it."""
        parent, _, last = path.rpartition(".")
        holder = self._at_path(content, parent) if parent else content
        return isinstance(holder, dict) and last in holder

    def _at_path(self, content: Any, path: str) -> Any:
        for name in path.split("."):
            content = content.get(name) if isinstance(content, dict) else None
        return content

    def _understood(self, cursor: str) -> _At | None:
        try:
            at = msgspec.json.decode(cursor, type=_At)
        except msgspec.MsgspecError:
            return None
        return at if at.of == self._of else None

    def _opened(self) -> Asking:
        try:
            secrets = Secrets.of(self._options, self._environment)
        except DataError as error:
            raise DataError(f"dataset {self._spec.name!r}: {error.message}", hint=error.hint) from error
        return Asking(self._spec.source, self._options, secrets, self._waiting)


def spread(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A row with the cells of inner tables as columns of their own, `outer_inner`; a column that is there wins."""
    flat, inner = dict[str, Any](), dict[str, Any]()
    for name, value in row.items():
        if isinstance(value, dict) and value:
            inner |= spread(value, f"{before}{name}_")
        else:
            flat[before + name] = value
    return inner | flat


def _instant(number: float, scale: float) -> datetime | str:
    try:
        return datetime.fromtimestamp(number / scale, UTC)
    except (OverflowError, OSError, ValueError):
        return str(number)
