"""What a declaration asks for, before anything runs: where each requirement is measured, what answers are worth, what
training costs, how much data comes in, and what looks wrong. Pure: facts about the data are passed in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trimtab.declaration.requirements.catalog import metrics
from trimtab.declaration.requirements.grammar import column_problems, format_condition
from trimtab.declaration.scope.effort import TrainingScope, VolumeScope, release_days, training_effort, volume
from trimtab.declaration.scope.expectation import ValueScope, expected_value
from trimtab.declaration.scope.label_effort import LabelScope, label_effort
from trimtab.declaration.system import System
from trimtab.declaration.units import format_duration, format_quantity
from trimtab.records.base import Record
from trimtab.records.metric import Place, Task
from trimtab.records.requirement import Requirement

_DAY = 86_400.0
_SLOW_RELEASE_DAYS = 30.0


class DataFacts(Record, kw_only=True):
    """What is known of the labelled dataset; everything may be missing.

    `positive_rate` (binary), `majority_rate` (share of the commonest class) and `constant_error` (mean absolute error
    of the best constant) describe the label. `slices` maps a column to its values and their shares of the rows.
    `columns` are the columns of the rows, those that feature views add included. `training_minutes` is the length of
    the last training.
    """

    rows: int | None = None
    rows_per_day: float | None = None
    bytes: int | None = None
    positive_rate: float | None = None
    majority_rate: float | None = None
    constant_error: float | None = None
    slices: Mapping[str, Mapping[str, float]] = {}
    columns: tuple[str, ...] = ()
    training_minutes: float | None = None


class ScopedRequirement(Record, kw_only=True):
    """One requirement: what it demands in words, and where this policy lets it be measured."""

    requirement: Requirement
    condition: str
    meaning: str
    places: tuple[Place, ...]


class Scope(Record, kw_only=True):
    """The whole scope of a system. `release_days` from candidate to live are known when the rate of rows is."""

    name: str
    problem: str
    task: Task
    requirements: tuple[ScopedRequirement, ...]
    value: ValueScope | None
    training: TrainingScope
    data: VolumeScope
    labels: LabelScope | None = None
    release_days: float | None
    warnings: tuple[str, ...]


def scope(system: System, facts: DataFacts | None = None) -> Scope:
    """The scope of a system, as far as the facts let it be known."""
    known = facts or DataFacts()
    value = None
    if system.value is not None:
        value = expected_value(
            system.value,
            system.task,
            system.requirements,
            positive_rate=known.positive_rate,
            majority_rate=known.majority_rate,
            constant_error=known.constant_error,
        )
    catalog = metrics()
    days = release_days(system.policy.release, known.rows_per_day, system.labelled.label_delay)
    return Scope(
        name=system.name,
        problem=system.problem,
        task=system.task,
        requirements=tuple(
            ScopedRequirement(
                requirement=requirement,
                condition=format_condition(requirement),
                meaning=catalog[requirement.metric].meaning,
                places=measured_at(requirement, system),
            )
            for requirement in system.requirements
        ),
        value=value,
        training=training_effort(
            system.policy,
            system.model,
            system.requirements,
            system.value,
            rows=known.rows,
            rows_per_day=known.rows_per_day,
            last_minutes=known.training_minutes,
        ),
        data=volume(known.rows, known.bytes, known.rows_per_day),
        labels=_of_labels(system, known),
        release_days=days,
        warnings=(
            *_about_requirements(system),
            *_about_value(system, value),
            *_about_policy(system, days),
            *_about_data(system, known),
        ),
    )


def _of_labels(system: System, known: DataFacts) -> LabelScope | None:
    """What labelling takes; of another dataset than the labelled one, the rows are not known."""
    labels = system.labels
    mine = labels is not None and labels.data == system.labelled.name
    rows, rate = (known.rows, known.rows_per_day) if mine else (None, None)
    return label_effort(labels, rows=rows, rows_per_day=rate)


def measured_at(requirement: Requirement, system: System) -> tuple[Place, ...]:
    """Where the metric can be had, less the steps that the policy's `release` leaves out."""
    skipped = {"shadow", "canary"} - {step.stage for step in system.policy.release}
    return tuple(place for place in requirement.places if place not in skipped)


