"""`[system]`, `[value]`, `[[features]]`, `[model]` and `[serve]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast, get_args

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.paths import check_file
from trimtab.declaration.problems import KeyPath, Problems, describe, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.tables.access import read_access
from trimtab.declaration.tables.media_model import read_media
from trimtab.declaration.tables.search import read_search
from trimtab.declaration.tables.telemetry import read_telemetry
from trimtab.declaration.units import format_duration, is_currency
from trimtab.features.spec import FeatureViewSpec
from trimtab.records.base import Record
from trimtab.records.metric import Task, is_answered
from trimtab.records.requirement import Value
from trimtab.serving.spec import ServeSpec
from trimtab.training.spec import ModelSpec

TASKS: tuple[Task, ...] = get_args(Task)
OUTCOMES: dict[Task, tuple[str, ...]] = {
    "binary_classification": ("true_positive", "false_positive", "true_negative", "false_negative"),
    "multiclass_classification": ("correct", "wrong"),
    "regression": ("absolute_error",),
    "detection": ("correct", "wrong", "missed"),
    "segmentation": (),
    "recognition": ("correct", "wrong", "missed"),
    "transcription": ("correct", "wrong"),
}
ANSWERED_BASELINES: dict[Task, tuple[str, ...]] = {
    "detection": ("majority", "prior"),
    "segmentation": ("majority",),
    "recognition": ("majority",),
    "transcription": ("majority",),
}
BASELINES = ("majority", "prior", "mean", "median")
COSTS = ("per_prediction", "per_training_minute")


class Heading(Record, kw_only=True):
    """`[system]`: the name and the former one, the problem in words, and the task."""

    name: str | None = None
    formerly: str | None = None
    problem: str | None = None
    task: Task | None = None


def read_system(table: Table) -> Heading:
    """`[system]`; None stands for what is missing or wrong (the problems are recorded)."""
    name = table.name("name") if table.require("name", '"flight-delays"') else None
    formerly = table.name("formerly")
    problem = table.text("problem") if table.require("problem", '"..."') else None
    task = table.one_of("task", TASKS) if table.require("task", f'"{TASKS[0]}"') else None
    table.close()
    return Heading(name=name, formerly=formerly, problem=problem, task=cast("Task | None", task))


def read_value(table: Table, task: Task | None) -> Value:
    """`[value]`: what answers are worth, by the outcomes that the task has."""
    if task == "segmentation":
        hint = "require quality.iou or quality.dice, and leave [value] out"
        table.problems.add(table.path, "a mask is neither right nor wrong as a whole, so it has no worth", hint=hint)
        return Value()
    currency = table.text("currency", '"USD"') or Value().currency
    if not is_currency(currency):
        table.wrong("currency", "the three capital letters of a currency", hint='write currency = "USD"')
    fitting = OUTCOMES[task] if task else tuple(name for names in OUTCOMES.values() for name in names)
    numbers = {name: number for name in (*fitting, *COSTS) if (number := table.number(name)) is not None}
    for name in table.values:
        if name not in table.asked and task is not None:
            other = next((other for other, names in OUTCOMES.items() if name in names), None)
            if other is not None:
                table.asked[name] = None
                hint = f"{task} has {', '.join(fitting)}"
                table.problems.add(table.key(name), f"is an outcome of {other}, not of {task}", hint=hint)
    table.close()
    return Value(currency=currency, **numbers)


def read_view(table: Table, data: Sequence[DatasetSpec]) -> FeatureViewSpec | None:
    """One `[[features]]` table; None when something it cannot do without is missing."""
    problems = table.problems
    view = table.name("view") if table.require("view", '"weather"') else None
    source = table.text("source") if table.require("source", '"weather"') else None
    entity = table.texts("entity", '["origin"]') if table.require("entity", '"origin"') else None
    time = table.text("time") if table.require("time", '"hour"') else None
    ttl = table.duration("ttl", '"3 h"')
    columns = table.texts("columns", '["temperature"]') or ()
    table.close()
    if source is not None:
        _check_view_source(problems, table.key("source"), source, data)
    for name in (*(entity or ()), time):
        if name is not None and name in columns:
            problems.add(table.key("columns"), f'"{name}" is the entity or the time, which is never a feature')
    if entity is not None and time in entity:
        problems.add(table.key("time"), f'"{time}" is also the entity')
    if view is None or source is None or entity is None or time is None:
        return None
    return FeatureViewSpec(
        view=view, source=source, entity=entity, time=time, ttl=ttl, columns=columns, line=table.line
    )


def read_model(table: Table, folder: str, task: Task | None, value: Value | None) -> ModelSpec | None:
    """`[model]`; None when there is no code."""
    code = table.text("code", '"model.py"') if table.require("code", '"model.py"') else None
    if code is not None:
        check_file(table.problems, table.key("code"), folder, code)
    found: dict[str, Any] = {
        "params": table.table("params"),
        "inputs": table.texts("inputs"),
        "holdout": table.duration("holdout", '"7 d"'),
        "baseline": table.one_of("baseline", BASELINES),
        "seed": table.integer("seed", 0, 2**32 - 1),
        "time_limit": table.duration("time_limit", '"10 min"'),
        "memory_limit": table.size("memory_limit", '"4 GiB"'),
        "threshold": _threshold(table, task, value),
    }
    found["media"] = read_media(table, task) or None
    if task is not None and is_answered(task) and found["baseline"] not in (None, *ANSWERED_BASELINES[task]):
        hint = f"{task} has {', '.join(ANSWERED_BASELINES[task])}"
        table.problems.add(table.key("baseline"), f'"{found["baseline"]}" is for tables', hint=hint)
    if found["params"]:
        _check_params(table.problems, table.key("params"), found["params"])
    if table.raw("window") != "all":
        found["window"] = table.duration("window", '"90 d", or "all"')
    search = table.table("search")
    if search is not None:
        own = Table(table.problems, table.key("search"), search)
        found["search"] = read_search(own, folder, found["params"] or {}, task, value)
    table.close()
    if code is None:
        return None
    return ModelSpec(code=code, line=table.line, **{key: value for key, value in found.items() if value is not None})


def _threshold(table: Table, task: Task | None, value: Value | None) -> str | float | None:
    """`threshold`: a rule, or a number."""
    if not table.has("threshold"):
        return None
    raw, key = table.raw("threshold"), table.key("threshold")
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw <= 1:
        found: str | float = float(raw)
    elif raw in ("break_even", "value"):
        found = str(raw)
    else:
        table.wrong("threshold", "break_even, value, or a number from 0 to 1", hint='write threshold = "value"')
        return None
    if task is not None and task != "binary_classification":
        table.problems.add(key, f"is of a binary task, and this is {task}", hint="leave it out")
    elif found == "value" and (value is None or not any(getattr(value, name) for name in OUTCOMES[TASKS[0]])):
        table.problems.add(key, "nothing says what an answer is worth", hint="declare [value]")
    return found


def read_serve(table: Table) -> ServeSpec:
    """`[serve]`; the defaults stand for what is missing."""
    found: dict[str, Any] = {
        "host": table.text("host", '"127.0.0.1"'),
        "port": table.integer("port", 0, 65535),
        "grpc_port": table.integer("grpc_port", 0, 65535),
        "processes": 0 if table.raw("processes") == "auto" else table.integer("processes", 1, 1024),
        "token_env": table.text("token_env", '"TRIMTAB_TOKEN"'),
        "max_body": table.size("max_body", '"8 MiB"'),
        "max_batch": table.size("max_batch", '"1 GiB"'),
        "max_rows": table.integer("max_rows", 1),
        "header_timeout": table.duration("header_timeout", '"5 s"'),
        "body_timeout": table.duration("body_timeout", '"30 s"'),
        "explain_time": table.duration("explain_time", '"100 ms"'),
        "telemetry": read_telemetry(table),
        "answer_timeout": table.duration("answer_timeout", '"30 s"'),
        "run_timeout": table.duration("run_timeout", '"10 s"'),
        "load_timeout": table.duration("load_timeout", '"2 min"'),
        "max_wait": table.duration("max_wait", '"1 s"', zero=True),
        "max_queue": table.size("max_queue", '"256 MiB"'),
        **read_access(table),
    }
    if found["token_env"] is not None and not found["token_env"].isidentifier():
        table.wrong("token_env", "the name of an environment variable", hint='write token_env = "TRIMTAB_TOKEN"')
    table.close()
    return ServeSpec(line=table.line, **{key: value for key, value in found.items() if value is not None})


def check_span(problems: Problems, model: ModelSpec, data: Sequence[DatasetSpec]) -> None:
    """Record a window that the holdout uses up: rows within it become known only `label_delay` after their moment."""
    delay = next((spec.label_delay for spec in data if spec.label is not None), 0.0)
    if model.window is not None and model.window <= model.holdout + delay:
        taken = f"the holdout of {format_duration(model.holdout)}"
        if delay:
            taken += f" and the label delay of {format_duration(delay)}"
        problems.add(
            ("model", "window"),
            f"{format_duration(model.window)} is used up by {taken}: no row is left to train on",
            hint='write a longer window, or "all"',
        )


def _check_view_source(problems: Problems, key: KeyPath, source: str, data: Sequence[DatasetSpec]) -> None:
    names = [spec.name for spec in data]
    if source not in names:
        problems.add(
            key,
            f'there is no [[data]] named "{source}"{did_you_mean(source, names)}',
            hint=f"declared: {', '.join(names)}",
        )
    elif any(spec.name == source and spec.label is not None for spec in data):
        problems.add(
            key,
            f'"{source}" holds the label, so a view of it could tell the answer',
            hint="take the view from a dataset without a label",
        )


def _check_params(problems: Problems, key: KeyPath, value: object) -> None:
    """Hyper-parameters are hashed and kept: only what JSON can hold, exactly."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_params(problems, (*key, name), item)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check_params(problems, (*key, position), item)
    elif not isinstance(value, str | int | float):
        problems.add(key, f"expected a text, a number, true, false, a list or a table, found {describe(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        problems.add(key, f"expected a finite number, found {value}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        problems.add(key, f"expected a number of at most 64 bits, found {value}")
