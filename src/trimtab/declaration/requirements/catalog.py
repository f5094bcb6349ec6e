"""Every metric that some stage can measure, and what a figure of it can be at all."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trimtab.data.spec import METRICS as DATA_METRICS
from trimtab.declaration.problems import nearest
from trimtab.labels.spec import METRICS as LABELS_METRICS
from trimtab.records.metric import Metric
from trimtab.serving.spec import METRICS as SERVING_METRICS
from trimtab.training.spec import METRICS as TRAINING_METRICS

_BOUNDS_BY_UNIT: dict[str, tuple[float, float]] = {
    "ratio": (0.0, 1.0),
    "number": (0.0, math.inf),
    "time": (0.0, math.inf),
    "size": (0.0, math.inf),
    "rate": (0.0, math.inf),
    "money": (-math.inf, math.inf),
}
_BOUNDS_BY_NAME: dict[str, tuple[float, float]] = {
    "quality.r2": (-math.inf, 1.0),
    "quality.brier": (0.0, 1.0),
    "quality.word_error_rate": (0.0, math.inf),
    "quality.character_error_rate": (0.0, math.inf),
    "data.mean": (-math.inf, math.inf),
    "data.quantile": (-math.inf, math.inf),
    "data.minimum": (-math.inf, math.inf),
    "data.maximum": (-math.inf, math.inf),
}
# The whole's figure always lies between the least and the greatest of its slices' figures.
_BETWEEN_SLICES = frozenset(
    {
        "quality.precision",
        "quality.recall",
        "quality.accuracy",
        "quality.log_loss",
        "quality.brier",
        "quality.mae",
        "quality.rmse",
        "quality.rank_1",
        "quality.true_accept",
        "quality.false_accept",
        "quality.word_error_rate",
        "quality.character_error_rate",
        "quality.pixel_accuracy",
        "value.per_1000",
        "data.completeness",
        "data.validity",
        "data.consistency",
        "data.plausibility",
        "data.accuracy",
        "data.referential",
        "data.timeliness",
        "data.mean",
        "data.quantile",
    }
)


def metrics() -> Mapping[str, Metric]:
    """All metrics by name, in the order the stages list them."""
    return {metric.name: metric for metric in (*TRAINING_METRICS, *DATA_METRICS, *LABELS_METRICS, *SERVING_METRICS)}


def families() -> tuple[str, ...]:
    """The first words of all metric names."""
    return tuple(dict.fromkeys(name.split(".", 1)[0] for name in metrics()))


def bounds(metric: Metric) -> tuple[float, float]:
    """The least and the greatest figure that the metric can take, in its base unit."""
    return _BOUNDS_BY_NAME.get(metric.name, _BOUNDS_BY_UNIT[metric.unit])


def between_slices(metric: str) -> bool:
    """Whether the figure of all rows always lies between those of its slices (true of means, not of ROC AUC)."""
    return metric in _BETWEEN_SLICES


def nearest_metric(name: str, allowed: Mapping[str, Metric] | None = None) -> str | None:
    """The metric that was most likely meant by `name`: whole names first, then their last words."""
    names = list(allowed if allowed is not None else metrics())
    if name.lower() in names:
        return name.lower()
    last = name.rsplit(".", 1)[-1].lower()
    by_last = {known.rsplit(".", 1)[-1]: known for known in reversed(names)}
    if last in by_last:
        return by_last[last]
    whole = nearest(name, names)
    if whole is not None:
        return whole
    ending = [known for known in names if last and (last in known or known.rsplit(".", 1)[-1] in last)]
    if ending:
        return ending[0]
    part = nearest(last, by_last)
    return by_last[part] if part else None
