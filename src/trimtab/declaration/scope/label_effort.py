"""What labelling will take, as far as it is declared and the rows are known.

A row takes as many labels as `annotators`; a label costs `cost_per_label` and takes `seconds_per_label`. A month is a
twelfth of 365.25 days. The budget pays for budget / (annotators * cost_per_label) rows.
"""

from __future__ import annotations

from trimtab.labels.spec import LabelsSpec
from trimtab.records.base import Record

_MONTH = 365.25 / 12


class LabelScope(Record, kw_only=True):
    """Labels for the rows there are, and for those that come in a month; costs in the declared currency, times in
    seconds of people's time. None stands for what is not declared, or not known yet."""

    annotators: int
    policy: str
    labels: int | None = None
    cost: float | None = None
    seconds: float | None = None
    labels_per_month: float | None = None
    cost_per_month: float | None = None
    seconds_per_month: float | None = None
    budget: float | None = None
    budget_rows: int | None = None


def label_effort(spec: LabelsSpec | None, *, rows: int | None, rows_per_day: float | None) -> LabelScope | None:
    """What it takes to label the rows of a dataset; None where nobody labels."""
    if spec is None:
        return None
    labels = None if rows is None else rows * spec.annotators
    monthly = None if rows_per_day is None else rows_per_day * _MONTH * spec.annotators
    cost, seconds = spec.cost_per_label or None, spec.seconds_per_label
    paid = None
    if spec.budget is not None and cost is not None:
        paid = int(spec.budget / (cost * spec.annotators) + 1e-9)
    return LabelScope(
        annotators=spec.annotators,
        policy=spec.policy,
        labels=labels,
        cost=_times(labels, cost),
        seconds=_times(labels, seconds),
        labels_per_month=monthly,
        cost_per_month=_times(monthly, cost),
        seconds_per_month=_times(monthly, seconds),
        budget=spec.budget,
        budget_rows=paid,
    )


def _times(count: float | None, each: float | None) -> float | None:
    return None if count is None or each is None else count * each
