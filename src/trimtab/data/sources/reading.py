"""What all files of a source share while they are read, and what it means when one of them cannot be."""

from __future__ import annotations

import errno
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl

from trimtab.data.port import UNREAD, ColumnMissingError, DataError
from trimtab.data.sources.formats import Format
from trimtab.data.sources.typed import inferred, typed, unread_lines
from trimtab.data.spec import DatasetSpec
from trimtab.errors import TemporaryError, TrimtabError

_SAMPLE = 10_000


class Unfinished(Exception):  # noqa: N818 - it says what the file is
    """The file ends where it cannot end: in the middle of a record, or before its footer."""


@dataclass
class Piece:
    """Some rows (None: none that count, of which the earliest lies at `later`), and the places before and behind."""

    rows: pl.DataFrame | None
    begin: int
    end: int
    digest: str = ""
    later: int | None = None


@dataclass
class Reading:
    """The declaration, the bytes of a piece, and the types of cells that have none of their own: `types` are found as
    the files are read, `expected` are the store's. `said` collects notes."""

    spec: DatasetSpec
    size: int
    expected: dict[str, pl.DataType] = field(default_factory=dict)
    types: dict[str, pl.DataType] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something for people, once."""
        if text not in self.said:
            self.said.append(text)

    def typed(self, rows: pl.DataFrame, bad: list[str]) -> pl.DataFrame:
        """Rows with types and UTC times, and lines that are no rows."""
        known = {**self.types, **self.expected}
        for name, dtype in rows.schema.items():
            if dtype == pl.String() and name != self.spec.time and isinstance(known.get(name, pl.Null()), pl.Null):
                self.types[name] = known[name] = inferred(rows.get_column(name).head(_SAMPLE))
        frame = typed(rows, known, self.spec)
        return pl.concat([frame, unread_lines(bad)], how="diagonal_relaxed") if bad else frame

    def check(self, names: tuple[str, ...]) -> None:
        """Raises DataError where a file of these columns lacks the time or a part of the key."""
        for name, role in [(self.spec.time, "time"), *((name, "key") for name in self.spec.key)]:
            if name not in names:
                raise ColumnMissingError(name, role, sorted(set(names) - {UNREAD})[:20])


@contextmanager
def told(form: Format) -> Iterator[None]:
    """What libraries raise, as what it means for the file. Messages do not name it: who calls does."""
    try:
        yield
    except (TrimtabError, Unfinished):
        raise
    except FileNotFoundError as error:
        raise TemporaryError("it went away while it was read") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Unfinished(f"its compressed content breaks off: {brief(error)}") from error
    except (UnicodeError, LookupError) as error:
        raise DataError(f"it cannot be decoded: {brief(error)}", hint="declare its `encoding`") from error
    except PermissionError as error:
        raise DataError("it may not be read by this user") from error
    except (OSError, pl.exceptions.PolarsError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise TemporaryError("the disk for temporary files is full", delay=60, hint="make room") from error
        # pyarrow raises ValueErrors and OSErrors for files that end too early, and for damaged ones.
        if form.kind in ("parquet", "arrow") or "runcated" in str(error):
            raise Unfinished(brief(error)) from error
        raise DataError(brief(error)) from error


def brief(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
