"""Requirements, verdicts and what an answer is worth: the words every stage speaks."""

from __future__ import annotations

from typing import Literal

from trimtab.records.base import Record
from trimtab.records.metric import Place

Comparison = Literal[">=", "<=", ">", "<", "=="]
Status = Literal["met", "broken", "unknown"]


class Requirement(Record, kw_only=True):
    """One line of `[requirements]`, understood.

    `limit` is in the base unit of the metric (see `Metric`); `unit` is as the user wrote it, for display, and
    `scale` turns a base figure into that unit (figure / scale). `window` is in seconds (None: the policy's window).
    `by` names the column whose every value must hold the limit; slices under `min_rows` rows are unknown. `quantile`
    says which one of a distribution is limited, `distance` how many bits of a hash may differ in what is alike.
    """

    metric: str
    comparison: Comparison
    limit: float
    unit: str = ""
    scale: float = 1.0
    by: str | None = None
    min_rows: int = 100
    window: float | None = None
    columns: tuple[str, ...] = ()
    quantile: float | None = None
    distance: int | None = None
    places: tuple[Place, ...] = ()
    text: str = ""
    line: int = 0


class Estimate(Record, kw_only=True):
    """A measured figure with its 95% interval (None when it cannot be given) and the rows behind it."""

    figure: float | None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    reason: str = ""


class Verdict(Record, kw_only=True):
    """What one requirement came to, where, and on what evidence. Figures are in the metric's base unit. `excused` says
    why the release gate does not refuse a release for it, where it would otherwise."""

    metric: str
    status: Status
    comparison: Comparison
    limit: float
    unit: str = ""
    scale: float = 1.0
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    place: Place
    slice: str | None = None
    reason: str = ""
    excused: str = ""


class ThresholdChosen(Record, kw_only=True):
    """The decision threshold of a model whose declaration asks for the one that earned the most. `best` earned the most
    on the validation rows, and is the `threshold` only where its gain over `break_even` is beyond chance: `gain` per
    1,000 answers, in the declared currency, with its interval, on rows that had no part in choosing (None: too few)."""

    threshold: float
    break_even: float
    best: float
    rows: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None


class Value(Record, kw_only=True):
    """What answers are worth, in `currency`. Regression uses `absolute_error` per unit of error; `missed` is of
    what detection and recognition did not find."""

    currency: str = "USD"
    true_positive: float = 0.0
    false_positive: float = 0.0
    true_negative: float = 0.0
    false_negative: float = 0.0
    correct: float = 0.0
    wrong: float = 0.0
    absolute_error: float = 0.0
    missed: float = 0.0
    per_prediction: float = 0.0
    per_training_minute: float = 0.0
