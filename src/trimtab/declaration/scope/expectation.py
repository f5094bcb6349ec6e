"""What 1,000 predictions are worth: of a perfect model, of a constant answer, and of the least that is required.

All worths are per 1,000 predictions, in the declared currency, with `per_prediction` counted and training not. For a
binary task with positive rate p, TP..FN the worths of the outcomes and c the worth of a prediction:

* perfect: 1000 (p TP + (1-p) TN + c)
* best constant: 1000 (max(p TP + (1-p) FP, p FN + (1-p) TN) + c): always yes, or always no
* at the limits: the least of 1000 (x TP + (p-x) FN + y FP + (1-p-y) TN + c), over all shares x of found positives and
  y of false alarms that the required recall, precision, accuracy and F1 allow. Each of these is a half-plane in
  (x, y), so the least lies at a corner of the polygon they leave (linear programming in two dimensions):
  recall >= R: x - R p >= 0; precision >= P: (1-P) x - P y >= 0; accuracy >= A: x - y + 1 - p - A >= 0;
  F1 >= F: (2-F) x - F y - F p >= 0.

For several classes with m the share of the commonest: perfect 1000 (correct + c), constant m correct + (1-m) wrong,
at the limit A of accuracy A correct + (1-A) wrong. For regression with w per unit of absolute error: perfect 1000 c,
constant w times the mean absolute error of the best constant, at the limit w times the required MAE (an RMSE bounds
the MAE from above, so it serves as well).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.declaration.requirements.conflicts import interval
from trimtab.measures.metrics.worth import decision_threshold
from trimtab.records.base import Record
from trimtab.records.metric import Task
from trimtab.records.requirement import Requirement, Value

_Point = tuple[float, float]
_HalfPlane = tuple[float, float, float]  # a x + b y + c >= 0
_BINDING: dict[Task, tuple[str, ...]] = {
    "binary_classification": ("quality.recall", "quality.precision", "quality.accuracy", "quality.f1"),
    "multiclass_classification": ("quality.accuracy",),
    "regression": ("quality.mae", "quality.rmse"),
    "recognition": ("quality.accuracy",),
    "transcription": ("quality.accuracy",),
    "detection": (),
    "segmentation": (),
}


class ValueScope(Record, kw_only=True):
    """What answers are worth, per 1,000 predictions. None stands for what needs a fact that is not known yet.

    `threshold` is the score from which "yes" pays (binary tasks). `constant_answer` is the best constant one.
    `at_limits` is the least that the requirements named in `limited_by` guarantee; `feasible` is false when no model
    can meet them together at this positive rate.
    """

    currency: str
    threshold: float | None = None
    perfect: float | None = None
    best_constant: float | None = None
    constant_answer: str | None = None
    at_limits: float | None = None
    limited_by: tuple[str, ...] = ()
    feasible: bool = True


def expected_value(
    value: Value,
    task: Task,
    requirements: Sequence[Requirement],
    *,
    positive_rate: float | None = None,
    majority_rate: float | None = None,
    constant_error: float | None = None,
) -> ValueScope:
    """What 1,000 predictions are worth by `value`. The rate that the task needs may be missing: see ValueScope."""
    binding = [requirement for requirement in requirements if requirement.metric in _BINDING[task]]
    if task == "binary_classification":
        return _binary(value, binding, positive_rate)
    if task in ("detection", "segmentation"):  # how many boxes a picture has is not known before
        return ValueScope(currency=value.currency)
    if task != "regression":
        return _classes(value, binding, majority_rate)
    return _regression(value, binding, constant_error)


def _binary(value: Value, binding: Sequence[Requirement], p: float | None) -> ValueScope:
    threshold = decision_threshold(value)
    if p is None:
        return ValueScope(currency=value.currency, threshold=threshold)
    always_yes = p * value.true_positive + (1 - p) * value.false_positive
    always_no = p * value.false_negative + (1 - p) * value.true_negative
    perfect = p * value.true_positive + (1 - p) * value.true_negative
    corners = _corners(binding, p)
    worths = [
        x * value.true_positive
        + (p - x) * value.false_negative
        + y * value.false_positive
        + (1 - p - y) * value.true_negative
        for x, y in corners
    ]
    return ValueScope(
        currency=value.currency,
        threshold=threshold,
        perfect=_thousand(perfect, value),
        best_constant=_thousand(max(always_yes, always_no), value),
        constant_answer="always yes" if always_yes > always_no else "always no",
        at_limits=_thousand(min(worths), value) if worths and binding else None,
        limited_by=_names(binding),
        feasible=bool(corners),
    )


def _classes(value: Value, binding: Sequence[Requirement], majority: float | None) -> ValueScope:
    # Below an upper limit on accuracy nothing is guaranteed: only lower limits bind.
    least = max((interval(requirement)[0] for requirement in binding), default=-math.inf)
    bound = math.isfinite(least) and value.correct >= value.wrong
    return ValueScope(
        currency=value.currency,
        perfect=_thousand(value.correct, value),
        best_constant=None if majority is None else _thousand(_mix(majority, value), value),
        constant_answer=None if majority is None else "always the commonest class",
        at_limits=_thousand(_mix(least, value), value) if bound else None,
        limited_by=_names(binding) if bound else (),
    )


def _regression(value: Value, binding: Sequence[Requirement], constant_error: float | None) -> ValueScope:
    most = min((interval(requirement)[2] for requirement in binding), default=math.inf)
    bound = math.isfinite(most) and value.absolute_error <= 0
    constant = None if constant_error is None else _thousand(value.absolute_error * constant_error, value)
    return ValueScope(
        currency=value.currency,
        perfect=_thousand(0.0, value),
        best_constant=constant,
        constant_answer=None if constant is None else "always the same number",
        at_limits=_thousand(value.absolute_error * most, value) if bound else None,
        limited_by=_names(binding) if bound else (),
    )


def _thousand(worth: float, value: Value) -> float:
    return 1000.0 * (worth + value.per_prediction)


def _mix(right: float, value: Value) -> float:
    return right * value.correct + (1 - right) * value.wrong


def _names(binding: Sequence[Requirement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(requirement.metric for requirement in binding))


def _corners(binding: Sequence[Requirement], p: float) -> list[_Point]:
    """Corners of what the requirements leave of the rectangle 0 <= x <= p, 0 <= y <= 1-p; none when nothing is left."""
    polygon: list[_Point] = [(0.0, 0.0), (p, 0.0), (p, 1 - p), (0.0, 1 - p)]
    for requirement in binding:
        low, _, high, _ = interval(requirement)
        for limit, sign in ((low, 1.0), (high, -1.0)):
            if math.isfinite(limit):
                a, b, c = _half_plane(requirement.metric, limit, p)
                polygon = _clip(polygon, (sign * a, sign * b, sign * c))
    return polygon


def _half_plane(metric: str, limit: float, p: float) -> _HalfPlane:
    """Where the metric is at least the limit."""
    if metric == "quality.recall":
        return 1.0, 0.0, -limit * p
    if metric == "quality.precision":
        return 1 - limit, -limit, 0.0
    if metric == "quality.accuracy":
        return 1.0, -1.0, 1 - p - limit
    return 2 - limit, -limit, -limit * p


def _clip(polygon: list[_Point], half_plane: _HalfPlane) -> list[_Point]:
    """The part of a convex polygon in a half-plane (Sutherland and Hodgman 1974); corners on its edge are kept."""
    a, b, c = half_plane
    kept: list[_Point] = []
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        before, after = a * x0 + b * y0 + c, a * x1 + b * y1 + c
        if before >= -1e-12:
            kept.append((x0, y0))
        if (before > 1e-12 and after < -1e-12) or (before < -1e-12 and after > 1e-12):
            share = before / (before - after)
            kept.append((x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    return kept
