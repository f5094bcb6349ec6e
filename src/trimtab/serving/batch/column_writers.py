"""Answers of a batch as Arrow streams and Parquet files: `row`, `id`, `score` (a list for several classes), `label`,
`release`, `model`, and `error`, null for the rows that were scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from trimtab.records.model import Signature
from trimtab.serving.batch.answer import Line

_ROW_GROUP = 65_536


class _Outlet:
    """A file that hands out what was written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0
        self.closed = False

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Table:
    """Lines as columns."""

    def __init__(self, signature: Signature) -> None:
        self._several = len(signature.classes) if signature.task == "multiclass_classification" else 0
        label = None if signature.task == "regression" else pa.string() if signature.classes else pa.int64()
        score = pa.list_(pa.float32(), self._several) if self._several else pa.float32()
        self.schema = pa.schema(
            [
                ("row", pa.int64()),
                ("id", pa.string()),
                ("score", score),
                *([("label", label)] if label is not None else []),
                ("release", pa.string()),
                ("model", pa.string()),
                ("error", pa.string()),
            ]
        )

    def batch(self, lines: Iterable[Line]) -> pa.RecordBatch:
        those = list(lines)
        columns: list[Any] = [[line.row for line in those], [line.id or None for line in those], self._scores(those)]
        if "label" in self.schema.names:
            told = orjson.loads(b"[" + b",".join([line.label or b"null" for line in those]) + b"]")
            columns.append(told)
        columns += [[getattr(line, name) or None for line in those] for name in ("release", "model", "error")]
        return pa.record_batch(
            [
                column if isinstance(column, pa.Array) else pa.array(column, field.type)
                for column, field in zip(columns, self.schema, strict=True)
            ],
            schema=self.schema,
        )

    def _scores(self, lines: list[Line]) -> pa.Array:
        missing = np.array([not line.score for line in lines])
        blank = b",".join([b"0"] * max(1, self._several))
        numbers = orjson.loads(b"[" + b",".join([line.score or blank for line in lines]) + b"]")
        values = np.array(numbers, np.float32)
        if not self._several:
            return pa.array(values, mask=missing)
        return pa.FixedSizeListArray.from_arrays(values, self._several, mask=pa.array(missing))


class ArrowWriter:
    """One record batch for each piece of the answer."""

    def __init__(self, signature: Signature) -> None:
        self._table = _Table(signature)
        self._outlet = _Outlet()
        self._stream = pa.ipc.new_stream(pa.PythonFile(self._outlet, mode="w"), self._table.schema)

    def rows(self, lines: Iterable[Line]) -> bytes:
        self._stream.write_batch(self._table.batch(lines))
        return self._outlet.take()

    def end(self) -> bytes:
        self._stream.close()
        return self._outlet.take()

    def broken(self, message: str) -> bytes:  # noqa: ARG002 - a stream without its end tells enough
        return b""


class ParquetWriter:
    """Row groups of up to 65,536 rows."""

    def __init__(self, signature: Signature) -> None:
        import pyarrow.parquet as pq  # here: an Arrow stream does without

        self._table = _Table(signature)
        self._outlet = _Outlet()
        self._file = pq.ParquetWriter(pa.PythonFile(self._outlet, mode="w"), self._table.schema)
        self._held: list[Any] = []
        self._rows = 0

    def rows(self, lines: Iterable[Line]) -> bytes:
        batch = self._table.batch(lines)
        self._held.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROW_GROUP:
            self._write()
        return self._outlet.take()

    def end(self) -> bytes:
        self._write()
        self._file.close()
        return self._outlet.take()

    def broken(self, message: str) -> bytes:  # noqa: ARG002 - a file without its end tells enough
        return b""

    def _write(self) -> None:
        if self._held:
            self._file.write_table(pa.Table.from_batches(self._held, self._table.schema), _ROW_GROUP)
            self._held, self._rows = [], 0
