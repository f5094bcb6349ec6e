"""What a report shows: plain records, gathered from the ledger by `collect` and drawn by `render`."""

from __future__ import annotations

from datetime import datetime

from trimtab.records.base import Record
from trimtab.records.facts import Compared
from trimtab.records.metric import Place
from trimtab.records.model import Stage
from trimtab.records.requirement import Comparison, Estimate, Status, Verdict
from trimtab.records.studies import Promotion


class Point(Record, kw_only=True):
    """One verdict at one moment; figures in the metric's base unit. `part` names the slice that decided it,
    `reason` says why it is not met."""

    at: datetime
    status: Status
    figure: float | None
    low: float | None
    high: float | None
    rows: int
    part: str | None = None
    reason: str = ""


class RequirementLine(Record, kw_only=True):
    """One requirement over time, as measured at `place`. Points are in order of time, at most one a moment; there are
    none where it was never measured."""

    metric: str
    comparison: Comparison
    limit: float
    unit: str
    scale: float
    by: str | None
    columns: tuple[str, ...]
    place: Place
    points: tuple[Point, ...]

    @property
    def why(self) -> str:
        """Why it does not hold now; empty where it does, or where nothing is known of it."""
        last = self.points[-1] if self.points else None
        return last.reason if last is not None and last.status != "met" else ""

    def count(self, status: Status) -> int:
        """How many points have that status."""
        return sum(point.status == status for point in self.points)


class Step(Record, kw_only=True):
    """One move of a release, with the verdicts and comparisons it rests on."""

    at: datetime
    source: Stage | None
    to: Stage
    why: str
    evidence: tuple[Verdict, ...]
    compared: tuple[Compared, ...]


class ReleaseStory(Record, kw_only=True):
    """A release and its moves, oldest first."""

    release: str
    model: str
    steps: tuple[Step, ...]


class ModelRow(Record, kw_only=True):
    """A model version. `changed` says which of code, params and data differ from the model trained before it."""

    at: datetime
    id: str
    code: str
    params: str
    data: str
    changed: tuple[str, ...]
    rows: int
    train_from: datetime
    train_to: datetime
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    parity: float


class DriftRow(Record, kw_only=True):
    """Drift of one column: one effect and one flag a moment of the table, None where it was not measured."""

    column: str
    statistic: str
    effects: tuple[float | None, ...]
    drifted: tuple[bool, ...]

    @property
    def largest(self) -> float:
        """The greatest effect seen."""
        return max((effect for effect in self.effects if effect is not None), default=0.0)


class DriftTable(Record, kw_only=True):
    """Drift by column over time, the column that drifted most first."""

    moments: tuple[datetime, ...] = ()
    rows: tuple[DriftRow, ...] = ()


class CauseRow(Record, kw_only=True):
    """A cause: in how many passes it was named, in how many of them the loop acted, and its newest evidence."""

    name: str
    passes: int
    acted: int
    first: datetime
    last: datetime
    evidence: str


class ActionRow(Record, kw_only=True):
    """One action: what, why, and what it came to (`None` while it has no outcome)."""

    at: datetime
    action: str
    verb: str
    why: str
    outcome: str | None
    summary: str


class Difference(Record, kw_only=True):
    """Value of one policy less that of another over the same days, with its 95% interval (None: too few weeks)."""

    figure: float
    low: float | None
    high: float | None
    weeks: int


class PolicyLine(Record, kw_only=True):
    """One policy over the span. `days` and `values` are the daily series; `ahead` is its value less that of never
    retraining, `behind` the declared policy's value less its own; None for itself or where a series is missing."""

    policy: str
    predictions: int
    value: float
    per_1000: float
    retrainings: int
    releases: int
    refused: int
    rolled_back: int
    holds: dict[str, float]
    days: tuple[datetime, ...]
    values: tuple[float, ...]
    promotions: tuple[Promotion, ...] = ()
    ahead: Difference | None = None
    behind: Difference | None = None


class DatasetRow(Record, kw_only=True):
    """A dataset: its newest version, all rows kept aside over the span, by reason, and when its columns changed."""

    dataset: str
    version: str
    versions: int
    rows: int
    until: datetime
    quarantined: dict[str, int]
    changes: tuple[tuple[datetime, str], ...] = ()


class ReportData(Record, kw_only=True):
    """Everything on the page. `start`..`end` are the first and last moments of the ledger's facts."""

    name: str
    problem: str
    task: str
    currency: str
    digest: str
    start: datetime | None
    end: datetime | None
    facts: int
    passes: int
    requirements: tuple[RequirementLine, ...]
    releases: tuple[ReleaseStory, ...]
    models: tuple[ModelRow, ...]
    drift: DriftTable
    causes: tuple[CauseRow, ...]
    actions: tuple[ActionRow, ...]
    policies: tuple[PolicyLine, ...]
    datasets: tuple[DatasetRow, ...]
    unfinished: int = 0

    @property
    def promoted(self) -> int:
        """How many releases became live, counting one that came back after a rollback once."""
        return sum(any(step.to == "live" for step in story.steps) for story in self.releases)

    def moved(self, to: Stage) -> int:
        """How many moves went to that stage."""
        return sum(step.to == to for story in self.releases for step in story.steps)
