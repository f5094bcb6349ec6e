"""`[requirements]`: every line understood, and none that nothing could measure or that contradicts another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.problems import KeyPath, Problems
from trimtab.declaration.requirements.catalog import families
from trimtab.declaration.requirements.conflicts import conflicts
from trimtab.declaration.requirements.grammar import KEYS, Context, parse_requirement
from trimtab.declaration.requirements.measurable import without_data
from trimtab.declaration.tables.sections import OUTCOMES
from trimtab.declaration.units import format_quantity
from trimtab.records.metric import Task
from trimtab.records.requirement import Requirement, Value
from trimtab.serving.spec import ServeSpec


def read_requirements(
    problems: Problems, entries: dict[str, Any], task: Task | None, value: Value | None, serve: ServeSpec
) -> tuple[Requirement, ...]:
    """All requirements that could be understood, in the order of the file; the problems of the others are recorded."""
    context = Context(task=task, currency=value.currency if value else None, explain_time=serve.explain_time)
    found: list[Requirement] = []
    keys: dict[int, KeyPath] = {}
    for key, name, entry in _entries(("requirements",), entries):
        with problems.at(key):
            requirement = parse_requirement(name, entry, context, line=problems.line(key))
            keys[id(requirement)] = key
            found.append(requirement)
    for requirement, reason in conflicts(found):
        problems.add(keys[id(requirement)], reason)
    return tuple(found)


def check_measurable(
    problems: Problems,
    requirements: Sequence[Requirement],
    data: Sequence[DatasetSpec],
    value: Value | None,
    task: Task,
) -> None:
    """Record every requirement that this declaration leaves without anything to measure."""
    labelled = next((spec for spec in data if spec.label is not None), None)
    for requirement in requirements:
        key: KeyPath = ("requirements", requirement.metric)
        reason, hint = "", ""
        if requirement.metric.startswith("data.") and labelled is not None:
            reason, hint = without_data(requirement, labelled, task)
            if not reason and requirement.by is not None:
                reason = _degenerate_slices(requirement, labelled)
        elif requirement.by is not None and labelled is not None:
            reason = _degenerate_slices(requirement, labelled)
        elif requirement.metric == "value.per_1000" and value is not None:
            reason, hint = _out_of_reach(requirement, value, task)
        if reason:
            problems.add_at(requirement.line, key, reason, hint)


def _entries(base: KeyPath, entries: dict[str, Any]) -> Iterator[tuple[KeyPath, str, Any]]:
    """Each (key path, metric, entry): lists are spread, and `quality.recall` may be written with or without quotes."""
    known = families()
    for name, entry in entries.items():
        if name in known and isinstance(entry, dict) and not set(entry) & set(KEYS):
            for inner, below in entry.items():
                yield from _spread((*base, name, inner), f"{name}.{inner}", below)
        else:
            yield from _spread((*base, name), name, entry)


def _spread(key: KeyPath, metric: str, entry: Any) -> Iterator[tuple[KeyPath, str, Any]]:
    if isinstance(entry, list) and entry:
        for position, item in enumerate(entry):
            yield (*key, position), metric, item
    else:
        yield key, metric, entry


def _degenerate_slices(requirement: Requirement, labelled: DatasetSpec) -> str:
    if requirement.by == labelled.label and not requirement.metric.startswith("data."):
        return f'"{requirement.by}" is the label: a slice by it holds one class, which nothing can be measured on'
    if (requirement.by,) == labelled.key:
        return f'"{requirement.by}" is the key: every slice by it holds one row'
    return ""


def _out_of_reach(requirement: Requirement, value: Value, task: Task) -> tuple[str, str]:
    """No answers are worth more than the best outcome every time."""
    worths = [getattr(value, name) for name in OUTCOMES[task]]
    if not any(worths):
        return "[value] says of no outcome what it is worth", f"declare {' or '.join(OUTCOMES[task])}"
    if task == "detection":  # a picture may have any number of boxes
        return "", ""
    if task == "regression":
        worths = [0.0] if worths[0] < 0 else [0.0, float("inf")]
    best = 1000 * (max(worths) + value.per_prediction)
    if requirement.comparison in (">=", ">", "==") and requirement.limit > best:
        text = format_quantity(best, requirement.unit, requirement.scale, digits=6)
        return f"not even 1,000 answers of the best outcome are worth that much, but {text}", "see [value]"
    return "", ""
