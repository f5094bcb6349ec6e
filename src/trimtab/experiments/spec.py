"""What a user declares as an experiment: a hypothesis that can turn out true, false, or not to be told."""

from __future__ import annotations

from typing import Any, Literal

from trimtab.records.base import Record


class Change(Record, kw_only=True):
    """How an arm differs from what it is compared with. `params` are merged into the hyper-parameters; `inputs` takes
    the place of the model's inputs, or `add` and `leave_out` change them (names of columns, or of feature views for all
    of their columns); `code` is another Python file; `window` looks back that many seconds (0: as far as rows go)."""

    params: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies an empty default
    inputs: tuple[str, ...] = ()
    add: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    code: str = ""
    window: float | None = None

    @property
    def nothing(self) -> bool:
        """Whether it changes nothing."""
        return self == Change()


class Expectation(Record, kw_only=True):
    """`metric comparison baseline + margin`, the margin in the metric's base unit; `unit` and `scale` as written."""

    metric: str
    comparison: Literal[">=", "<="]
    margin: float
    unit: str = ""
    scale: float = 1.0
    text: str = ""


class ExperimentSpec(Record, kw_only=True):
    """One `[[experiments]]` table.

    The reference arm is the declared model with `baseline` applied, the changed arm is the reference arm with `change`
    applied. Both are trained from each of `seeds` seeds, once for each of `folds` periods to test on, the newest first,
    each of `period` seconds (None: `[model] holdout`). `cluster` is the column whose equal values move together (None:
    the day). `level` is the share of wrong answers that all experiments of a declaration together may give.
    """

    name: str
    hypothesis: str
    expect: Expectation
    change: Change
    baseline: Change = Change()
    folds: int = 4
    period: float | None = None
    seeds: int = 2
    cluster: str | None = None
    level: float = 0.05
    line: int = 0


class TrackerSpec(Record, kw_only=True):
    """One outside tracker: `tool` is what stands before the first colon of its text, `place` what stands after."""

    tool: str
    place: str
    line: int = 0

    @property
    def text(self) -> str:
        """As it was declared."""
        return f"{self.tool}:{self.place}"


class TrackingSpec(Record, kw_only=True):
    """`[tracking]`: where trainings are written beside the ledger, and whether with the files that they saved."""

    to: tuple[TrackerSpec, ...] = ()
    artifacts: bool = True
    line: int = 0
