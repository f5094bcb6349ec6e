"""The port for outside data: what a source of rows promises, and the errors of this stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from trimtab.errors import PermanentError

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.spec import DatasetSpec

UNREAD = "_unread"
"""Column of a fetched frame with the original text, as JSON, of the cells of a row that could not be read as their
column's type; those cells are null. Present only where there are any."""

DIGEST = "_digest"
"""Column of a stored frame with the blake3 digest of each row, 32 bytes."""


class DataError(PermanentError):
    """The data, or the store that keeps it, is not what it must be."""


PAGE_BYTES = 24 * 2**20
"""About how much memory the rows of one page may take; what a source reads in one go stays near it."""


class ColumnMissingError(DataError):
    """Rows lack a column that the declaration names."""

    def __init__(self, column: str, role: str, columns: Sequence[str]) -> None:
        super().__init__(f"it has no column {column!r} ({role})", hint=f"the columns are {', '.join(columns)}")
        self.column = column
        self.role = role
        self.columns = tuple(columns)


class Source(Protocol):
    """Where the rows of one dataset come from.

    Guarantees an implementation gives:
    - `fetch` has no effect: the same span may be asked for again, and gives the same rows unless the world changed;
    - all instants are `Datetime("us", "UTC")`;
    - a row that can be read in part is handed on, with what could not be read in the column `_unread`;
    - what cannot be had at all raises: `TemporaryError` where trying again may help, else another `TrimtabError`
      that names the file, the address, or the file and line of the user's code.
    """

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        """Rows with since < time <= until, in any order; may be empty. Both bounds are timezone-aware."""
        ...

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """From now on read cells that have no type of their own (text files) as these types."""
        ...


@dataclass(frozen=True)
class Page:
    """Some rows, and where reading goes on after them.

    `cursor` is text that only its source understands; what is not much longer than a list of names is small enough.
    `share` is how much of what is to be read lies behind, from 0 to 1, where that is known. `notes` are for people: one
    line each on what was left for a later reading, and why.
    """

    rows: pl.DataFrame
    cursor: str
    share: float | None = None
    notes: tuple[str, ...] = ()


@runtime_checkable
class PagedSource(Source, Protocol):
    """A source that may hold more than fits in memory, and that knows what it has given.

    The rows of a page and its cursor are committed at once. After a `kill -9` reading goes on at the newest cursor that
    was committed; once a reading has come to its end, the next one goes on at its last cursor. Guarantees:
    - `pages(cursor, ...)` gives every row with time <= `until` that was not given before `cursor`, and none of them
      twice; rows given before may come again: they are known by their key, and cost only time;
    - the empty cursor is the beginning, and so is a cursor that the source does not know (another version wrote it);
    - a row later than `until` is not given, and is given by a later reading that asks for it. One whose time cannot be
      read is given: it is refused by name;
    - pages take about PAGE_BYTES of memory each, however much there is; one without rows may move the cursor on;
    - nothing is done, and nothing asked for, before the iterator is asked for its first page;
    - what fails in the middle raises as `fetch` does: the pages given before it stay good.
    """

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        """Read on from `cursor`. `since` is for sources that go by time: everything up to it was collected by readings
        that came to their end (None: none did), and rows after it must be given again, as they may have been completed
        or have come late. It is the same until a reading has come to its end; a source that sees changes in another way
        need not look at it."""
        ...


def in_one_frame(
    source: PagedSource, since: datetime | None, until: datetime, *, time: str | None = None
) -> pl.DataFrame:
    """What `fetch` of a source of pages may be: all its pages together, with since < time <= until left to the source,
    but for rows up to `since` where `time` names the column that tells. For those who need every row at once and have
    the memory for it."""
    import polars as pl  # here: the port is imported by verbs that touch no rows

    frames = [page.rows for page in source.pages("", since, until)]
    frames = [rows for rows in frames if rows.height] or frames[-1:]  # one without rows tells the columns
    whole = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
    if time is None or since is None or whole.is_empty():
        return whole
    return whole.filter((pl.col(time) > since) | pl.col(time).is_null())


Opener = Callable[["DatasetSpec", Path], Source]
"""Opens the source of a dataset; paths and modules that it names are relative to the folder of the declaration."""
