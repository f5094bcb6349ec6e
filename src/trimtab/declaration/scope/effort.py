"""What keeping the system will take: how often it trains, what that costs, and how much data comes in.

A year has 365.25 days, a month a twelfth of it. The first training is not counted, only those that follow.

* `schedule:T` trains every max(T, cooldown).
* `new_rows:N` trains every N new rows: rows_per_day * 365.25 / N times a year.
* `new_rows:g%` trains when the rows have grown by the share g: log(1 + rows_per_day * 365.25 / rows) / log(1 + g)
  times in the coming year.
* the other triggers come when they come: at most once per cooldown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.declaration.system import Policy, ReleaseStep, Trigger
from trimtab.records.base import Record
from trimtab.records.requirement import Requirement, Value
from trimtab.training.spec import ModelSpec

_DAY = 86_400.0
_YEAR = 365.25 * _DAY


class TrainingScope(Record, kw_only=True):
    """Trainings a year after the first: at least, and at most (None: nothing bounds them). `minutes` is the length of
    one and `minutes_from` where that is known from. Costs are positive, in the declared currency, None without
    `[value] per_training_minute`."""

    per_year_least: float
    per_year_most: float | None
    minutes: float
    minutes_from: str
    cost_per_year_least: float | None = None
    cost_per_year_most: float | None = None
    cost_per_month_least: float | None = None
    cost_per_month_most: float | None = None


class VolumeScope(Record, kw_only=True):
    """Rows and bytes that come in. None stands for what is not known yet."""

    rows: int | None = None
    bytes: int | None = None
    rows_per_day: float | None = None
    rows_per_month: float | None = None
    bytes_per_day: float | None = None
    bytes_per_month: float | None = None


def training_effort(
    policy: Policy,
    model: ModelSpec,
    requirements: Sequence[Requirement],
    value: Value | None,
    *,
    rows: int | None = None,
    rows_per_day: float | None = None,
    last_minutes: float | None = None,
) -> TrainingScope:
    """How often the policy trains in a year, and what that costs."""
    most_by_cooldown = _YEAR / policy.cooldown if policy.cooldown > 0 else math.inf
    known = [_times_a_year(trigger, rows, rows_per_day) for trigger in policy.retrain_on]
    counted = [times for times in known if times is not None]
    least = min(max(counted, default=0.0), most_by_cooldown)
    most = min(sum(counted), most_by_cooldown) if len(counted) == len(known) else most_by_cooldown
    minutes, source = _minutes(model, requirements, last_minutes)
    cost = -value.per_training_minute * minutes if value is not None and value.per_training_minute else None
    bounded = math.isfinite(most)
    return TrainingScope(
        per_year_least=least,
        per_year_most=most if bounded else None,
        minutes=minutes,
        minutes_from=source,
        cost_per_year_least=None if cost is None else cost * least,
        cost_per_year_most=None if cost is None or not bounded else cost * most,
        cost_per_month_least=None if cost is None else cost * least / 12,
        cost_per_month_most=None if cost is None or not bounded else cost * most / 12,
    )


def volume(rows: int | None, size: int | None, rows_per_day: float | None) -> VolumeScope:
    """Rows and bytes a day and a month; bytes follow from the mean size of the rows so far."""
    bytes_per_day = rows_per_day * size / rows if rows_per_day is not None and size is not None and rows else None
    month = _YEAR / _DAY / 12
    return VolumeScope(
        rows=rows,
        bytes=size,
        rows_per_day=rows_per_day,
        rows_per_month=None if rows_per_day is None else rows_per_day * month,
        bytes_per_day=bytes_per_day,
        bytes_per_month=None if bytes_per_day is None else bytes_per_day * month,
    )


def release_days(steps: Sequence[ReleaseStep], rows_per_day: float | None, label_delay: float) -> float | None:
    """Days from candidate to live: shadow waits for its rows and their labels, a canary for its share of the rows."""
    if not rows_per_day:
        return None
    days = 0.0
    for step in steps:
        if step.stage == "shadow":
            days += step.rows / rows_per_day + label_delay / _DAY
        elif step.stage == "canary":
            days += step.rows / (rows_per_day * step.weight)
    return days


def _times_a_year(trigger: Trigger, rows: int | None, rows_per_day: float | None) -> float | None:
    """None when it depends on what happens, or on a fact that is not known."""
    if trigger.amount is None:
        return None
    if trigger.cause == "schedule":
        return _YEAR / trigger.amount
    if rows_per_day is None:
        return None
    new = rows_per_day * _YEAR / _DAY
    if not trigger.relative:
        return new / trigger.amount
    return math.log1p(new / rows) / math.log1p(trigger.amount) if rows else None


def _minutes(model: ModelSpec, requirements: Sequence[Requirement], last_minutes: float | None) -> tuple[float, str]:
    if last_minutes is not None:
        return last_minutes, "the last training"
    limits = [
        requirement.limit
        for requirement in requirements
        if requirement.metric == "resources.train_time" and requirement.comparison in ("<=", "<", "==")
    ]
    if limits and min(limits) < model.time_limit:
        return min(limits) / 60, "the limit of resources.train_time"
    return model.time_limit / 60, "[model] time_limit"
