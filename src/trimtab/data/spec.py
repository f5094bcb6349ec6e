"""What a user declares about data: `[[data]]` tables, and the requirements this stage can measure."""

from __future__ import annotations

from typing import Any, Literal

from trimtab.records.base import Record
from trimtab.records.metric import Metric


class ColumnRule(Record, kw_only=True):
    """What a valid cell of `column` is: within `low`..`high` (inclusive), one of `allowed`, or matching `pattern`."""

    column: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    pattern: str = ""


class DatasetSpec(Record, kw_only=True):
    """One `[[data]]` table.

    `source` is `python:<module>:<function>` (module relative to the declaration), or a path or glob of `.parquet` or
    `.csv` files. `key` identifies a row, `time` is when it happens. The prediction is made `predict_before` seconds
    before `time`; the truth in `label` is known `label_delay` seconds after the prediction. A dataset with no `label`
    feeds feature views: its rows are known at `time`. `timezone` is needed where `time` is naive.
    `consistent` holds comparisons between columns, such as `arrival > departure`. Rows may turn up `late` seconds after
    their time: each collection asks again that far back. `options` are those of the kind of source, in base units; of a
    secret only the name of the environment variable that holds it is among them.

    `media` are columns of bytes (the content of a file): a version's row holds their blake3 digest, the bytes lie
    beside the rows, each content once. With `changes` "replace" a row that comes with a stored key and other content
    takes the stored row's place; else it contradicts the stored one and is refused.
    """

    name: str
    source: str
    key: tuple[str, ...]
    time: str
    label: str | None = None
    label_delay: float = 0.0
    predict_before: float = 0.0
    timezone: str | None = None
    valid: tuple[ColumnRule, ...] = ()
    consistent: tuple[str, ...] = ()
    late: float = 0.0
    options: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies an empty default
    media: tuple[str, ...] = ()
    changes: Literal["refuse", "replace"] = "refuse"
    line: int = 0

    @property
    def known_after(self) -> float:
        """Seconds from a row's `time` until its truth is known; below zero when it is known before."""
        return self.label_delay - self.predict_before if self.label is not None else 0.0


METRICS: tuple[Metric, ...] = (
    Metric(name="data.completeness", unit="ratio", better="higher", places=("data",), takes_columns=True,
           meaning="share of cells that are not null in the named columns"),
    Metric(name="data.validity", unit="ratio", better="higher", places=("data",), takes_columns=True,
           meaning="share of rows whose cells obey the rules of `valid`"),
    Metric(name="data.uniqueness", unit="ratio", better="higher", places=("data",),
           meaning="share of rows whose key had not been seen before"),
    Metric(name="data.consistency", unit="ratio", better="higher", places=("data",),
           meaning="share of rows that obey every line of `consistent`"),
    Metric(name="data.freshness", unit="time", better="lower", places=("data",),
           meaning="age of the newest row that could be known"),
    Metric(name="data.rows", unit="number", better="higher", places=("data",), meaning="rows in the dataset"),
)  # fmt: skip
