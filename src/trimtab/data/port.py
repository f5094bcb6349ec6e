"""The port for outside data: what a source of rows promises, and the errors of this stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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


class Source(Protocol):
    """Where the rows of one dataset come from.

    Guarantees an implementation gives:
    - `fetch` has no effect: the same span may be asked for again, and gives the same rows unless the world changed;
    - all instants are `Datetime("us", "UTC")`;
    - a row that can be read in part is handed on, with what could not be read in the column `_unread`;
    - what cannot be had at all raises: `TemporaryError` where trying again may help, else another `TrimtabError`
      that names the file, or the file and line of the user's code.
    """

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        """Rows with since < time <= until, in any order; may be empty. Both bounds are timezone-aware."""
        ...

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """From now on read cells that have no type of their own (text files) as these types."""
        ...


Opener = Callable[["DatasetSpec", Path], Source]
"""Opens the source of a dataset; paths and modules that it names are relative to the folder of the declaration."""
