"""`[model.search]`: the hyper-parameters that are searched, for which metric, and how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from trimtab.declaration.problems import describe, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.requirements.catalog import metrics, nearest_metric
from trimtab.declaration.tables.among import read_among
from trimtab.records.metric import Task
from trimtab.records.requirement import Value
from trimtab.serving.spec import BEFOREHAND
from trimtab.training.search.pruning import Rule
from trimtab.training.spec import Dimension, SearchSpec

SAMPLERS: tuple[str, ...] = get_args(get_type_hints(SearchSpec)["sampler"])
PRUNE: tuple[str, ...] = get_args(Rule)
CHOOSE: tuple[str, ...] = get_args(get_type_hints(SearchSpec)["choose"])
HOW_TO_DECLARE = (
    'write [model.search] and below it space = { learning_rate = [0.02, 0.3, "log"] } (what stands in [model] params) '
    'and objective = "quality.roc_auc"'
)
_MOST = 1_000_000
_EXAMPLE = '[0.02, 0.3, "log"]'
_FAMILIES = ("quality.", "value.", "resources.", "serving.")


def read_search(
    table: Table, folder: str, params: Mapping[str, Any], task: Task | None, value: Value | None
) -> SearchSpec | None:
    """`[model.search]`; None when there is nothing to search."""
    among = read_among(table, folder)
    space = table.table("space") if among or table.require("space", f"{{ learning_rate = {_EXAMPLE} }}") else None
    objectives = (
        table.texts("objective", '"quality.roc_auc"') if table.require("objective", '"quality.roc_auc"') else None
    )
    found: dict[str, Any] = {
        "trials": table.integer("trials", 1, _MOST),
        "sampler": table.one_of("sampler", SAMPLERS),
        "folds": table.integer("folds", 1, 100),
        "period": table.duration("period", '"7 d"'),
        "workers": table.integer("workers", 1, 256),
        "horizon": table.duration("horizon", '"30 d"'),
        "prune": table.one_of("prune", PRUNE),
        "shares": _shares(table),
        "connections": table.integer("connections", 1, 256),
        "choose": table.one_of("choose", CHOOSE),
        "cheapest": table.text("cheapest", '"resources.model_size"'),
    }
    table.close()
    dimensions = [
        d for name, entry in (space or {}).items() if (d := _dimension(table, name, entry, params)) is not None
    ]
    dimensions += among
    if space is not None and not space and not among:
        table.problems.add(table.key("space"), "names no hyper-parameter", hint=f"write learning_rate = {_EXAMPLE}")
    for name in objectives or ():
        _check_objective(table, "objective", name, task, value)
    if found["cheapest"] is not None:
        _check_objective(table, "cheapest", found["cheapest"], task, value)
        if found["choose"] != "simplest":
            hint = 'write choose = "simplest"'
            table.problems.add(table.key("cheapest"), "says what is simple, and the best is chosen", hint=hint)
    _check_pruning(table, found, len(objectives or ()))
    if found["sampler"] == "cmaes" and (len(objectives or ()) > 1 or any(d.choices for d in dimensions)):
        hint = 'write sampler = "tpe"'
        table.problems.add(table.key("sampler"), "cmaes takes one objective and numbers only", hint=hint)
    if found["sampler"] == "grid":
        for dimension in dimensions:
            if not dimension.choices:
                hint = f"write {dimension.name} = {{ choices = [1, 2, 4] }}"
                table.problems.add(table.key("space", dimension.name), "a grid needs choices", hint=hint)
    if not dimensions or not objectives:
        return None
    return SearchSpec(
        space=tuple(dimensions),
        objectives=objectives,
        line=table.line,
        **{key: each for key, each in found.items() if each is not None},
    )


def _shares(table: Table) -> tuple[float, ...] | None:
    """`shares`: parts of the training rows, above 0 and below 1."""
    if not table.has("shares"):
        return None
    raw = table.raw("shares")
    listed = raw if isinstance(raw, list) else [raw]
    if listed and all(_number(each) and 0 < each < 1 for each in listed):
        return tuple(sorted({float(each) for each in listed}))
    table.wrong("shares", "parts of the training rows, above 0 and below 1", hint="write shares = [0.1, 0.3]")
    return None


def _check_pruning(table: Table, found: Mapping[str, Any], objectives: int) -> None:
    """A trial can only be given up by one objective, and only between two fits."""
    if found["prune"] in (None, "none") and not found["shares"]:
        return
    key = table.key("prune" if found["prune"] is not None else "shares")
    if objectives > 1:
        table.problems.add(key, "trials are given up by one objective, and there are several", hint="leave it out")
    elif found["prune"] not in (None, "none") and not found["shares"] and (found["folds"] or 1) == 1:
        table.problems.add(
            key, "there is nothing to give a trial up after", hint="add shares = [0.1, 0.3], or folds = 3"
        )


def _dimension(table: Table, name: str, entry: object, params: Mapping[str, Any]) -> Dimension | None:
    """One line of `space`: `[low, high]`, `[low, high, "log"]`, or `{ choices = [...] }`."""
    key = table.key("space", name)
    if name not in params:
        wrong = f"is no hyper-parameter of [model] params{did_you_mean(name, params)}"
        table.problems.add(key, wrong, hint="write there the value to use until a search was run")
    if isinstance(entry, dict):
        choices = entry.get("choices")
        if set(entry) == {"choices"} and isinstance(choices, list) and choices and all(map(_plain, choices)):
            return Dimension(name=name, choices=tuple(choices))
    elif isinstance(entry, list) and len(entry) in (2, 3) and all(_number(each) for each in entry[:2]):
        low, high = entry[0], entry[1]
        log = entry[2:] == ["log"]
        if (not entry[2:] or log) and low < high and (low > 0 or not log):
            whole = isinstance(low, int) and isinstance(high, int)
            return Dimension(name=name, low=float(low), high=float(high), integer=whole, log=log)
    hint = f"write {name} = {_EXAMPLE} (low, high, above zero with log), or {{ choices = [...] }}"
    table.problems.add(key, f"says no range and no choices, found {describe(entry)}", hint=hint)
    return None


def _check_objective(table: Table, key: str, name: str, task: Task | None, value: Value | None) -> None:
    known = {
        n: m for n, m in metrics().items() if n in BEFOREHAND or (n.startswith(_FAMILIES) and "release" in m.places)
    }
    fitting = [n for n, m in known.items() if task is None or not m.tasks or task in m.tasks]
    if name not in fitting:
        near = nearest_metric(name, {n: known[n] for n in fitting})
        meant = f'; did you mean "{near}"?' if near else ""
        hint = f"a trial measures {', '.join(fitting)}"
        table.problems.add(table.key(key), f'"{name}" is not measured of a trial{meant}', hint=hint)
    elif name == "value.per_1000" and value is None:
        table.problems.add(table.key(key), "nothing says what an answer is worth", hint="declare [value]")


def _number(each: object) -> bool:
    return isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)


def _plain(each: object) -> bool:
    return isinstance(each, str | bool) or _number(each)
