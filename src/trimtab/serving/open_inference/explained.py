"""Explanations as tensors, beside the outputs of a model.

`contributions` is [rows, features], or [rows, classes, features] for several classes, `base_value` [rows] or
[rows, classes]; `feature` and `explained_class` name the last dimensions. Rows without an explanation are NaN and are
listed in the parameter `unexplained_rows`: those that there was no time for, and those that a canary answered which is
not explained as the others are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.serving.execution.questions import Explained, Question
from trimtab.serving.open_inference.outputs import Output


def explained_outputs(question: Question) -> tuple[dict[str, Any], list[Output]]:
    """Parameters and outputs that explain the answers to a question; empty where nothing does."""
    if not question.explained:
        return {}, []
    first = question.explained[0].explanation
    alike = [one for one in question.explained if _kind(one) == _kind(question.explained[0])]
    count = question.count
    contributions = np.full((count, len(first.base), len(first.features)), np.nan)
    base = np.full((count, len(first.base)), np.nan)
    left = set(range(count))
    for one in alike:
        places = list(one.places[: len(one.explanation.contributions)])
        contributions[places], base[places] = one.explanation.contributions, one.explanation.base
        left -= set(places)
    classes = [len(first.outputs)] if first.outputs else []
    outputs = [
        Output("contributions", "FP64", [count, *classes, len(first.features)], contributions),
        Output("base_value", "FP64", [count, *classes], base),
        Output("feature", "BYTES", [len(first.features)], list(first.features)),
    ]
    if first.outputs:
        outputs.append(Output("explained_class", "BYTES", classes, list(first.outputs)))
    parameters = {
        "explanation_method": first.method,
        "explanation_unit": first.unit,
        "unexplained_rows": sorted(left),
    }
    return parameters, outputs


def _kind(explained: Explained) -> tuple[object, ...]:
    one = explained.explanation
    return one.method, one.unit, one.features, one.outputs
