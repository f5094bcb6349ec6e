"""What a user declares about data: `[[data]]` tables, and the requirements this stage can measure."""

from __future__ import annotations

from typing import Any, Literal

from trimtab.records.base import Record
from trimtab.records.metric import Metric, Task


class ColumnRule(Record, kw_only=True):
    """What a valid cell of `column` is: within `low`..`high` (inclusive), one of `allowed`, or matching `pattern`."""

    column: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    pattern: str = ""


class Reference(Record, kw_only=True):
    """Every value of `column` stands in the column `key` of another dataset."""

    column: str
    dataset: str
    key: str


class Trusted(Record, kw_only=True):
    """What `column` should say is known better elsewhere: in the column `other` of the row with the same key in
    `dataset` (empty: of the same row). Numbers agree when they differ by at most `within`."""

    column: str
    other: str
    dataset: str = ""
    within: float = 0.0


class PrivacySpec(Record, kw_only=True):
    """`[privacy]`. `master_key` says where the key lies that all others are wrapped by: `env:NAME` or `file:PATH`.
    `forbid` are names of columns that no dataset may have (`*` stands for any letters), `scan` the kinds of personal
    patterns that texts are searched for; with `quarantine` rows that hold one are refused."""

    master_key: str = "env:TRIMTAB_MASTER_KEY"
    forbid: tuple[str, ...] = ()
    scan: tuple[str, ...] = ()
    quarantine: bool = False


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

    These measure and refuse no row: `references` to other datasets, `trusted` values to compare with, `plausible`
    comparisons like those of `consistent`, and `recorded`, the column that says when a row was written down.
    `subject` is the column that says whose data a row is, `personal` are those that are sealed with that person's key;
    what is personal in rows older than `retention` seconds is no longer readable. `population` tells of a column which
    share each value has where the rows are drawn from.

    A change in the columns is told; a column that is gone is refused unless `schema_changes` is "accept", and with
    "refuse" nothing that shows any change is collected.
    `encoding` and `delimiter` are those of text files, where they cannot be told from the files themselves. `licence`
    is that of the data, an SPDX expression.
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
    references: tuple[Reference, ...] = ()
    trusted: tuple[Trusted, ...] = ()
    plausible: tuple[str, ...] = ()
    recorded: str | None = None
    subject: str | None = None
    personal: tuple[str, ...] = ()
    retention: float | None = None
    population: dict[str, dict[str, float]] = {}  # noqa: RUF012 - msgspec copies an empty default
    privacy: PrivacySpec = PrivacySpec()
    schema_changes: Literal["", "accept", "refuse"] = ""
    encoding: str = ""
    delimiter: str = ""
    licence: str = ""
    line: int = 0

    @property
    def known_after(self) -> float:
        """Seconds from a row's `time` until its truth is known; below zero when it is known before."""
        return self.label_delay - self.predict_before if self.label is not None else 0.0


class StoreSpec(Record, kw_only=True):
    """`[store]`: where dataset versions lie. `url` is `s3://bucket/prefix` (empty: in the system's state folder);
    region, endpoint and keys come from the environment. `writers` "one" is the word of whoever declares it that a
    single process writes: then the store need not honour conditional PUT."""

    url: str = ""
    writers: Literal["one", "several"] = "several"


_CLASSES: tuple[Task, ...] = ("binary_classification", "multiclass_classification")
METRICS: tuple[Metric, ...] = (
    Metric(name="data.completeness", unit="ratio", better="higher", places=("data",), sliceable=True,
           takes_columns=True, meaning="share of cells that are not null in the named columns"),
    Metric(name="data.validity", unit="ratio", better="higher", places=("data",), sliceable=True, takes_columns=True,
           meaning="share of rows whose cells obey the rules of `valid`"),
    Metric(name="data.uniqueness", unit="ratio", better="higher", places=("data",), sliceable=True,
           meaning="share of rows whose key had not been seen before"),
    Metric(name="data.consistency", unit="ratio", better="higher", places=("data",), sliceable=True,
           meaning="share of rows that obey every line of `consistent`"),
    Metric(name="data.plausibility", unit="ratio", better="higher", places=("data",), sliceable=True,
           meaning="share of rows that obey every line of `plausible`: accuracy is at most this"),
    Metric(name="data.accuracy", unit="ratio", better="higher", places=("data",), sliceable=True, takes_columns=True,
           meaning="share of cells that agree with the values of `trusted`, where both are there"),
    Metric(name="data.referential", unit="ratio", better="higher", places=("data",), sliceable=True,
           takes_columns=True, meaning="share of cells whose value stands in the dataset that `references` names"),
    Metric(name="data.freshness", unit="time", better="lower", places=("data",), sliceable=True,
           meaning="age of the newest row that could be known"),
    Metric(name="data.timeliness", unit="time", better="lower", places=("data",), sliceable=True,
           options=("quantile",), meaning="quantile (95% unless told) of the time from a row's `time` to `recorded`"),
    Metric(name="data.rows", unit="number", better="higher", places=("data",), sliceable=True,
           meaning="rows in the dataset"),
    Metric(name="data.duplicates", unit="ratio", better="lower", places=("data",), takes_columns=True,
           options=("distance",), meaning="share of rows that are like an earlier one in all but spelling"),
    Metric(name="data.corrupt", unit="ratio", better="lower", places=("data",), takes_columns=True, one_column=True,
           meaning="share of media that cannot be decoded: the column `corrupt`, or the one named, says why"),
    Metric(name="data.balance", unit="ratio", better="higher", places=("data",), takes_columns=True, one_column=True,
           meaning="share of the rarest class of the label, or of the column named"),
    Metric(name="data.mean", unit="number", better="higher", places=("data",), sliceable=True, takes_columns=True,
           one_column=True, meaning="mean of a column"),
    Metric(name="data.deviation", unit="number", better="lower", places=("data",), sliceable=True, takes_columns=True,
           one_column=True, meaning="standard deviation of a column"),
    Metric(name="data.quantile", unit="number", better="higher", places=("data",), sliceable=True, takes_columns=True,
           one_column=True, options=("quantile",), meaning="quantile (the median unless told) of a column"),
    Metric(name="data.minimum", unit="number", better="higher", places=("data",), sliceable=True, takes_columns=True,
           one_column=True, meaning="least value of a column"),
    Metric(name="data.maximum", unit="number", better="lower", places=("data",), sliceable=True, takes_columns=True,
           one_column=True, meaning="greatest value of a column"),
    Metric(name="data.distinct", unit="number", better="higher", places=("data",), sliceable=True, takes_columns=True,
           one_column=True, meaning="different values in a column"),
    Metric(name="data.personal_patterns", unit="number", better="lower", places=("data",), takes_columns=True,
           meaning="cells that hold a personal pattern (`[privacy]` says which) in columns that are not personal"),
    Metric(name="data.forbidden_columns", unit="number", better="lower", places=("data",),
           meaning="columns that `[privacy]` forbids"),
    Metric(name="data.coverage", unit="ratio", better="higher", places=("data",), takes_columns=True,
           meaning="share of the combinations of the columns' values that have `min_rows` rows at least"),
    Metric(name="data.label_gap", unit="ratio", better="lower", places=("data",), tasks=_CLASSES, takes_columns=True,
           one_column=True, meaning="greatest difference between the shares of a class in two slices of a column"),
    Metric(name="data.representation", unit="ratio", better="lower", places=("data",), takes_columns=True,
           one_column=True, meaning="how far the shares of a column's values lie from those of `population`"),
)  # fmt: skip
