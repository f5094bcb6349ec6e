"""The files of an adopted system: its declaration and its model.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from math import floor, log10
from pathlib import Path
from typing import Any

from trimtab.adoption.code import Written
from trimtab.adoption.rows import Adopted
from trimtab.declaration.units import format_duration
from trimtab.measures.metrics.declared import better_when
from trimtab.records.durable import write_atomically
from trimtab.records.requirement import Estimate

DATA = "rows.parquet"
_SUGGESTED = {
    "binary_classification": ("quality.roc_auc", "quality.log_loss"),
    "multiclass_classification": ("quality.accuracy", "quality.log_loss"),
    "regression": ("quality.mae", "quality.r2"),
}
_SHARE = 0.2
"""Of the rows' span that is held out to measure on."""


def write_model(folder: Path, written: Written) -> None:
    """model.py, which trains the same estimator again."""
    told = f"\n    model.set_params({written.told})" if written.told else ""
    text = f'''"""How the model is trained: the estimator that was adopted, fitted again."""

from __future__ import annotations

import numpy as np
{written.import_lines()}


def train(train, valid, params):
    """Fit on `train`: x is a float32 matrix [rows, inputs], y the label of each row. `valid` only measures."""
    model = {written.expression}
    model.set_params(**params){told}
    return model.fit({written.matrix}, np.asarray(train.y))
'''
    write_atomically(folder / "model.py", text.encode())


def holdout_of(rows: Adopted) -> timedelta:
    """The newest fifth of the rows, in whole minutes."""
    moments = rows.frame.get_column(rows.time).sort()
    first = moments[int(len(moments) * (1 - _SHARE))]
    minutes = max(1, round((moments[-1] - first).total_seconds() / 60))
    for unit in (1440, 60):  # a round figure, where that changes little
        if minutes >= 5 * unit:
            return timedelta(minutes=minutes // unit * unit)
    return timedelta(minutes=minutes)


def suggestions(metrics: Mapping[str, Estimate], task: str) -> dict[str, str]:
    """Requirements that the measured model meets, each as its line: the bound of the 95% interval on the bad side, and
    a tenth of its distance beyond, in two digits."""
    found = {}
    for name in _SUGGESTED[task]:
        measured = metrics.get(name)
        if measured is None or measured.figure is None or measured.low is None or measured.high is None:
            continue
        higher = better_when(name) == "higher"
        bound = measured.low if higher else measured.high
        slack = bound + (bound - measured.figure) * 0.1
        found[name] = f"{'>=' if higher else '<='} {_rounded(slack, down=higher)}"
    return found


def write_declaration(
    folder: Path,
    *,
    name: str,
    problem: str,
    rows: Adopted,
    params: Mapping[str, Any],
    requirements: Mapping[str, str],
) -> None:
    """trimtab.toml; one that is there already is replaced whole."""
    order = "\n# The rows had no time: their order stands for it, one a minute." if rows.invented_time else ""
    lines = "\n".join(f"{_text(metric)} = {_text(limit)}" for metric, limit in requirements.items())
    settings = "\n".join(f"{key} = {_toml(value)}" for key, value in params.items())
    table = f"\n[model.params]\n{settings}\n" if settings else ""
    text = f"""# Written by trimtab.adopt. Edit it: what is required, what answers are worth, what to do about it.

[system]
name = {_text(name)}
problem = {_text(problem)}
task = {_text(rows.task)}

[requirements]                  # suggested from what the adopted model was measured at
{lines}
"resources.train_time" = "<= 10 min"
"data.completeness" = {{ limit = ">= 0.9", columns = [{_text(rows.label)}] }}
{order}
[[data]]
name = "rows"
source = {_text(DATA)}
key = {_text(rows.key)}
time = {_text(rows.time)}
label = {_text(rows.label)}

[model]
code = "model.py"
inputs = [{", ".join(map(_text, rows.inputs))}]
holdout = {_text(format_duration(holdout_of(rows).total_seconds()))}
{table}
[policy]
retrain_on = ["concept_drift", "requirement_broken", "new_rows:50%", "code_changed"]
release = ["shadow:200", "canary:20%:100", "live"]
window = "7 d"
cooldown = "1 d"
"""
    write_atomically(folder / "trimtab.toml", text.encode())


def _rounded(figure: float, *, down: bool) -> str:
    """Two digits that matter, never to the side that asks for more."""
    if figure == 0:
        return "0"
    unit = 10.0 ** (floor(log10(abs(figure))) - 1)
    steps = floor(figure / unit) if down else -floor(-figure / unit)
    return f"{steps * unit:.10g}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a TOML basic string escapes as JSON does


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)
