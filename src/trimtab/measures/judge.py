"""From an estimate to a verdict: met, broken, or unknown when the evidence does not carry either."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, isclose, log10

from trimtab.measures.intervals import normal_quantile
from trimtab.records.metric import Place
from trimtab.records.requirement import Estimate, Requirement, Status, Verdict

# Figures of a sample: too few rows say nothing. The others (a file's size, a dataset's age) are counted whole.
_SAMPLED = (
    "quality.", "value.", "labels.agreement", "labels.first_agreement", "labels.error_rate",
    "serving.latency", "serving.error_rate",
    "data.accuracy", "data.timeliness", "data.mean", "data.quantile", "data.balance",
)  # fmt: skip
_SHARES = frozenset(
    (
        "data.accuracy",
        *(
            f"quality.{name}"
            for name in (
                "roc_auc",
                "average_precision",
                "precision",
                "recall",
                "f1",
                "accuracy",
                "calibration_error",
                "rank_1",
                "true_accept",
                "false_accept",
                "equal_error_rate",
                "tar_at_far",
                "mean_average_precision",
                "average_precision_50",
                "average_recall",
                "iou",
                "dice",
                "pixel_accuracy",
            )
        ),
    )
)


def judge(req: Requirement, estimate: Estimate, *, place: Place) -> Verdict:
    """The verdict on one figure.

    No figure, or fewer than `min_rows` rows behind a sampled metric: unknown. Interval wholly on the right side of the
    limit, or no interval and the figure there: met. Wholly on the wrong side: broken. Across the limit: unknown.
    """
    if estimate.figure is None:
        return _verdict(req, estimate, "unknown", estimate.reason or "it was not measured", place)
    if req.metric.startswith(_SAMPLED) and estimate.rows < req.min_rows:
        reason = f"{estimate.rows} rows are too few to tell: it takes {req.min_rows}"
        return _verdict(req, estimate, "unknown", reason, place)
    status = _status(req, estimate)
    return _verdict(req, estimate, status, _reason(req, estimate, status), place)


def judge_slices(req: Requirement, estimates: Mapping[str, Estimate], *, place: Place) -> Verdict:
    """The verdict on a requirement that every slice must hold; `estimates` maps the slice's value to its figure.

    The worst slice decides and is named: any broken one breaks it, else any unknown one leaves it unknown. So that many
    slices do not break it by chance, intervals are widened for k slices (Bonferroni: each side of the 95% interval,
    read as 1.96 standard errors, becomes z(1 - 0.025/k) of them). Slices under `min_rows` rows or without a figure are
    left out and counted; with none left the verdict is unknown, with the worst figure among those left out.
    """
    kept = {name: e for name, e in estimates.items() if e.figure is not None and e.rows >= req.min_rows}
    left_out = len(estimates) - len(kept)
    if not kept:
        return _no_slice(req, estimates, place)
    factor = normal_quantile(1 - 0.025 / len(kept)) / normal_quantile(0.975)
    widened = {name: _widened(e, factor, share=req.metric in _SHARES) for name, e in kept.items()}
    by_status: dict[Status, list[str]] = {"broken": [], "unknown": [], "met": []}
    for name in sorted(widened):
        by_status[_status(req, widened[name])].append(name)
    status, names = next((status, names) for status, names in by_status.items() if names)
    worst = min(names, key=lambda name: _margin(req, widened[name]))
    reason = f"{req.by or 'slice'}={worst}: {_reason(req, widened[worst], status) or 'the worst slice holds it'}"
    if len(names) > 1 and status != "met":
        reason += f"; {len(names)} of {len(kept)} slices are {status}"
    if left_out:
        reason += f"; {left_out} with fewer than {req.min_rows} rows or no figure left out"
    return _verdict(req, widened[worst], status, reason, place, part=worst)


def acceptable(verdict: Verdict) -> bool:
    """Whether a gate lets a release through on this verdict: met, or unknown with a figure on the right side of the
    limit. Broken, or never measured, is not."""
    if verdict.status == "met":
        return True
    if verdict.status == "broken" or verdict.figure is None:
        return False
    return holds(verdict.figure, verdict.comparison, verdict.limit)


def _no_slice(req: Requirement, estimates: Mapping[str, Estimate], place: Place) -> Verdict:
    measured = {name: e for name, e in sorted(estimates.items()) if e.figure is not None}
    if not measured:
        return _verdict(req, Estimate(figure=None), "unknown", f"no slice by {req.by or 'column'} has a figure", place)
    worst = min(measured, key=lambda name: _margin(req, measured[name]))
    reason = f"none of {len(estimates)} slices by {req.by or 'column'} has {req.min_rows} rows"
    return _verdict(req, measured[worst], "unknown", reason, place, part=worst)


def _status(req: Requirement, estimate: Estimate) -> Status:
    figure = estimate.figure
    if figure is None:
        return "unknown"
    low = figure if estimate.low is None else estimate.low
    high = figure if estimate.high is None else estimate.high
    if req.comparison == "==":
        if holds(low, "==", req.limit) and holds(high, "==", req.limit):
            return "met"
        return "unknown" if low <= req.limit <= high else "broken"
    ends = (holds(low, req.comparison, req.limit), holds(high, req.comparison, req.limit))
    if all(ends):
        return "met"
    return "unknown" if any(ends) else "broken"


def holds(figure: float, comparison: str, limit: float) -> bool:
    """Whether a figure, taken for exact, is on the right side of a limit."""
    if comparison == ">=":
        return figure >= limit
    if comparison == "<=":
        return figure <= limit
    if comparison == ">":
        return figure > limit
    if comparison == "<":
        return figure < limit
    return isclose(figure, limit, rel_tol=1e-9, abs_tol=1e-12)


def _margin(req: Requirement, estimate: Estimate) -> float:
    """How far the figure is on the right side of the limit; below zero on the wrong side."""
    figure = estimate.figure if estimate.figure is not None else req.limit
    if req.comparison == "==":
        return -abs(figure - req.limit)
    return figure - req.limit if req.comparison in (">=", ">") else req.limit - figure


def _widened(estimate: Estimate, factor: float, *, share: bool) -> Estimate:
    """The same figure with each side of its interval `factor` as long, kept within 0..1 for a share."""
    figure, low, high = estimate.figure, estimate.low, estimate.high
    if figure is None or low is None or high is None:
        return estimate
    low, high = figure - factor * (figure - low), figure + factor * (high - figure)
    if share:
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(figure=figure, low=low, high=high, rows=estimate.rows, reason=estimate.reason)


def _reason(req: Requirement, estimate: Estimate, status: Status) -> str:
    figure = estimate.figure
    if status == "met" or figure is None:
        return estimate.reason
    unit = f" {req.unit}" if req.unit and req.unit != "%" else req.unit
    limit = f"{req.limit / req.scale:.10g}{unit}"
    decimals = _decimals(figure / req.scale, req.limit / req.scale)

    def shown(number: float) -> str:
        return f"{number / req.scale:.{decimals}f}"

    side = "below" if figure < req.limit else "above" if figure > req.limit else "at"
    said = f"{shown(figure)}{unit} is {side} {limit}"
    if estimate.low is None or estimate.high is None:
        return said
    interval = f"{shown(estimate.low)}..{shown(estimate.high)}{unit}"
    if status == "unknown":
        return f"{said} but the interval {interval} crosses it"
    return f"{said}, and so is the whole interval {interval}"


def _decimals(figure: float, limit: float) -> int:
    """Decimals that show three digits and tell the figure from its limit."""
    size = max(abs(figure), abs(limit))
    least = max(0, 2 - floor(log10(size))) if size > 0 else 0
    enough = (d for d in range(least, 12) if f"{figure:.{d}f}" != f"{limit:.{d}f}")
    return least if figure == limit else next(enough, 12)


def _verdict(
    req: Requirement, estimate: Estimate, status: Status, reason: str, place: Place, *, part: str | None = None
) -> Verdict:
    return Verdict(
        metric=req.metric,
        status=status,
        comparison=req.comparison,
        limit=req.limit,
        unit=req.unit,
        scale=req.scale,
        figure=estimate.figure,
        low=estimate.low,
        high=estimate.high,
        rows=estimate.rows,
        place=place,
        slice=part,
        reason=reason,
    )
