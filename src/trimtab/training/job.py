"""What a training is asked to do, and what its worker answers: the messages between trainer and worker."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.model import Signature
from trimtab.records.requirement import Estimate, Requirement, ThresholdChosen, Value
from trimtab.records.tensors import MediaModel

MATRIX = "matrix.npy"
"""In the job's folder: the rows that the shipped model was fitted on, as its signature codes them."""
DAYS = "days.npy"
"""In the job's folder: the day number of each of those rows."""


class TrainingJob(Record, kw_only=True):
    """One model to train.

    `code` is the entry module's file and `root` the declaration's folder, both absolute. `versions` are the dataset
    versions (by name) that the rows come from; `dataset` is the labelled one. `requirements` may be all of the
    system's: those that training can measure are. `refit` fits a second time on all labelled rows once the first model
    was measured. `bootstrap` is the number of resamples for the intervals. `action` names the loop's action, for the
    fact of a failure. `personal` are the personal columns among the inputs; where rows are `private` no word of the log
    is kept. `threshold` is the rule for the decision threshold. `media` is set where the rows are images or sounds.
    Limits: `time_limit` seconds, `memory_limit` bytes, of the worker and its children together.
    """

    task: Task
    code: str
    root: str
    dataset: str
    versions: dict[str, str]
    key: tuple[str, ...]
    time: str
    label: str
    predict_before: float = 0.0
    inputs: tuple[str, ...] = ()
    params: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies an empty default
    seed: int = 0
    baseline: str = "majority"
    value: Value | None = None
    requirements: tuple[Requirement, ...] = ()
    refit: bool = False
    bootstrap: int = 200
    time_limit: float = 600.0
    memory_limit: float = 4 * 2.0**30
    action: str = ""
    personal: tuple[str, ...] = ()
    private: bool = False
    threshold: Literal["break_even", "value"] | float = "break_even"
    # Left out of the JSON form when not set, so that settings that were kept before it existed are the same.
    media: MediaModel | UnsetType = UNSET


class WorkOrder(Record, kw_only=True):
    """`job.json`: the job, with what the worker needs to carry it out in its own folder. With `keep_matrix` it leaves
    MATRIX and DAYS there. `checkpoints` is a folder that outlives a killed worker, `tracked` one for what the code
    logs, `torch` whether the code uses PyTorch."""

    job: TrainingJob
    entry: str
    has_features: bool
    has_postprocess: bool
    keep_matrix: bool
    threads: int
    checkpoints: str = ""
    tracked: str = ""
    torch: bool = False


class Fitted(Record, kw_only=True):
    """One exported model. `onnx`, `code` (the zip of `features`) and `explainer` (what explains its answers) are files
    of the job's folder, empty when there are none. `parity` is the largest difference between ONNX Runtime and the
    native model, on `parity_rows` rows."""

    onnx: str
    code: str
    signature: Signature
    parity: float
    parity_rows: int
    explainer: str = ""


class WorkDone(Record, kw_only=True, tag_field="outcome", tag="trained"):
    """`result.json`: what the worker came to. `shipped` is the refitted model where one was asked for; `metrics`,
    `baseline` and `slices` are of `evaluated`; `postprocess` is the file of that function's code, empty when there is
    none. `measured` differs between two runs of the same work."""

    shipped: Fitted
    evaluated: Fitted
    rows: int
    train_from: datetime
    train_to: datetime
    valid_from: datetime
    valid_to: datetime
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    slices: dict[str, Estimate]
    measured: dict[str, float]
    postprocess: str = ""
    threshold: ThresholdChosen | None = None


class WorkRefused(Record, kw_only=True, tag_field="outcome", tag="refused"):
    """`result.json` when there is no model, and why in one line."""

    reason: str
    hint: str = ""
