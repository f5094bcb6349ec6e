"""The process that reads a batch and writes its answers; the server asks its models in between.

It runs at a lower priority and within a limit of memory, so that the largest or worst file takes nothing from callers
who ask for one row.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from trimtab.errors import TrimtabError
from trimtab.serving.batch.answer import Writer, merged
from trimtab.serving.batch.chunks import Chunk
from trimtab.serving.batch.frames import Answered, Done, FromReader, Refused, Setup, Told, packed, receive
from trimtab.serving.batch.lines import LineReader
from trimtab.serving.batch.reading import Reader
from trimtab.serving.batch.writing import writer_for
from trimtab.serving.refusals import RefusalError

_MOST_TOLD = 20


def run(inlet: BinaryIO, outlet: BinaryIO) -> None:
    """Reads the batch that the first message is about, until its end or the server's."""

    def send(message: FromReader) -> None:
        outlet.write(packed(message))
        outlet.flush()

    setup = receive(inlet)
    assert isinstance(setup, Setup)
    _bound(setup.memory)
    with suppress(EOFError, BrokenPipeError):
        Batch(setup, inlet, send).run()


def _bound(memory: int) -> None:
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Batch:
    """One batch from its first row to its last."""

    def __init__(self, setup: Setup, inlet: BinaryIO, send: Callable[[FromReader], None]) -> None:
        self._setup = setup
        self._inlet = inlet
        self._send = send
        self._writer: Writer | None = None
        self._rows = 0
        self._errors = 0

    def run(self) -> None:
        """Sends questions and answers, then Done or Refused."""
        try:
            with os.fdopen(self._setup.body, "rb") as file:
                self._go_through(self._open(file))
        except RefusalError as error:
            more = error.more if isinstance(error.more, dict) else None
            self._refuse(error.status, error.message, error.hint, more)
        except TrimtabError as error:
            self._refuse(500, error.message, error.hint)
        except MemoryError:
            told = f"reading the batch takes more than {self._setup.memory:,} bytes of memory"
            self._refuse(413, told, "write it in smaller row groups or record batches")

    def _open(self, file: BinaryIO) -> Reader:
        if self._setup.sent in ("ndjson", "csv"):
            return LineReader(self._setup, file)
        from trimtab.serving.batch.columns import ColumnReader  # here: lines do without Arrow and Polars

        return ColumnReader(self._setup, file)

    def _go_through(self, reader: Reader) -> None:
        """Reads one chunk ahead, so that models score while the next rows are read."""
        former: Chunk | None = None
        for chunk in reader.chunks():
            if former is None and chunk.ask is None:
                self._refuse_all(chunk)
                return
            if chunk.ask is not None:
                self._send(chunk.ask)
            if former is not None:
                self._tell(former)
            former = chunk
        if former is None:
            raise RefusalError(422, "no rows: expected at least one")
        self._tell(former)
        assert self._writer is not None
        self._send(Told(data=self._writer.end()))
        self._send(Done(rows=self._rows, errors=self._errors))

    def _tell(self, chunk: Chunk) -> None:
        answered: Answered | None = None
        if chunk.ask is not None:
            message = receive(self._inlet)
            assert isinstance(message, Answered)
            answered = message
        if self._writer is None:
            self._writer = writer_for(self._setup.wanted, self._setup.signature)
        self._rows += chunk.count
        self._errors += len(chunk.errors) + (0 if answered is None else len(answered.errors))
        self._send(Told(data=self._writer.rows(merged(chunk, answered))))

    def _refuse_all(self, chunk: Chunk) -> None:
        """Nothing at the start of the batch fits: it is refused as a whole, since it is hardly meant for this model."""
        errors: list[dict[str, object]] = [
            {"row": chunk.first + place, "error": error} for place, error in sorted(chunk.errors.items())
        ]
        message = f"row {errors[0]['row']}: {errors[0]['error']}"
        more = {"errors": errors[:_MOST_TOLD], "errors_found": len(errors)}
        self._refuse(422, message, f"none of the first {chunk.count} rows can be scored", more)

    def _refuse(self, status: int, message: str, hint: str = "", more: dict[str, object] | None = None) -> None:
        data = b"" if self._writer is None else self._writer.broken(message)
        self._send(Refused(status=status, message=message, hint=hint, more=more, data=data))
