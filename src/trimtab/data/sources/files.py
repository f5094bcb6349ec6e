"""Rows from files: read in pieces, each file once, until it changes.

What was read of each file is the cursor. A file whose size, time or place on disk has changed is looked at again: text
that still begins with what was read is read on from there, any other file from its beginning; rows that are stored are
known by their key. What is half written stays for a later reading, and is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from trimtab.data.port import PAGE_BYTES, DataError, Page, in_one_frame
from trimtab.data.sources.formats import Format, format_of
from trimtab.data.sources.listing import Found, LocalShelf, Shelf
from trimtab.data.sources.pieces import pieces
from trimtab.data.sources.reading import Piece, Reading, Unfinished
from trimtab.data.sources.seen import Memory, Seen
from trimtab.data.sources.text_pieces import grown
from trimtab.data.spec import DatasetSpec
from trimtab.errors import TemporaryError, TrimtabError

_PIECES = 3
"""Pieces that a page is made of: rows of text take about so much more memory than the text."""


class FileSource:
    """CSV, JSON, NDJSON, Parquet and Arrow files that a path or glob names. Files may differ in columns; a column that
    a file lacks is null there. Cells of text are read one by one as the types of the store, else as those that the
    first rows suggest."""

    def __init__(
        self, spec: DatasetSpec, folder: Path, *, page_bytes: int = PAGE_BYTES, shelf: Shelf | None = None
    ) -> None:
        """`shelf` is where the files lie, if not on this machine."""
        self._spec, self._page_bytes = spec, page_bytes
        self._shelf = shelf or LocalShelf(spec, folder)
        self._reading = Reading(spec, max(256, page_bytes // _PIECES))

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """Read cells of text as these types from now on."""
        self._reading.expected = dict(schema)

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        """All rows of the span at once."""
        return in_one_frame(self, since, until, time=self._spec.time)

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        """Rows of the files that have not been read, or have changed; what a cursor holds, `since` need not say."""
        del since
        upto = round(until.timestamp() * 1e6)
        files, memory = self._shelf.listed(), Memory(cursor)
        gone = memory.forget_all_but([found.name for found in files])
        if gone:
            self._reading.note(f"{gone} files that were read before are gone; their rows stay")
        whole, behind, wrong = max(1, sum(found.size for found in files)), 0, list[TrimtabError]()
        gathered = _Gathered(self._page_bytes)
        for found in files:
            if self._is_due(memory.of(found.name), found, upto):
                try:
                    with self._shelf.at_hand(found) as here:
                        seen = self._begun(here, memory, upto)
                        try:
                            for piece in pieces(here, self._format(here), seen, self._reading, upto):
                                rows = self._asked_for(piece, seen, upto)
                                gathered.saw(piece.rows)
                                if rows is not None and not gathered.fits(rows):
                                    yield self._page(gathered, memory, behind / whole)
                                memory.put(found.name, self._passed(piece, seen, upto))
                                if rows is not None and gathered.add(rows):
                                    yield self._page(gathered, memory, (behind + min(piece.end, found.size)) / whole)
                            seen.finish(found.mark)
                            memory.put(found.name, seen)
                        except Unfinished as error:
                            self._left(found, seen, memory, error, wrong)
                except TrimtabError as error:
                    wrong.append(self._named(found, error))
            behind += found.size
        if gathered.rows or self._reading.said or memory.cursor != cursor:
            yield self._page(gathered, memory, 1.0)
        if wrong:
            raise wrong[0]

    def _page(self, gathered: _Gathered, memory: Memory, share: float) -> Page:
        said, self._reading.said = tuple(self._reading.said), []
        return Page(rows=gathered.out(), cursor=memory.cursor, share=min(1.0, share), notes=said)

    def _format(self, found: Found) -> Format:
        return format_of(found.name) or format_of(self._spec.source) or Format("csv")

    def _is_due(self, seen: Seen | None, found: Found, upto: int) -> bool:
        """Whether a file has to be read now: it is new or changed, or rows were left in it that are out by now."""
        if seen is None or seen.mark != found.mark or not seen.done:
            return True
        return seen.later is not None and seen.later <= upto

    def _begun(self, found: Found, memory: Memory, upto: int) -> Seen:
        """What is known of a file that is read now, at the beginning of a pass or in the middle of one."""
        seen = memory.of(found.name)
        if seen is None:
            return _begun(found, upto)
        if seen.mark != found.mark:
            try:
                if not grown(found, self._format(found), seen, self._reading):
                    return _begun(found, upto)
            except (TrimtabError, Unfinished):
                return _begun(found, upto)  # the pass says what is wrong
        if seen.done:
            again = seen.later is not None and seen.later <= upto
            seen.begin(seen.start if again else seen.at, upto)
        else:
            seen.now_given = min(seen.now_given, upto)
        seen.mark = found.mark
        return seen

    def _asked_for(self, piece: Piece, seen: Seen, upto: int) -> pl.DataFrame | None:
        """The rows of a piece that are out, and were not given by a pass before."""
        rows = piece.rows
        if rows is None or rows.is_empty():
            return None
        if self._spec.time not in rows.columns:
            return rows  # lines that are no rows
        time = pl.col(self._spec.time).dt.timestamp("us") if rows.schema[self._spec.time].is_temporal() else None
        if time is None:  # all of it is null
            return rows
        asked = (time <= upto) | time.is_null()
        if piece.end <= seen.passed:
            asked = (time <= upto) & (time > seen.given)
        kept = rows.filter(asked)
        return kept if kept.height else None

    def _passed(self, piece: Piece, seen: Seen, upto: int) -> Seen:
        """What is known of a file behind a piece."""
        later = piece.later
        if piece.rows is not None and piece.rows.height and self._spec.time in piece.rows.columns:
            column = piece.rows.get_column(self._spec.time)
            after = column.filter(column.dt.timestamp("us") > upto) if column.dtype.is_temporal() else column.clear()
            later = int(after.dt.timestamp("us").min()) if len(after) else None  # type: ignore[arg-type]
        if later is not None:
            seen.left(later, piece.begin)
        seen.at, seen.digest = piece.end, piece.digest
        return seen

    def _left(self, found: Found, seen: Seen, memory: Memory, error: Unfinished, wrong: list[TrimtabError]) -> None:
        """A file that ends too early: wait while somebody may be writing it, and say so; else it is damaged."""
        if seen.at:
            seen.finish("")  # what comes behind it is looked for again
            memory.put(found.name, seen)
        if found.fresh:
            self._reading.note(f"{found.name} is left for later: {error}, and it was written to a moment ago")
            return
        hint = "it is half written or damaged; put it right or move it away. Other files were collected"
        wrong.append(self._named(found, DataError(str(error), hint=hint)))

    def _named(self, found: Found, error: TrimtabError) -> TrimtabError:
        message = error.message
        if not message.startswith("dataset "):
            message = f"dataset {self._spec.name!r}: {found.path} cannot be read: {message}"
        if isinstance(error, TemporaryError):
            return TemporaryError(message, delay=error.delay, hint=error.hint)
        told = DataError(message, hint=error.hint)
        told.__cause__ = error
        return told


class _Gathered:
    """The rows of a page that is being put together, of several small files or of a piece of a large one."""

    def __init__(self, size: int) -> None:
        self._size, self._bytes = size, 0
        self._nothing = pl.DataFrame()
        self.rows: list[pl.DataFrame] = []

    def saw(self, rows: pl.DataFrame | None) -> None:
        """Remember what columns there are, for a page in which none of their rows is asked for."""
        if rows is not None and rows.width >= self._nothing.width:
            self._nothing = rows.clear()

    def fits(self, rows: pl.DataFrame) -> bool:
        """Whether the columns that they share are of the same types."""
        if not self.rows:
            return True
        have = self.rows[-1].schema
        return all(
            have[name] == dtype or pl.Null() in (dtype, have[name])
            for name, dtype in rows.schema.items()
            if name in have
        )

    def add(self, rows: pl.DataFrame) -> bool:
        """Add rows; says whether the page is full."""
        self.rows.append(rows)
        self._bytes += int(rows.estimated_size())
        return self._bytes >= self._size

    def out(self) -> pl.DataFrame:
        """All of them, and begin anew."""
        rows = pl.concat(self.rows, how="diagonal_relaxed") if self.rows else self._nothing
        self.rows, self._bytes = [], 0
        return rows


def _begun(found: Found, upto: int) -> Seen:
    seen = Seen(mark=found.mark)
    seen.begin(0, upto)
    return seen
