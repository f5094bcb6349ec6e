"""Parquet and Arrow files in pieces of rows: those of groups whose statistics rule them out are not read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

_WIDEST_OFFSET = timedelta(hours=26)
_HARDLY = 1 << 22
"""Rows at most in a piece, however narrow they are."""


@dataclass(frozen=True)
class Groups:
    """Which groups of rows are wanted: those with times after `low` (None: all) up to `high`, in microseconds."""

    time: str
    low: int | None
    high: int


def parquet_pieces(
    path: Path, start: int, size: int, wanted: Groups
) -> Iterator[tuple[pl.DataFrame | int | None, int]]:
    """Frames of about `size` bytes from row `start` on, and the row behind each. In place of a frame stands the
    earliest time where all rows of a group lie after what is wanted, None where all lie before."""
    import pyarrow.parquet as pq  # here: only such files need it

    meta = pq.read_metadata(path)
    column = next((i for i in range(meta.num_columns) if meta.schema.column(i).path == wanted.time), None)
    scan = pl.scan_parquet(path)
    begin = 0
    for index in range(meta.num_row_groups):
        group = meta.row_group(index)
        end = begin + group.num_rows
        if end > start:
            first, last = _span(group.column(column).statistics) if column is not None else (None, None)
            if first is not None and first > wanted.high:
                yield first, end
            elif last is not None and wanted.low is not None and last <= wanted.low:
                yield None, end
            else:
                step = min(_HARDLY, max(1, size * group.num_rows // max(1, group.total_byte_size)))
                for at in range(max(begin, start), end, step):
                    upto = min(at + step, end)
                    yield scan.slice(at, upto - at).collect(), upto
        begin = end


def arrow_pieces(path: Path, start: int, size: int) -> Iterator[tuple[pl.DataFrame, int]]:
    """Frames of about `size` bytes from row `start` on, and the row behind each, of an Arrow file or stream."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        whole = file.read(6) == b"ARROW1"
        file.seek(0)
        reader = pa.ipc.open_file(file) if whole else pa.ipc.open_stream(file)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if whole else iter(reader)
        begin = 0
        for batch in batches:
            end = begin + batch.num_rows
            step = min(_HARDLY, max(1, size * batch.num_rows // max(1, batch.nbytes)))
            for at in range(max(begin, start), end, step):
                upto = min(at + step, end)
                frame = pl.from_arrow(pa.Table.from_batches([batch.slice(at - begin, upto - at)]))
                assert isinstance(frame, pl.DataFrame)
                yield frame, upto
            begin = end


def _span(statistics: Any) -> tuple[int | None, int | None]:
    """The first and last instant of a group, as far as its statistics tell: wide enough for any zone."""
    if statistics is None or not statistics.has_min_max or statistics.null_count:
        return None, None
    return _instant(statistics.min, -_WIDEST_OFFSET), _instant(statistics.max, _WIDEST_OFFSET)


def _instant(value: Any, margin: timedelta) -> int | None:
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC) + margin
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC) + margin
    else:
        return None
    return round(moment.timestamp() * 1e6)
