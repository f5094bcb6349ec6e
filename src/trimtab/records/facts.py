"""The facts of the ledger. Append-only; a fact is written once under a key that tells what it is about.

What differs between two runs of the same history (seconds, bytes, process ids) never goes into a fact: it is passed
beside it as `measured`, so that facts can be compared.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from trimtab.records.base import Record
from trimtab.records.fact import Fact
from trimtab.records.imported import RunImported
from trimtab.records.model import ModelBundle, ModelIdentity, Stage
from trimtab.records.requirement import Estimate, ThresholdChosen, Verdict
from trimtab.records.slices import WeakSlicesFound
from trimtab.records.studies import BacktestFinished, ExperimentFinished, SearchFinished, TrialFinished


class SystemDeclared(Fact, kw_only=True):
    """The declaration that was in force from here on. Key: `system:<digest>`."""

    name: str
    digest: str
    text: str


class SchemaChange(Record, kw_only=True):
    """What is not as it was in a column of a dataset: it was added, removed, came back, is of another type, or its
    numbers look like those of another unit."""

    column: str
    kind: Literal["added", "removed", "returned", "retyped", "unit"]
    detail: str

    @property
    def in_words(self) -> str:
        """The column and what became of it."""
        return f"column {self.column!r} {'changed' if self.kind == 'unit' else self.kind}: {self.detail}"


class DatasetCommitted(Fact, kw_only=True):
    """A new version of a dataset. `version` is its content's digest, `changes` is what is not as it was in its columns.
    Key: `data:<dataset>:<version>`."""

    dataset: str
    version: str
    parent: str | None
    rows: int
    added: int
    until: datetime
    quarantined: dict[str, int]
    changes: tuple[SchemaChange, ...] = ()


class ModelTrained(Fact, kw_only=True):
    """A model version exists. Key: `model:<identity.id>`.

    `metrics` and `baseline` map metric names to estimates on the validation rows (`valid_from` to `valid_to`);
    `slices` maps `metric|column=value` to estimates. `evaluated` is the model those are of, fitted before the
    validation rows were added, where `bundle` was then fitted on all rows (None: they are the same). `profile` is the
    blob of the profile of the rows that `bundle` was fitted on. `personal` are the personal columns among its inputs,
    `threshold` how its decision threshold was chosen, where the declaration asks for the one that earned the most.
    """

    identity: ModelIdentity
    bundle: ModelBundle
    dataset: str
    dataset_version: str
    rows: int
    train_from: datetime
    train_to: datetime
    valid_from: datetime
    valid_to: datetime
    params: dict[str, Any]
    code_files: dict[str, str]
    libraries: dict[str, str]
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    slices: dict[str, Estimate]
    profile: str
    parity: float
    evaluated: ModelBundle | None = None
    # Left out of the JSON form when not set, so that facts of models without any stay as they are.
    personal: tuple[str, ...] | UnsetType = UNSET
    threshold: ThresholdChosen | UnsetType = UNSET


class TrainingFailed(Fact, kw_only=True):
    """A training that ended without a model, and why. `outside`: somebody else ended it (a kill, a full disk), so that
    another time it may come to one. Key: `training_failed:<identity.id>:<action>`."""

    identity: ModelIdentity
    reason: str
    log: str
    outside: bool | UnsetType = UNSET


class TrainingTried(Fact, kw_only=True):
    """The loop trained, or tried to: from which code and hyper-parameters, on how many known rows. `model` is the
    identity it came to, empty when it never came so far. Key: `tried:<action>`."""

    action: str
    code: str
    params: str
    known_rows: int
    model: str


class ReleaseMoved(Fact, kw_only=True):
    """A release entered a stage. Key: `release:<release>:<to>:<n>` where n counts its visits to that stage."""

    release: str
    model: str
    source: Stage | None
    to: Stage
    why: str
    evidence: tuple[Verdict, ...] = ()


class Recalibrated(Fact, kw_only=True):
    """From here on `offset` is added to the log odds of every answer: what the newest truth, of `rows` answers, asks
    for. `gain` is by how much less the log loss was for such shifts lately, with its interval (None: not yet known).
    Key: `recalibrated:<action>`."""

    offset: float
    rows: int
    why: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None


class Compared(Fact, kw_only=True):
    """A paired comparison of a challenger with the live model. Differences are challenger minus champion, in `metric`,
    oriented so that above zero is better. Key: `compared:<release>:<place>:<metric>:<pass>`."""

    release: str
    challenger: str
    champion: str
    place: Literal["release", "shadow", "canary", "live"]
    metric: str
    difference: float
    low: float
    high: float
    rows: int
    verdict: Literal["better", "worse", "no_difference"]


class VerdictsGiven(Fact, kw_only=True):
    """Verdicts of one pass at one place. `subject` is a dataset version, a model or a release.
    Key: `verdicts:<place>:<subject>:<pass>`."""

    place: str
    subject: str
    verdicts: tuple[Verdict, ...]


class ColumnDrift(Record, kw_only=True):
    """Drift of one column: `effect` is the distance with the sampling noise taken off, `low`..`high` its interval."""

    column: str
    statistic: Literal["ks", "psi", "tv"]
    effect: float
    low: float
    high: float
    rows: int
    drifted: bool


class DriftMeasured(Fact, kw_only=True):
    """Distance of the live inputs from the training data of `model`. Key: `drift:<model>:<pass>`."""

    model: str
    window_from: datetime
    window_to: datetime
    rows: int
    columns: tuple[ColumnDrift, ...]


class TelemetryPruned(Fact, kw_only=True):
    """Telemetry that was about to be removed because it was old: everything in `segments` segments, of which the newest
    event was before `before`. Key: `pruned:<name of the newest segment>:<segments>`."""

    before: datetime
    segments: int
    answers: int
    truths: int


class Holding(Record, kw_only=True):
    """How much of a person one thing held: a dataset version, or a telemetry segment."""

    name: str
    rows: int


class PersonForgetting(Fact, kw_only=True):
    """About to forget a person: what holds them, as it was found. `person` is a digest of their pseudonym.
    Key: `forgetting:<person>`."""

    person: str
    versions: dict[str, tuple[Holding, ...]]
    models: tuple[str, ...]
    telemetry: tuple[Holding, ...]


class PersonForgotten(Fact, kw_only=True):
    """A person was forgotten: `keys` were destroyed, so that what is personal in `versions` (by dataset) cannot be read
    any more; the rows of `telemetry` were removed; `models` learned from the person. Key: `forgotten:<person>`."""

    person: str
    keys: int
    versions: dict[str, tuple[Holding, ...]]
    models: tuple[str, ...]
    telemetry: tuple[Holding, ...]
    features: int


class DataExpired(Fact, kw_only=True):
    """What is personal in the rows of a dataset before `before` cannot be read any more: it was older than is declared,
    and `keys` were destroyed. Key: `expired:<dataset>:<before>`."""

    dataset: str
    before: datetime
    keys: int


class Cause(Record, kw_only=True):
    """A named reason to act, with its evidence in words."""

    name: str
    evidence: str


class ActionIntended(Fact, kw_only=True):
    """About to act. Key: `intent:<action>`."""

    action: str
    verb: str
    why: str
    arguments: dict[str, str]


class ActionFinished(Fact, kw_only=True):
    """What the action came to. Key: `outcome:<action>`."""

    action: str
    verb: str
    outcome: Literal["done", "refused", "failed"]
    summary: str


class PlannedAction(Record, kw_only=True):
    """What a pass means to do: `verb` is one of collect, recalibrate, train, gate, move, promote,
    rollback, retire, apply."""

    verb: str
    why: str
    arguments: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default


class PassPlanned(Fact, kw_only=True):
    """What a pass saw as causes and means to do, written before it does any of it: a pass that is killed goes on from
    here and does not look again. Key: `planned:<pass>`."""

    number: str
    causes: tuple[Cause, ...]
    actions: tuple[PlannedAction, ...]
    reason: str


class PassFinished(Fact, kw_only=True):
    """One turn of the loop. `actions` is empty when it did nothing, and `reason` says why. Key: `pass:<pass>`."""

    number: str
    causes: tuple[Cause, ...]
    actions: tuple[str, ...]
    reason: str


AnyFact = (
    SystemDeclared
    | DatasetCommitted
    | ModelTrained
    | TrainingFailed
    | TrainingTried
    | ReleaseMoved
    | Recalibrated
    | Compared
    | VerdictsGiven
    | DriftMeasured
    | TelemetryPruned
    | PersonForgetting
    | PersonForgotten
    | DataExpired
    | ActionIntended
    | ActionFinished
    | PassPlanned
    | PassFinished
    | BacktestFinished
    | ExperimentFinished
    | TrialFinished
    | SearchFinished
    | WeakSlicesFound
    | RunImported
)
