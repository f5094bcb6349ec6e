"""`[[experiments]]`: hypotheses whose change and metric can be resolved; any other is refused here."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from trimtab.declaration.paths import check_file
from trimtab.declaration.problems import did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.requirements.catalog import metrics, nearest_metric
from trimtab.declaration.units import parse_quantity
from trimtab.errors import DeclarationError
from trimtab.experiments.spec import Change, Expectation, ExperimentSpec
from trimtab.features.spec import FeatureViewSpec
from trimtab.records.base import Record
from trimtab.records.metric import Metric, Task
from trimtab.records.requirement import Value
from trimtab.training.spec import ModelSpec

_EXAMPLE = '"quality.roc_auc >= baseline + 0.02"'
HOW_TO_DECLARE = (
    "write [[experiments]] and below it name, hypothesis (a sentence), what to change, such as "
    f"change = {{ params = {{ learning_rate = 0.05 }} }}, and expect = {_EXAMPLE}"
)
_EXPECT = re.compile(
    r"\s*(?P<metric>[A-Za-z0-9_.]+)\s*(?P<comparison>>=|<=)\s*baseline\s*(?:(?P<sign>[+-])\s*(?P<margin>.+?))?\s*"
)
_MOST = 100


class About(Record, kw_only=True):
    """What the rest of the declaration says that an experiment changes or is measured by."""

    folder: str
    model: ModelSpec | None
    views: tuple[FeatureViewSpec, ...]
    task: Task | None
    value: Value | None


def read_experiment(table: Table, about: About) -> ExperimentSpec | None:
    """One `[[experiments]]` table; None when something it cannot do without is missing."""
    name = table.name("name") if table.require("name", '"weather"') else None
    hypothesis = table.text("hypothesis") if table.require("hypothesis", '"Weather raises ROC AUC by 0.02"') else None
    expect = None
    text = table.text("expect", _EXAMPLE) if table.require("expect", _EXAMPLE) else None
    if text is not None and about.task is not None:
        with table.problems.at(table.key("expect")):
            expect = parse_expectation(text, about.task, about.value)
    baseline = _change(table, "baseline", about)
    change = _change(table, "change", about) if table.require("change", "{ ... }") else None
    found: dict[str, Any] = {
        "folds": table.integer("folds", 1, _MOST),
        "period": table.duration("period", '"28 d"'),
        "seeds": table.integer("seeds", 1, _MOST),
        "cluster": table.text("cluster", '"carrier"'),
        "level": table.share("level"),
    }
    if found["level"] is not None and not 0 < found["level"] <= 0.5:
        table.wrong("level", "a share above 0 and at most 0.5", hint="write level = 0.05")
    table.close()
    if change is not None and change.nothing:
        hint = "say what is changed: params, inputs, add, leave_out, code or window"
        table.problems.add(table.key("change"), "changes nothing, so there is nothing to find out", hint=hint)
    if name is None or hypothesis is None or expect is None or change is None:
        return None
    return ExperimentSpec(
        name=name,
        hypothesis=hypothesis,
        expect=expect,
        change=change,
        baseline=baseline or Change(),
        line=table.line,
        **{key: each for key, each in found.items() if each is not None},
    )


def parse_expectation(text: str, task: Task, value: Value | None) -> Expectation:
    """Read `quality.roc_auc >= baseline + 0.02`. DeclarationError where it cannot be read, or nothing measures it."""
    found = _EXPECT.fullmatch(text)
    if found is None:
        raise DeclarationError(f'cannot read "{text}"', hint=f"write expect = {_EXAMPLE}")
    metric = found["metric"]
    known = _measured(task)
    if metric not in known:
        near = nearest_metric(metric, known)
        meant = f'; did you mean "{near}"?' if near else ""
        what = f"is not measured for {task}" if metric in metrics() else "is no metric"
        raise DeclarationError(f'"{metric}" {what}{meant}', hint=f"an experiment can expect {', '.join(known)}")
    if metric == "value.per_1000" and value is None:
        raise DeclarationError("nothing says what an answer is worth", hint="declare [value]")
    margin, scale, unit = 0.0, 1.0, ""
    if found["margin"]:
        currency = value.currency if value is not None else None
        margin, scale, unit = parse_quantity(found["margin"], known[metric].unit, currency)
        margin *= -1.0 if found["sign"] == "-" else 1.0
    comparison = cast("Literal['>=', '<=']", found["comparison"])
    return Expectation(
        metric=metric, comparison=comparison, margin=margin, unit=unit, scale=scale, text=" ".join(text.split())
    )


def _measured(task: Task) -> dict[str, Metric]:
    """What labelled rows of the task can be measured by."""
    families = ("quality.", "value.")
    return {n: m for n, m in metrics().items() if n.startswith(families) and (not m.tasks or task in m.tasks)}


def _change(table: Table, key: str, about: About) -> Change | None:
    values = table.table(key)
    if values is None:
        return None
    own = Table(table.problems, table.key(key), values)
    params, code = own.table("params") or {}, own.text("code", '"other.py"')
    window = 0.0 if own.raw("window") == "all" else own.duration("window", '"90 d", or "all"')
    inputs = own.texts("inputs") or ()
    add, leave_out = own.texts("add") or (), own.texts("leave_out") or ()
    own.close()
    if code is not None:
        check_file(table.problems, own.key("code"), about.folder, code)
    model = about.model
    if model is not None:
        for name in params:
            if name not in model.params:
                meant = did_you_mean(name, model.params)
                hint = "write its present value there, so that both arms say it"
                table.problems.add(
                    own.key("params", name), f"is no hyper-parameter of [model] params{meant}", hint=hint
                )
        known = [*(view.view for view in about.views), *model.inputs]
        for name in leave_out if model.inputs else ():
            if name not in known and name not in add:
                meant = did_you_mean(name, known)
                table.problems.add(own.key("leave_out"), f'"{name}" is no input of the model and no view{meant}')
    if inputs and (add or leave_out):
        table.problems.add(own.key("inputs"), "says all inputs, so nothing can be added or left out beside it")
    return Change(params=params, inputs=inputs, add=add, leave_out=leave_out, code=code or "", window=window)
