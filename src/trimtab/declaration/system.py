"""What one `trimtab.toml` declares, read and checked: the System."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import UNSET, UnsetType

from trimtab.data.spec import DatasetSpec, StoreSpec
from trimtab.experiments.spec import ExperimentSpec, TrackingSpec
from trimtab.features.spec import FeatureViewSpec
from trimtab.labels.spec import LabelsSpec
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Requirement, Value
from trimtab.serving.spec import ServeSpec
from trimtab.training.spec import ModelSpec

CauseName = Literal[
    "data_drift",
    "concept_drift",
    "requirement_broken",
    "schedule",
    "new_rows",
    "code_changed",
    "schema_changed",
    "no_model",
    "person_forgotten",
    "training_interrupted",
]


class Trigger(Record, kw_only=True):
    """One line of `retrain_on`. `amount` is seconds for `schedule:30 d`, rows for `new_rows:50000`, and for
    `new_rows:50%` the growth as a fraction (`relative` is then true). `metric` narrows `requirement_broken:<metric>` to
    one requirement (None: any quality or value requirement)."""

    cause: CauseName
    amount: float | None = None
    relative: bool = False
    metric: str | None = None
    text: str = ""


class ReleaseStep(Record, kw_only=True):
    """One line of `release`: `shadow:500` (500 labelled rows), `canary:10%:1000` (1,000 labelled rows at weight 0.1)
    or `live`."""

    stage: Literal["shadow", "canary", "live"]
    rows: int = 0
    weight: float = 0.0


class Policy(Record, kw_only=True):
    """`[policy]`. `window` is the span of live evidence a verdict looks at, `cooldown` the least time between two
    trainings, `watch` how long the former model stays in shadow after a promotion, all in seconds. `canary_by` is the
    input column whose values share out the traffic of a canary (empty: prediction ids do). `recalibrate` is the
    half-life in seconds of the truth by which answers are shifted between trainings (None: they are not). `gate` false
    (only in fixed schedules that a backtest compares with) releases whatever was trained, at once."""

    retrain_on: tuple[Trigger, ...] = ()
    window: float = 7 * 86400.0
    release: tuple[ReleaseStep, ...] = (ReleaseStep(stage="live"),)
    cooldown: float = 3 * 86400.0
    watch: float = 7 * 86400.0
    approve: Literal["auto", "human"] = "auto"
    canary_by: str = ""
    recalibrate: float | None = None
    gate: bool = True


class Incident(Record, kw_only=True):
    """Something done on purpose during a replay: at `at`, the model trained by `code` is made live past the gates, or
    (`gated`) proposed as a challenger like any other."""

    at: datetime
    code: str
    gated: bool = False


class Replay(Record, kw_only=True):
    """`[replay]`: the span of history that `replay` and `backtest` go through, a pass every `step` seconds."""

    start: datetime
    end: datetime
    step: float = 86400.0
    incidents: tuple[Incident, ...] = ()


class CardSpec(Record, kw_only=True):
    """`[card]`. Texts are as declared, empty where nothing was. `out_of_scope` are uses that the models are not made
    for, `limits` what is known to go wrong. `licence` is an SPDX expression. `groups` are the columns whose values are
    compared with each other: who is served better, and who worse."""

    intended_use: str = ""
    users: str = ""
    out_of_scope: tuple[str, ...] = ()
    owner: str = ""
    contact: str = ""
    licence: str = ""
    ethics: str = ""
    limits: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class System(Record, kw_only=True):
    """A whole declaration. `folder` is where it lies; `text` is the file as read; `digest` the hash of its meaning;
    `formerly` the name that the same system had before."""

    path: str
    folder: str
    digest: str
    text: str
    name: str
    problem: str
    task: Task
    value: Value | None
    requirements: tuple[Requirement, ...]
    data: tuple[DatasetSpec, ...]
    features: tuple[FeatureViewSpec, ...]
    model: ModelSpec
    policy: Policy
    serve: ServeSpec
    replay: Replay | None = None
    experiments: tuple[ExperimentSpec, ...] = ()
    labels: LabelsSpec | None = None
    store: StoreSpec = StoreSpec()
    card: CardSpec | None = None
    tracking: TrackingSpec = TrackingSpec()
    formerly: str | UnsetType = UNSET

    @property
    def labelled(self) -> DatasetSpec:
        """The one dataset that has a label: what the model learns from."""
        return next(spec for spec in self.data if spec.label is not None)

    @property
    def annotations(self) -> DatasetSpec | None:
        """The dataset of what annotators said, one row a revision; None where nobody labels. Where the labelled rows
        are of people, so are these: what names a row, and what was written of it, is sealed with that person's key."""
        if self.labels is None:
            return None
        name = self.labels.data
        of = next(spec for spec in self.data if spec.name == name)
        written = ("value",) if self.labels.kind == "transcript" else ()
        return DatasetSpec(
            subject=None if of.subject is None else "subject",
            personal=() if of.subject is None else ("item", "given", *written),
            privacy=of.privacy,
            name=f"{self.labels.data}_labels",
            source="",
            key=("annotation", "at"),
            time="at",
            line=self.labels.line,
        )
