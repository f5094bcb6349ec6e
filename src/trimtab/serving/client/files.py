"""Files of rows that are sent whole and answered in a file: for batches, of any size, piece by piece."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, Union
from urllib.parse import urlencode

from trimtab.errors import PermanentError
from trimtab.serving.client.calls import Table, frame_of, model_path

if TYPE_CHECKING:
    import polars as pl  # for types only

_ARROW = "application/vnd.apache.arrow.stream"
_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": _ARROW,
    ".arrows": _ARROW,
    ".ipc": _ARROW,
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".csv": "text/csv",
}
_CHUNK = 262_144
Source = Union[str, "os.PathLike[str]", "pl.DataFrame", Table]


class Batch:
    """One batch under way. `source` is a file, or a frame; its answers go into the file `into`, whole or not at all, or
    are given as a frame. `ids` and `times` name the columns of the rows' ids and moments. Raises PermanentError for a
    file that cannot be read or whose format its name does not tell."""

    def __init__(
        self,
        source: Source,
        into: str | os.PathLike[str] | None,
        ids: str | None,
        times: str | None,
    ) -> None:
        self._again = ids is not None
        self._options = {name: column for name, column in (("id", ids), ("time", times)) if column is not None}
        self._into = None if into is None else Path(into)
        self._wanted = _ARROW if self._into is None else _type_of(self._into)
        self._from, self._sent = _opened(source)
        self._part = None if self._into is None else self._into.with_name(f".{self._into.name}.{uuid.uuid4().hex}.part")
        try:
            self._to = tempfile.TemporaryFile() if self._part is None else self._part.open("x+b")  # noqa: SIM115
        except OSError as error:
            self._from.close()
            raise PermanentError(f"{self._into} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._from.close()
        self._to.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def request(self, system: str, model: str | None) -> tuple[bytes, bytes]:
        """The address and the header lines."""
        path = model_path(system, model, "/batch")
        if self._options:
            path += b"?" + urlencode(self._options).encode()
        return path, f"content-type: {self._sent}\r\naccept: {self._wanted}\r\n".encode()

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return os.fstat(self._from.fileno()).st_size

    def chunks(self) -> Iterator[bytes]:
        """The body, from its beginning; what was answered before is dropped."""
        self._to.seek(0)
        self._to.truncate()
        self._from.seek(0)
        while data := self._from.read(_CHUNK):
            yield data

    def take(self, data: bytes) -> None:
        """Keeps a piece of the answer. Raises PermanentError when the disk refuses."""
        try:
            self._to.write(data)
        except OSError as error:
            where = self._into or "a temporary file"
            raise PermanentError(f"the answer cannot be kept in {where}: {error.strerror}") from error

    def unsafe(self, error: OSError) -> str:
        """What to do so that it may be sent again after such a failure: without ids the rows would be counted twice."""
        if self._again or isinstance(error, ConnectionRefusedError):
            return ""
        return "name the column of the rows' ids (ids=...), and a batch is sent again by itself"

    def finish(self) -> pl.DataFrame | None:
        """The answer is whole: puts it in its place, or gives it as a frame."""
        if self._part is not None and self._into is not None:
            self._to.close()
            self._part.replace(self._into)
            return None
        import polars as pl  # heavy: only where a frame is asked for

        self._to.seek(0)
        return pl.read_ipc_stream(self._to)


def _opened(source: Source) -> tuple[IO[bytes], str]:
    if not isinstance(source, str | os.PathLike):
        frame = frame_of(source, "a file, or a table")
        kept = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the batch
        frame.write_ipc_stream(kept)
        kept.flush()
        return kept, _ARROW
    path = Path(source)
    kind = _type_of(path)
    try:
        return path.open("rb"), kind
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}") from error


def _type_of(path: Path) -> str:
    found = _TYPES.get(path.suffix.lower())
    if found is None:
        raise PermanentError(f"{path}: its format is not known by its name", hint=f"one of {', '.join(_TYPES)}")
    return found
