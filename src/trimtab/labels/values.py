"""What a label may say: results are read against the declared schema, and two of them compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.labels.port import NotALabel, Value
from trimtab.labels.spec import LabelsSpec
from trimtab.measures.arrays import Floats
from trimtab.measures.boxes import f1_of_boxes
from trimtab.measures.words import spoken, word_agreement

_SLIP = 1e-6
_SHOWN = 60


def read_value(given: Any, spec: LabelsSpec) -> Value:
    """A label in its one form. Raises NotALabel with the reason where the schema does not allow it."""
    match spec.kind:
        case "class":
            return _class(given, spec)
        case "multi_label":
            return _classes(given, spec)
        case "box":
            return _boxes(given, spec)
        case "transcript":
            if not isinstance(given, str):
                raise NotALabel(f"expected a text, found {_shown(given)}")
            return given.strip()
        case "regression":
            return _number(given, spec)


def same(one: Value, other: Value, spec: LabelsSpec) -> bool:
    """Whether two labels say the same: for boxes that each has its partner, for transcripts that the words are equal,
    for numbers that they lie within the tolerance."""
    match spec.kind:
        case "regression":
            return abs(float(one) - float(other)) <= spec.tolerance
        case "transcript":
            return spoken(one) == spoken(other)
        case "box":
            return alike(one, other, spec) == 1.0
        case _:
            return bool(one == other)


def alike(one: Value, other: Value, spec: LabelsSpec) -> float:
    """How near two labels are, 0 to 1: shared classes (Jaccard), F1 of boxes at an overlap of one half, words in
    common, or 1 - distance over the range."""
    match spec.kind:
        case "class":
            return float(one == other)
        case "multi_label":
            mine, theirs = set(one), set(other)
            return len(mine & theirs) / len(mine | theirs) if mine | theirs else 1.0
        case "box":
            return f1_of_boxes(corners(one), corners(other), names(one), names(other))
        case "transcript":
            return word_agreement(one, other)
        case "regression":
            distance = abs(float(one) - float(other))
            span = spec.high - spec.low if spec.low is not None and spec.high is not None else None
            return 1.0 - min(1.0, distance / span) if span else 1.0 / (1.0 + distance)


def corners(boxes: Value) -> Floats:
    """The corners of a label of boxes: [n, 4]."""
    return np.array([box["box"] for box in boxes], dtype=np.float64).reshape(-1, 4)


def names(boxes: Value) -> list[str]:
    """The classes of a label of boxes."""
    return [box["label"] for box in boxes]


def _class(given: Any, spec: LabelsSpec) -> str:
    if isinstance(given, bool):
        given = str(given).lower()
    if not isinstance(given, str):
        raise NotALabel(f"expected one class, found {_shown(given)}")
    _known(given, spec)
    return given


def _classes(given: Any, spec: LabelsSpec) -> list[str]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise NotALabel(f"expected a list of classes, found {_shown(given)}")
    for one in given:
        _known(one, spec)
    return [name for name in spec.classes if name in given]


def _boxes(given: Any, spec: LabelsSpec) -> list[dict[str, Any]]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise NotALabel(f"expected a list of boxes, found {_shown(given)}")
    found = []
    for one in given:
        if not isinstance(one, dict) or set(one) != {"label", "box"} or not isinstance(one["label"], str):
            raise NotALabel(f"expected a box with its label, found {_shown(one)}")
        _known(one["label"], spec)
        found.append({"label": one["label"], "box": _corners(one["box"])})
    return sorted(found, key=lambda box: (box["label"], box["box"]))


def _corners(given: Any) -> list[float]:
    if not isinstance(given, Sequence) or len(given) != 4 or not all(_is_number(one) for one in given):
        raise NotALabel(f"expected the four corners x0, y0, x1, y1, found {_shown(given)}")
    x0, y0, x1, y1 = (float(one) for one in given)
    if min(x0, y0) < -_SLIP or max(x1, y1) > 1 + _SLIP:
        raise NotALabel(f"the box {_shown(given)} lies outside of its picture")
    if x1 <= x0 or y1 <= y0:
        raise NotALabel(f"the box {_shown(given)} is empty")
    return [min(1.0, max(0.0, one)) for one in (x0, y0, x1, y1)]


def _number(given: Any, spec: LabelsSpec) -> float:
    if not _is_number(given):
        raise NotALabel(f"expected a number, found {_shown(given)}")
    low, high = spec.low, spec.high
    if (low is not None and given < low) or (high is not None and given > high):
        span = f"{'' if low is None else f'{low:g} '}..{'' if high is None else f' {high:g}'}"
        raise NotALabel(f"{given:g} lies outside of {span}")
    return float(given)


def _known(name: str, spec: LabelsSpec) -> None:
    if name not in spec.classes:
        raise NotALabel(f"there is no class {_shown(name)}; the classes are {', '.join(spec.classes)}")


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def _shown(given: Any) -> str:
    text = repr(given) if isinstance(given, str) else str(given)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
