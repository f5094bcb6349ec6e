"""`[labels]`: what people say of the rows of a dataset, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.problems import Problems, describe, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.tables.datasets import parse_rule
from trimtab.declaration.units import parse_quantity
from trimtab.labels.spec import MEASURES, SIGNALS, Kind, LabelsSpec, Measure, Policy
from trimtab.records.metric import Task
from trimtab.records.requirement import Requirement, Value

KINDS: tuple[Kind, ...] = get_args(Kind)
POLICIES: tuple[Policy, ...] = get_args(Policy)
MEDIA = ("table", "text", "image", "audio")
_WITH_CLASSES = ("class", "multi_label", "box")
_TRUSTING = ("trusted", "adjudicate")
_FILES = "files"
_HERE = ("localhost", "127.0.0.1", "::1")


_KINDS: dict[Task, str] = {
    "regression": "regression",
    "detection": "box",
    "transcription": "transcript",
    "segmentation": "a mask, which is not labelled here",
}


def read_labels(table: Table, data: Sequence[DatasetSpec], task: Task | None, value: Value | None) -> LabelsSpec | None:
    """`[labels]`; None when something it cannot do without is missing (the problems are recorded)."""
    kind = cast("Kind | None", table.one_of("kind", KINDS) if table.require("kind", '"class"') else None)
    of = _dataset(table, data)
    column = table.text("column", '"label"')
    policy = cast("Policy | None", table.one_of("policy", POLICIES))
    found: dict[str, Any] = {
        "classes": table.texts("classes", '["one", "two"]'),
        "annotators": table.integer("annotators", 1, 100),
        "tolerance": table.number("tolerance"),
        "trusted": table.texts("trusted", '["name@example.com"]'),
        "tool": table.text("tool", '"label-studio"'),
        "files": table.text("files", '"labels/*.ndjson"'),
        "url": table.text("url", '"http://127.0.0.1:8080"'),
        "project": table.text("project", '"flights"'),
        "token_env": table.text("token_env", '"LABEL_TOOL_TOKEN"'),
        "show": table.texts("show", '["text"]'),
        "media": table.one_of("media", MEDIA),
        "cost_per_label": _not_negative(table, "cost_per_label"),
        "seconds_per_label": table.duration("seconds_per_label", '"8 s"'),
        "budget": _money(table, "budget", value),
        "mix": _mix(table),
        "policy": policy,
        **_range(table),
    }
    measure = _measure(table, kind)
    table.close()
    if kind is None or of is None:
        return None
    column = column or of.label
    if column is None:
        table.problems.add(
            table.path,
            f'[[data]] "{of.name}" has no label, so the column to write to is missing',
            hint="write column",
        )
        return None
    spec = LabelsSpec(
        kind=kind,
        data=of.name,
        column=column,
        measure=measure or MEASURES[kind][0],
        line=table.line,
        **{key: item for key, item in found.items() if item is not None},
    )
    _check(table, spec, of, task)
    if any(other.name == f"{of.name}_labels" for other in data):
        message = f'[[data]] "{of.name}_labels" has the name under which the labels of "{of.name}" are kept'
        table.problems.add(table.path, message, hint="rename it")
    return spec


def check_labels(
    problems: Problems, requirements: Sequence[Requirement], labels: LabelsSpec | None, *, declared: bool
) -> None:
    """Record requirements on labels that nobody gives, or that this kind of label cannot be measured by."""
    for requirement in requirements:
        if not requirement.metric.startswith("labels.") or (declared and labels is None):
            continue
        reason, hint = "", ""
        if labels is None:
            reason, hint = "nobody labels, so there is nothing to measure", "declare [labels]"
        elif "agreement" in requirement.metric and labels.annotators < 2:
            reason, hint = "one annotator an item leaves nothing to compare", "write annotators = 2 in [labels]"
        elif requirement.metric == "labels.error_rate" and labels.kind != "class":
            reason = f"is estimated for labels of kind class, not {labels.kind}"
        if reason:
            problems.add_at(requirement.line, ("requirements", requirement.metric), reason, hint)


def _dataset(table: Table, data: Sequence[DatasetSpec]) -> DatasetSpec | None:
    name = table.text("data", '"flights"')
    if name is None:
        return next((spec for spec in data if spec.label is not None), None)
    found = next((spec for spec in data if spec.name == name), None)
    if found is None:
        names = [spec.name for spec in data]
        table.problems.add(
            table.key("data"),
            f'there is no [[data]] named "{name}"{did_you_mean(name, names)}',
            hint=f"declared: {', '.join(names)}",
        )
    return found


def _check(table: Table, spec: LabelsSpec, of: DatasetSpec, task: Task | None) -> None:
    _check_classes(table, spec)
    if spec.column in (*of.key, of.time):
        table.problems.add(table.key("column"), f'"{spec.column}" is the key or the time of "{of.name}"')
    if spec.column == of.label and task is not None:
        _check_task(table, spec, task)
    for name in ("low", "high", "tolerance"):
        if getattr(spec, name) and spec.kind != "regression":
            key = "range" if name != "tolerance" else name
            if key in table.values:
                table.problems.add(table.key(key), f"has no meaning for labels of kind {spec.kind}")
                break
    if spec.tolerance < 0:
        table.wrong("tolerance", "a number, zero or more")
    if spec.policy == "weighted" and spec.kind != "class":
        table.problems.add(table.key("policy"), f"weighted is worked out for labels of kind class, not {spec.kind}")
    if spec.policy == "trusted" and not spec.trusted:
        table.problems.add(table.key("policy"), "nobody is trusted", hint='write trusted = ["name@example.com"]')
    if spec.trusted and spec.policy not in _TRUSTING:
        table.problems.add(
            table.key("trusted"),
            f"has no meaning under the policy {spec.policy}",
            hint=f"policies that trust: {', '.join(_TRUSTING)}",
        )
    _check_tool(table, spec)
    if spec.budget is not None and not spec.cost_per_label:
        table.problems.add(table.key("budget"), "what a label costs is missing", hint="write cost_per_label = 0.12")
    if spec.media != "table" and len(spec.show) != 1:
        table.problems.add(
            table.key("media"), f"as {spec.media}, one column is shown", hint='write show = ["one_column"]'
        )


def _check_classes(table: Table, spec: LabelsSpec) -> None:
    if spec.kind in _WITH_CLASSES and not spec.classes and "classes" not in table.values:
        table.problems.add(table.path, "classes is missing", hint='write classes = ["one", "two"]')
    elif spec.kind not in _WITH_CLASSES and spec.classes:
        table.problems.add(table.key("classes"), f"labels of kind {spec.kind} have no classes")
    elif spec.kind == "class" and len(spec.classes) == 1:
        table.problems.add(table.key("classes"), "one class leaves nothing to tell apart")


def _check_task(table: Table, spec: LabelsSpec, task: Task) -> None:
    wanted = _KINDS.get(task, "class")
    if spec.kind != wanted:
        hint = f'write kind = "{wanted}", or name another column'
        table.problems.add(table.key("kind"), f"a label of kind {spec.kind} is nothing that {task} learns", hint=hint)
    elif task == "binary_classification" and len(spec.classes) > 2:
        table.problems.add(table.key("classes"), f"{task} has two classes, not {len(spec.classes)}")


def _check_tool(table: Table, spec: LabelsSpec) -> None:
    if spec.tool == _FILES:
        for key in ("url", "project", "token_env"):
            if key in table.values:
                table.problems.add(table.key(key), "has no meaning for the tool files", hint='write tool = "..."')
        return
    if "files" in table.values:
        table.problems.add(table.key("files"), f"has no meaning for the tool {spec.tool}")
    for key, example in (("url", '"http://127.0.0.1:8080"'), ("project", f'"{spec.data}"')):
        if key not in table.values:
            table.problems.add(table.path, f"{key} is missing", hint=f"write {key} = {example}")
    if spec.url and not spec.url.startswith(("http://", "https://")):
        table.wrong("url", "an address that begins with http:// or https://")
    elif spec.url.startswith("http://") and urlsplit(spec.url).hostname not in _HERE:
        table.problems.add(
            table.key("url"), "the token would be sent without encryption", hint="write https:// instead of http://"
        )
    if not spec.token_env.isidentifier():
        table.wrong("token_env", "the name of an environment variable")


def _measure(table: Table, kind: Kind | None) -> Measure | None:
    if kind is None:
        table.has("measure")
        return None
    return cast("Measure | None", table.one_of("measure", MEASURES[kind]))


def _range(table: Table) -> dict[str, float | None]:
    text = table.text("range", '"0 .. 10"')
    if text is None:
        return {}
    with table.problems.at(table.key("range")):
        rule = parse_rule("range", text)
        if rule.pattern or rule.allowed:
            table.wrong("range", "two ends", hint='write range = "0 .. 10"')
        return {"low": rule.low, "high": rule.high}
    return {}


def _not_negative(table: Table, key: str) -> float | None:
    found = table.number(key)
    if found is not None and found < 0:
        table.wrong(key, "a number, zero or more")
        return None
    return found


def _money(table: Table, key: str, value: Value | None) -> float | None:
    text = table.text(key, '"200 USD"')
    if text is None:
        return None
    with table.problems.at(table.key(key)):
        return parse_quantity(text, "money", value.currency if value is not None else None)[0]
    return None


def _mix(table: Table) -> dict[str, float] | None:
    given = table.table("mix")
    if given is None:
        return None
    found = {}
    for name, weight in given.items():
        key = table.key("mix", name)
        if name not in SIGNALS:
            table.problems.unknown(key, SIGNALS, "signal")
        elif isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            table.problems.add(key, f"expected a number, zero or more, found {describe(weight)}")
        else:
            found[name] = float(weight)
    if given and not any(found.values()) and len(found) == len(given):
        table.problems.add(table.key("mix"), "weighs nothing", hint=f"give one of {', '.join(SIGNALS)} a weight")
    return found
