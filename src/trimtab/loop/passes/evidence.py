"""Figures the loop decides on: two releases on the same rows, and the loss of the live one over time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.measures.comparison.paired import Paired, paired_difference
from trimtab.measures.metrics.answered.families import answered_metrics
from trimtab.measures.metrics.declared import decision_threshold
from trimtab.records.facts import Compared, ModelTrained
from trimtab.records.metric import Task, is_answered
from trimtab.training.rows import encode_labels

_DAY = 86_400_000_000
USUAL: dict[Task, str] = {
    "detection": "quality.mean_average_precision",
    "segmentation": "quality.iou",
    "recognition": "quality.accuracy",
    "transcription": "quality.word_error_rate",
}
"""What two models of images or sounds are compared by beside the deciding metric."""
_LIKEWISE = {
    "binary_classification": ("quality.log_loss", "quality.roc_auc"),
    "multiclass_classification": ("quality.log_loss",),
}


def deciding_metric(system: System) -> str:
    """What releases are compared by: value where `[value]` is declared, else the first quality requirement, else the
    task's usual loss."""
    if system.value is not None:
        return "value.per_1000"
    if is_answered(system.task):
        known = answered_metrics(system.task)
        declared = next((r.metric for r in system.requirements if r.metric in known), None)
        return declared or USUAL[system.task]
    declared = next((r.metric for r in system.requirements if r.metric.startswith("quality.")), None)
    return declared or ("quality.mae" if system.task == "regression" else "quality.log_loss")


def threshold_of(system: System) -> float:
    """The decision threshold that follows from `[value]`; one half without it."""
    return decision_threshold(system.value) if system.value is not None else 0.5


def truth_of(rows: pl.DataFrame, system: System, model: ModelTrained) -> NDArray[np.float64]:
    """The truth of labelled rows as scores are measured against it: the class index of `model`, or the number."""
    labels = rows[str(system.labelled.label)]
    return encode_labels(labels, model.bundle.signature.classes, system.task).astype(np.float64)


def scores_of(column: pl.Series) -> NDArray[np.float64]:
    """Scores as they are measured: [n], or [n, classes] where each row has a list of them."""
    if isinstance(column.dtype, pl.List):
        return np.array(column.to_list(), dtype=np.float64)
    return column.cast(pl.Float64).to_numpy()


def days(moments: NDArray[np.int64]) -> NDArray[np.int64]:
    """Microseconds since 1970 → day numbers, the blocks in which rows move together."""
    return moments // _DAY


def compare(
    system: System,
    *,
    y: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    thresholds: tuple[float, float],
    moments: NDArray[np.int64],
    metric: str = "",
) -> Paired:
    """Challenger against champion on the same labelled rows, in `metric` (default: the deciding one); days are the
    blocks. `thresholds` are the champion's and the challenger's."""
    return paired_difference(
        metric or deciding_metric(system),
        y=y,
        champion=champion,
        challenger=challenger,
        threshold_champion=thresholds[0],
        threshold_challenger=thresholds[1],
        value=system.value,
        task=system.task,
        blocks=days(moments),
    )


def compare_all(
    system: System,
    *,
    y: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
    thresholds: tuple[float, float],
    moments: NDArray[np.int64],
) -> list[tuple[str, Paired]]:
    """Challenger against champion on the same labelled rows in every metric that counts, the deciding one first.

    Value decides, but a few stormy days make most of it. The probabilities themselves (log loss) and their order
    (ROC AUC, for two classes) show a worse model sooner, and a lucky week less.
    """
    metrics = [deciding_metric(system)]
    metrics += [m for m in _LIKEWISE.get(system.task, ()) if m not in metrics]
    return [
        (
            metric,
            compare(
                system,
                y=y,
                champion=champion,
                challenger=challenger,
                thresholds=thresholds,
                moments=moments,
                metric=metric,
            ),
        )
        for metric in metrics
    ]


def as_fact(
    paired: Paired,
    *,
    metric: str,
    release: str,
    champion: ModelTrained,
    challenger: ModelTrained,
    place: Literal["release", "shadow", "canary", "live"],
) -> Compared:
    """A comparison as it goes into the ledger."""
    return Compared(
        release=release,
        challenger=challenger.identity.id,
        champion=champion.identity.id,
        place=place,
        metric=metric,
        difference=float(paired.difference),
        low=float(paired.low),
        high=float(paired.high),
        rows=paired.rows,
        verdict=paired.verdict,
    )


def same_rows(predictions: pl.DataFrame, challenger: str) -> pl.DataFrame:
    """Labelled rows that `challenger` scored in shadow beside the release that answered: id, at, label, score, and the
    answer's own score and release as `answered` and `by`."""
    mine = predictions.filter((pl.col("release") == challenger) & pl.col("label").is_not_null())
    answers = predictions.filter(pl.col("stage") == "live").select(
        "id", pl.col("score").alias("answered"), pl.col("release").alias("by")
    )
    return mine.join(answers, on="id", how="inner").sort("at", "id")
