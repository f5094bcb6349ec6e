"""What a server was asked, answered and later told, as the rows of a dataset: so that a system learns from its own use.

A row is a prediction that a caller was given. Its id is the dataset's key, its moment the time, its truth the label;
the inputs come by the names of the model's features, as the model got them; `score`, `release`, `model`, `stage` and
`truth_time` beside them. Scores of shadow releases are no answers and do not come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from trimtab.data.port import DataError, Page, in_one_frame
from trimtab.data.spec import DatasetSpec
from trimtab.errors import DeclarationError
from trimtab.records.base import Record, canonical_json
from trimtab.serving.telemetry.reading.export import joined
from trimtab.serving.telemetry.reading.reader import TelemetryReader

_PAGE = 100_000
_STEP = timedelta(microseconds=1)
_PREFIX = "input_"


class _At(Record):
    """Where a reading stands: it began at `since`, and every prediction up to `behind` was given."""

    since: datetime | None
    behind: datetime


def open_traffic(spec: DatasetSpec, folder: Path) -> Traffic:
    """The source of `telemetry:`, this system's own, or of `telemetry:PATH`, that of the state folder at PATH. Raises
    DeclarationError where the dataset has several keys, and DataError where there is no such state."""
    if len(spec.key) != 1:
        raise DeclarationError(
            f"dataset {spec.name!r}: a prediction has one key, its id", line=spec.line, hint='write key = "id"'
        )
    path = spec.source.partition(":")[2]
    state = folder / (path or ".trimtab")
    if path and not state.is_dir():
        raise DataError(
            f"dataset {spec.name!r}: there is no state at {state}", hint="a path is relative to the declaration"
        )
    return Traffic(spec, state / "telemetry")


class Traffic:
    """The predictions in one folder of telemetry, in order of time, a hundred thousand or so a page. Those after
    `since` come again, as their truth may have come: declare `late` for truth that comes later than `label_delay`."""

    def __init__(self, spec: DatasetSpec, folder: Path, *, page_rows: int = _PAGE) -> None:
        self._spec = spec
        self._page_rows = page_rows
        self._reader = TelemetryReader(folder)
        self._expected: dict[str, pl.DataType] = {}

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        self._expected = dict(schema)

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        return in_one_frame(self, since, until)

    def pages(self, cursor: str, since: datetime | None, until: datetime) -> Iterator[Page]:
        self._reader.refresh()
        at = _understood(cursor)
        low = at.behind if at is not None and at.since == since else since
        first = None if low is None else low + _STEP
        moments = self._reader.predictions(first, until + _STEP).get_column("at")
        whole, given = len(moments), 0
        while given < whole:
            last = moments[min(given + self._page_rows, whole) - 1]
            upto = moments.search_sorted(last, side="right")
            rows = self._rows(moments[given], last)
            given = int(upto)
            yield Page(rows, canonical_json(_At(since=since, behind=last)).decode(), share=given / whole)

    def _rows(self, first: datetime, last: datetime) -> pl.DataFrame:
        """The predictions of [first, last], each once, by the declared names."""
        spec = self._spec
        found = joined(self._reader, first, last + _STEP).filter(pl.col("stage") != "shadow")
        found = found.unique("id", keep="first", maintain_order=True)
        named = {"id": spec.key[0], "time": spec.time}
        if spec.label is not None:
            named["label"] = spec.label
        ours = (name for name in found.columns if not name.startswith(_PREFIX) and name not in named)
        taken = {*named.values(), *ours}
        for name in found.columns:
            plain = name.removeprefix(_PREFIX)
            if name.startswith(_PREFIX) and plain not in taken:
                named[name] = plain
                taken.add(plain)
        found = found.drop("latency", "generation", "kept", "share", "scores", strict=False).rename(named, strict=False)
        texts = [name for name, dtype in found.schema.items() if isinstance(dtype, (pl.Categorical, pl.Enum))]
        missing = [pl.lit(None).alias(name) for name in self._expected if name not in found.columns]
        return found.with_columns(*(pl.col(name).cast(pl.String) for name in texts), *missing)


def _understood(cursor: str) -> _At | None:
    try:
        return msgspec.json.decode(cursor, type=_At)
    except msgspec.MsgspecError:
        return None
