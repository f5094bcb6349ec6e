"""What a user declares about the model: `[model]`, and the requirements that training can measure."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from trimtab.records.base import Record
from trimtab.records.metric import Metric, Place, Task
from trimtab.records.tensors import MediaModel
from trimtab.training.search.pruning import Rule

_BINARY: tuple[Task, ...] = ("binary_classification",)
_CLASSES: tuple[Task, ...] = ("binary_classification", "multiclass_classification")
_BOXES: tuple[Task, ...] = ("binary_classification", "detection")
_RIGHT: tuple[Task, ...] = (*_CLASSES, "recognition", "transcription")
_WORTH: tuple[Task, ...] = (*_RIGHT, "regression", "detection")
_WATCHED: tuple[Place, ...] = ("release", "shadow", "canary", "live")
_LABELLED: tuple[Place, ...] = ("release", "live")
"""Of images and sounds the truth is told by the labelled dataset, not by those who ask."""


class Dimension(Record, kw_only=True):
    """The values that a search tries for one hyper-parameter: from `low` to `high`, `integer` or not, on a `log` scale
    or not; or one of `choices`."""

    name: str
    low: float = 0.0
    high: float = 0.0
    integer: bool = False
    log: bool = False
    choices: tuple[Any, ...] = ()


class SearchSpec(Record, kw_only=True):
    """`[model.search]`: which hyper-parameters to try, and for what.

    `objectives` are metrics, better where their metric says so; several give a Pareto front. `period` is the span of
    rows that trials are judged on, in seconds, right before `holdout` (None: as long as that), and `folds` how many
    such periods, one before the other. `shares` are the parts of the training rows that a trial is fitted on first; who
    is behind there, or after a period, is given up as `prune` says. `workers` trials run at a time. `horizon` is how
    long the result is expected to be used, in seconds: an improvement is worth that many predictions. Where something
    is measured on the server, `connections` callers ask it at once. `choose` is the rule by which one trial goes on:
    the `best` in the first objective, or of those that are not shown to be behind it the one with the best `cheapest`.
    A dimension called `model.code`, `model.window` or `model.seed` is that setting of `[model]`.
    """

    space: tuple[Dimension, ...]
    objectives: tuple[str, ...]
    trials: int = 30
    sampler: Literal["tpe", "cmaes", "random", "grid"] = "tpe"
    folds: int = 1
    period: float | None = None
    workers: int = 1
    horizon: float = 30 * 86400.0
    prune: Rule = "median"
    shares: tuple[float, ...] = ()
    connections: int = 4
    choose: Literal["best", "simplest"] = "best"
    cheapest: str = "resources.model_size"
    line: int = 0


class ModelSpec(Record, kw_only=True):
    """`[model]`.

    `code` is a Python file, relative to the declaration, with `train(train, valid, params)` and optionally
    `features(rows)`. `inputs` are the columns the model may see (empty: all but key, time and label).
    `window` is how far back training rows go, in seconds (None: all). `holdout` is the span of newest labelled rows
    kept for validation and for the paired comparison, in seconds. `threshold` is the decision threshold of a
    binary task: what follows from `[value]`, what earned the most on the validation rows, or a number. `media` is set
    where rows are images or sounds.
    Limits: `time_limit` seconds, `memory_limit` bytes.
    """

    code: str
    params: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies an empty default
    inputs: tuple[str, ...] = ()
    window: float | None = None
    holdout: float = 7 * 86400.0
    baseline: str = "majority"
    seed: int = 0
    time_limit: float = 600.0
    memory_limit: float = 4 * 2.0**30
    threshold: Literal["break_even", "value"] | float = "break_even"
    search: SearchSpec | None = None
    # Left out of the JSON form when not set, so that declarations of tables keep their digest.
    media: MediaModel | UnsetType = UNSET
    line: int = 0


METRICS: tuple[Metric, ...] = (
    Metric(name="quality.roc_auc", unit="ratio", better="higher", places=_WATCHED, tasks=_BINARY, sliceable=True,
           meaning="area under the ROC curve"),
    Metric(name="quality.average_precision", unit="ratio", better="higher", places=_WATCHED, tasks=_BINARY,
           sliceable=True, meaning="average precision over all thresholds"),
    Metric(name="quality.precision", unit="ratio", better="higher", places=_WATCHED, tasks=_BOXES, sliceable=True,
           meaning="share of positive answers that were right"),
    Metric(name="quality.recall", unit="ratio", better="higher", places=_WATCHED, tasks=_BOXES, sliceable=True,
           meaning="share of true positives that were found"),
    Metric(name="quality.f1", unit="ratio", better="higher", places=_WATCHED, tasks=(*_CLASSES, "detection"),
           sliceable=True, meaning="harmonic mean of precision and recall (macro average for several classes)"),
    Metric(name="quality.accuracy", unit="ratio", better="higher", places=_WATCHED, tasks=_RIGHT, sliceable=True,
           meaning="share of right answers"),
    Metric(name="quality.log_loss", unit="number", better="lower", places=_WATCHED, tasks=_CLASSES, sliceable=True,
           meaning="mean negative log-likelihood"),
    Metric(name="quality.brier", unit="number", better="lower", places=_WATCHED, tasks=_BINARY, sliceable=True,
           meaning="mean squared error of the probability"),
    Metric(name="quality.calibration_error", unit="ratio", better="lower", places=_WATCHED, tasks=_BINARY,
           sliceable=True, meaning="expected calibration error, ten bins of equal count"),
    Metric(name="quality.mae", unit="number", better="lower", places=_WATCHED, tasks=("regression",), sliceable=True,
           meaning="mean absolute error"),
    Metric(name="quality.rmse", unit="number", better="lower", places=_WATCHED, tasks=("regression",), sliceable=True,
           meaning="root mean squared error"),
    Metric(name="quality.r2", unit="number", better="higher", places=_WATCHED, tasks=("regression",), sliceable=True,
           meaning="share of the variance explained"),
    Metric(name="quality.rank_1", unit="ratio", better="higher", places=_LABELLED, tasks=("recognition",),
           sliceable=True, meaning="share of enrolled probes that are most similar to who they show"),
    Metric(name="quality.true_accept", unit="ratio", better="higher", places=_LABELLED, tasks=("recognition",),
           sliceable=True, meaning="share of enrolled probes that were answered with their name"),
    Metric(name="quality.false_accept", unit="ratio", better="lower", places=_LABELLED, tasks=("recognition",),
           sliceable=True, meaning="share of strangers that were taken for somebody"),
    Metric(name="quality.equal_error_rate", unit="ratio", better="lower", places=_LABELLED, tasks=("recognition",),
           sliceable=True, meaning="where as many are accepted for another as are rejected for themselves"),
    Metric(name="quality.tar_at_far", unit="ratio", better="higher", places=_LABELLED, tasks=("recognition",),
           sliceable=True, meaning="true accept rate where the false accept rate is 1%"),
    Metric(name="quality.word_error_rate", unit="ratio", better="lower", places=_LABELLED, tasks=("transcription",),
           sliceable=True, meaning="substituted, deleted and inserted words over words that were said"),
    Metric(name="quality.character_error_rate", unit="ratio", better="lower", places=_LABELLED,
           tasks=("transcription",), sliceable=True, meaning="the same of characters"),
    Metric(name="quality.mean_average_precision", unit="ratio", better="higher", places=_LABELLED,
           tasks=("detection",), sliceable=True, meaning="COCO's AP: mean over classes and overlaps .50 to .95"),
    Metric(name="quality.average_precision_50", unit="ratio", better="higher", places=_LABELLED, tasks=("detection",),
           sliceable=True, meaning="COCO's AP50: mean over classes at an overlap of .50"),
    Metric(name="quality.average_recall", unit="ratio", better="higher", places=_LABELLED, tasks=("detection",),
           sliceable=True, meaning="COCO's AR100: boxes found, mean over classes and overlaps .50 to .95"),
    Metric(name="quality.iou", unit="ratio", better="higher", places=_LABELLED, tasks=("segmentation",),
           sliceable=True, meaning="mean over classes of intersection over union (Jaccard index)"),
    Metric(name="quality.dice", unit="ratio", better="higher", places=_LABELLED, tasks=("segmentation",),
           sliceable=True, meaning="mean over classes of the Dice coefficient (F1 of pixels)"),
    Metric(name="quality.pixel_accuracy", unit="ratio", better="higher", places=_LABELLED, tasks=("segmentation",),
           sliceable=True, meaning="share of pixels of the right class"),
    Metric(name="value.per_1000", unit="money", better="higher", places=_WATCHED, tasks=_WORTH, sliceable=True,
           meaning="worth of 1,000 predictions by `[value]`"),
    Metric(name="resources.train_time", unit="time", better="lower", places=("release",),
           meaning="wall time of the training process"),
    Metric(name="resources.train_memory", unit="size", better="lower", places=("release",),
           meaning="peak resident memory of the training process"),
    Metric(name="resources.model_size", unit="size", better="lower", places=("release",),
           meaning="bytes of the exported model"),
)  # fmt: skip
