"""Batches of columns: Parquet, and Arrow streams and files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa

from trimtab.inference.encode import normalise
from trimtab.records.model import Column
from trimtab.serving.batch.chunks import Chunk, Encoding
from trimtab.serving.batch.formats import CONTENT_TYPES
from trimtab.serving.batch.frames import Setup
from trimtab.serving.batch.lines import wanted_columns
from trimtab.serving.batch.reading import read_marks
from trimtab.serving.refusals import RefusalError

_MAGIC, _CONTINUES = b"ARROW1", b"\xff\xff\xff\xff"
_LONGEST_NAME = 2**20  # bytes of a name in the file's own description, and entries of a list in it
_EXPECTED = {"number": "numbers", "category": "strings", "boolean": "booleans", "time": "timestamps with a time zone"}


_OUT_OF_MEMORY = ("Resource temporarily unavailable", "Cannot allocate memory", "std::bad_alloc")
"""What Arrow says in other errors when it is memory that is missing, a new thread's stack for one."""


class ColumnReader:
    """Columns that the model does not have are not read."""

    def __init__(self, setup: Setup, file: BinaryIO) -> None:
        self._setup = setup
        self._file = file
        self._encoding = Encoding(setup)
        pa.set_cpu_count(1)

    def chunks(self) -> Iterator[Chunk]:
        """The rows, a few at a time."""
        kind = "Parquet" if self._setup.sent == "parquet" else "Arrow"
        first = 0
        batches = self._parquet() if self._setup.sent == "parquet" else self._arrow()
        while True:
            try:
                batch = next(batches, None)
            except MemoryError:
                raise
            except (pa.ArrowException, OSError, ValueError) as error:
                if any(words in str(error) for words in _OUT_OF_MEMORY):
                    raise MemoryError(str(error)) from error
                told = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
                told = f"the {kind} data cannot be read (row {first} is next): {told}"
                raise RefusalError(422, told, hint=self._other_format()) from error
            if batch is None:
                return
            for start in range(0, batch.num_rows, self._setup.rows):
                part = batch.slice(start, self._setup.rows)
                yield self._chunk(first, part)
                first += part.num_rows

    def _parquet(self) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq  # here: an Arrow stream does without

        file = pq.ParquetFile(
            self._file, thrift_string_size_limit=_LONGEST_NAME, thrift_container_size_limit=_LONGEST_NAME
        )
        columns = self._check(file.schema_arrow)
        yield from file.iter_batches(batch_size=64 * self._setup.rows, columns=columns, use_threads=False)

    def _arrow(self) -> Iterator[pa.RecordBatch]:
        start = self._file.read(len(_MAGIC))
        self._file.seek(0)
        options = pa.ipc.IpcReadOptions(use_threads=False)
        if start == _MAGIC:
            file = pa.ipc.open_file(self._file, options=options)
            columns = self._check(file.schema)
            for place in range(file.num_record_batches):
                yield file.get_batch(place).select(columns)
            return
        self._check_length()
        stream = pa.ipc.open_stream(self._file, options=options)
        columns = self._check(stream.schema)
        for batch in stream:
            yield batch.select(columns)

    def _check_length(self) -> None:
        """Raises ValueError where the description of a stream would be longer than all of it: Arrow would make room for
        whatever it claims."""
        start = self._file.read(8)
        size = os.fstat(self._file.fileno()).st_size
        self._file.seek(0)
        length = int.from_bytes(start[4:] if start[:4] == _CONTINUES else start[:4], "little")
        if length > size:
            raise ValueError(f"it begins with a description of {length:,} bytes, and has {size:,} in all")

    def _other_format(self) -> str:
        """What the data are instead, by their first bytes."""
        start = os.pread(self._file.fileno(), len(_MAGIC), 0)
        sent = self._setup.sent
        if start[:4] == b"PAR1" and sent != "parquet":
            return f"they look like Parquet: send them as {CONTENT_TYPES['parquet']}"
        if (start == _MAGIC or start[:4] == _CONTINUES) and sent != "arrow":
            return f"they look like Arrow: send them as {CONTENT_TYPES['arrow']}"
        return ""

    def _check(self, schema: pa.Schema) -> list[str]:
        """The columns to read. Raises RefusalError naming each that is missing or of a type that does not fit."""
        setup = self._setup
        inputs = setup.signature.inputs
        wanted = wanted_columns(setup, schema.names)
        self._given = [column for column in inputs if column.name in wanted]
        twice = next((name for name in wanted if schema.names.count(name) > 1), None)
        if twice is not None:
            raise RefusalError(422, f"column {twice!r} is there twice")
        wrong = [(c, schema.field(c.name).type) for c in self._given if not _fits(c, schema.field(c.name).type)]
        errors = [
            {"column": c.name, "error": f"expected {_EXPECTED[c.kind]}, got {kind}", "hint": ""} for c, kind in wrong
        ]
        for name, what, fits in (
            (setup.ids, "strings or integers", _is_id),
            (setup.times, _EXPECTED["time"], _is_time),
        ):
            if name and not fits(schema.field(name).type):
                told = f"expected {what}, got {schema.field(name).type}"
                errors.append({"column": name, "error": told, "hint": ""})
        if errors:
            message = f"column {errors[0]['column']!r}: {errors[0]['error']}"
            raise RefusalError(422, message, more={"errors": errors, "errors_found": len(errors)})
        return wanted

    def _chunk(self, first: int, batch: pa.RecordBatch) -> Chunk:
        frame = pl.DataFrame(pl.from_arrow(batch))
        setup, errors = self._setup, dict[int, str]()
        ids, times = (frame.get_column(name).to_list() if name else () for name in (setup.ids, setup.times))
        marks = read_marks(setup, ids, times, errors)
        rows = normalise(frame, self._given)
        if len(self._given) == len(setup.signature.inputs):
            return self._encoding.frame(first, rows, errors, marks)
        beside = frame.select([name for name in setup.entities if name in frame.columns and name not in rows.columns])
        return self._encoding.incomplete(first, rows.hstack(beside).to_dicts(), errors, marks)


def _fits(column: Column, kind: Any) -> bool:
    if pa.types.is_null(kind):
        return True
    if column.kind == "number":
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    if column.kind == "category":
        return _is_text(kind)
    if column.kind == "boolean":
        return bool(pa.types.is_boolean(kind))
    return _is_time(kind)


def _is_text(kind: Any) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner))


def _is_id(kind: Any) -> bool:
    return _is_text(kind) or bool(pa.types.is_integer(kind))


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is not None)