def _about_requirements(system: System) -> Iterator[str]:
    if not system.requirements:
        yield "nothing is required: no release can be refused, and nothing can be broken"
    for requirement in system.requirements:
        places = measured_at(requirement, system)
        name = f"{_at(requirement)}{requirement.metric}"
        if not {"data", "release", "live"} & set(places):
            yield f"{name} is measured neither before a release nor live"
        elif "live" in places and not {"release", "shadow", "canary"} & set(places):
            yield f"{name} is first seen when a release is live: add a canary step to see it earlier"
        better = metrics()[requirement.metric].better
        if requirement.comparison[0] == ("<" if better == "higher" else ">"):
            yield f"{name} {format_condition(requirement)} limits the good side: {better} is better"


def _about_value(system: System, value: ValueScope | None) -> Iterator[str]:
    if system.task == "segmentation":  # a mask has no worth
        return
    if system.value is None or value is None:
        yield "there is no [value]: gates and backtests cannot tell what answers are worth"
        return
    if not value.feasible:
        yield f"no model can meet {', '.join(value.limited_by)} together at this positive rate"
    if value.threshold is not None and not 0 < value.threshold < 1:
        answer = "yes" if value.threshold <= 0 else "no"
        yield f'by [value], "{answer}" is the best answer whatever the score: a wrong answer costs nothing there'
    for requirement in system.requirements:
        if requirement.metric != "value.per_1000" or requirement.comparison not in (">=", ">", "=="):
            continue
        limit = format_quantity(requirement.limit, requirement.unit, requirement.scale)
        if value.perfect is not None and value.perfect < requirement.limit:
            perfect = _money(value.perfect, value)
            yield f"{_at(requirement)}not even a perfect model is worth {limit} per 1,000: it comes to {perfect}"
        if value.best_constant is not None and value.best_constant >= requirement.limit:
            constant = f"{value.constant_answer} is worth {_money(value.best_constant, value)}"
            yield f"{_at(requirement)}a model that says nothing holds value.per_1000 >= {limit}: {constant} per 1,000"


def _about_policy(system: System, days: float | None) -> Iterator[str]:
    policy, labelled = system.policy, system.labelled
    if not policy.retrain_on:
        yield "[policy] retrain_on names no cause: after the first model nothing is trained"
    if policy.window <= labelled.label_delay:
        window, delay = format_duration(policy.window), format_duration(labelled.label_delay)
        yield f"[policy] window of {window} is no longer than the label delay of {delay}: live quality stays unknown"
    if days is not None and days > _SLOW_RELEASE_DAYS:
        yield f"a release takes about {days:.0f} days to get through shadow and canary"
    span = (
        None if system.model.window is None else system.model.window - system.model.holdout - 2 * labelled.label_delay
    )
    if span is not None and span < system.model.holdout:
        left = format_duration(max(span, 0.0))
        yield f"[model] window leaves {left} of rows to train on, less than the holdout that the result is judged by"


def _about_data(system: System, facts: DataFacts) -> Iterator[str]:
    used = {view.source for view in system.features}
    for spec in system.data:
        if spec.label is None and spec.name not in used:
            yield f'line {spec.line}: [[data]] "{spec.name}" has no label and feeds no feature view'
    if facts.columns:
        for requirement, problem in column_problems(system.requirements, facts.columns):
            yield f"{_at(requirement)}{problem}"
    for requirement in system.requirements:
        shares = facts.slices.get(requirement.by or "")
        if shares and facts.rows_per_day is not None:
            yield from _thin_slices(requirement, shares, facts.rows_per_day, requirement.window or system.policy.window)


def _thin_slices(
    requirement: Requirement, shares: Mapping[str, float], rows_per_day: float, window: float
) -> Iterator[str]:
    """Slices whose expected rows in the live window stay below `min_rows`: their verdict will be unknown."""
    rows = {name: share * rows_per_day * window / _DAY for name, share in shares.items()}
    thin = sorted((count, name) for name, count in rows.items() if count < requirement.min_rows)
    if thin:
        named = ", ".join(f"{name} ({count:.0f})" for count, name in thin[:3])
        more = f" and {len(thin) - 3} more" if len(thin) > 3 else ""
        yield (
            f"{_at(requirement)}{requirement.metric} by {requirement.by}: {len(thin)} of {len(rows)} slices "
            f"hardly reach {requirement.min_rows} rows in {format_duration(window)}: {named}{more}"
        )


def _at(requirement: Requirement) -> str:
    return f"line {requirement.line}: " if requirement.line else ""


def _money(figure: float, value: ValueScope) -> str:
    return format_quantity(figure, value.currency, 1.0, digits=6)
