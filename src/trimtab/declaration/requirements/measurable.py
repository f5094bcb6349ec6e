"""Requirements on data that the dataset, as it is declared, leaves without anything to measure."""

from __future__ import annotations

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.problems import did_you_mean
from trimtab.declaration.requirements.catalog import metrics
from trimtab.records.metric import Task
from trimtab.records.requirement import Requirement

_UNDECLARED = {
    "data.validity": (
        "says of no column what is valid, so there is nothing to measure",
        'declare valid = { column = "0 .. 100" } there',
    ),
    "data.consistency": (
        "compares no columns, so there is nothing to measure",
        'declare consistent = ["departure <= arrival"] there',
    ),
    "data.plausibility": ("says of no row what is plausible", 'declare plausible = ["speed <= 350"] there'),
    "data.accuracy": (
        "trusts no other value, so nothing says what is accurate",
        'declare trusted = { column = "dataset.column" } there, or require data.plausibility',
    ),
    "data.referential": (
        "refers to no other dataset, so there is nothing to measure",
        'declare references = { column = "dataset.column" } there',
    ),
    "data.timeliness": (
        "does not say when a row was written down, so how late it came is not known",
        'declare recorded = "received_at", the column that says it, there',
    ),
}
_UNNAMED = {
    "data.validity": ("no rule says what is valid in", "rules"),
    "data.accuracy": ("no trusted value says what is true in", "trusted"),
    "data.referential": ("nothing is said to hold the values of", "references"),
}
_BY_DEFAULT = ("data.balance", "data.corrupt")


def without_data(  # noqa: PLR0911 - one line for each way in which something is missing
    requirement: Requirement, spec: DatasetSpec, task: Task
) -> tuple[str, str]:
    """What is missing and how to mend it; empty where the requirement can be measured."""
    metric = requirement.metric
    declared = _declared(metric, spec)
    if declared is not None and not declared:
        problem, hint = _UNDECLARED[metric]
        return f'[[data]] "{spec.name}" {problem}', hint
    if metric in _UNNAMED and declared:
        problem, what = _UNNAMED[metric]
        for column in requirement.columns:
            if column not in declared:
                return f'{problem} "{column}"{did_you_mean(column, declared)}', f"{what}: {', '.join(declared)}"
    if metric == "data.forbidden_columns" and not spec.privacy.forbid:
        return "no column is forbidden", 'declare forbid = ["ssn", "passport*"] in [privacy]'
    if metric == "data.representation" and (unsaid := [c for c in requirement.columns if c not in spec.population]):
        hint = f"declare population = {{ {unsaid[0]} = {{ value = 0.5, ... }} }} there"
        return f'[[data]] "{spec.name}" tells no population of "{unsaid[0]}"', hint
    if requirement.columns:
        return "", ""
    if metric == "data.coverage":
        return f"{metric} is of columns, and none is named", 'write { limit = "...", columns = ["origin", "carrier"] }'
    if metric == "data.balance" and task in ("regression", "detection", "segmentation", "transcription"):
        return f"the label of {task} has no classes", 'name a column that has: columns = ["carrier"]'
    if metrics()[metric].one_column and metric not in _BY_DEFAULT:
        return f"{metric} is of one column, and none is named", 'write { limit = "...", columns = ["distance"] }'
    return "", ""


def _declared(metric: str, spec: DatasetSpec) -> tuple[str, ...] | None:
    """What the dataset declares of the kind that this metric needs; None where it needs nothing declared."""
    return {
        "data.validity": tuple(rule.column for rule in spec.valid),
        "data.consistency": spec.consistent,
        "data.plausibility": spec.plausible,
        "data.accuracy": tuple(one.column for one in spec.trusted),
        "data.referential": tuple(one.column for one in spec.references),
        "data.timeliness": (spec.recorded,) if spec.recorded is not None else (),
    }.get(metric)
