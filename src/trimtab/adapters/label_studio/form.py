"""How labels look in Label Studio: the page of a project, and its results as labels and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from trimtab.labels.port import NotALabel, Value
from trimtab.labels.spec import LabelsSpec

CONTROL, OBJECT = "label", "item"
_TYPES = {
    "class": "choices",
    "multi_label": "choices",
    "box": "rectanglelabels",
    "transcript": "textarea",
    "regression": "number",
}
_PERCENT = 100.0


def page_of(spec: LabelsSpec) -> str:
    """The labelling configuration of a project, as XML."""
    view = Element("View")
    match spec.media:
        case "image":
            SubElement(view, "Image", name=OBJECT, value="$shown")
        case "audio":
            SubElement(view, "Audio", name=OBJECT, value="$shown")
        case "text":
            SubElement(view, "Text", name=OBJECT, value="$shown")
        case _:
            SubElement(view, "Table", name=OBJECT, value="$shown")
    match spec.kind:
        case "box":
            control = SubElement(view, "RectangleLabels", name=CONTROL, toName=OBJECT)
            for name in spec.classes:
                SubElement(control, "Label", value=name)
        case "transcript":
            SubElement(view, "TextArea", name=CONTROL, toName=OBJECT, maxSubmissions="1", editable="true", rows="3")
        case "regression":
            ends: dict[str, str] = {
                key: f"{end:g}" for key, end in (("min", spec.low), ("max", spec.high)) if end is not None
            }
            SubElement(view, "Number", {"name": CONTROL, "toName": OBJECT, "step": "any", **ends})
        case _:
            choice = "multiple" if spec.kind == "multi_label" else "single"
            control = SubElement(view, "Choices", name=CONTROL, toName=OBJECT, choice=choice, showInLine="true")
            for name in spec.classes:
                SubElement(control, "Choice", value=name)
    return tostring(view, encoding="unicode")


def shown_of(shown: Mapping[str, Any], spec: LabelsSpec) -> Any:
    """What the page shows of an item."""
    if spec.media == "table":
        return {name: None if cell is None else _plain(cell) for name, cell in shown.items()}
    return "" if (cell := next(iter(shown.values()), None)) is None else str(cell)


def result_of(value: Value, spec: LabelsSpec) -> list[dict[str, Any]]:
    """A label as a result: what a prediction, or a person, puts on the page."""
    match spec.kind:
        case "class":
            return [_region({"choices": [value]}, spec)]
        case "multi_label":
            return [_region({"choices": list(value)}, spec)] if value else []
        case "transcript":
            return [_region({"text": [value]}, spec)]
        case "regression":
            return [_region({"number": value}, spec)]
        case "box":
            return [_region(_drawn(box), spec) for box in value]


def given_in(result: Any, spec: LabelsSpec) -> Any:
    """What a result says, to be read against the declared schema. Raises NotALabel where it is not one control's answer
    of the declared kind."""
    if not isinstance(result, Sequence) or not all(isinstance(one, dict) for one in result):
        raise NotALabel("the result is not a list of regions")
    regions = [one for one in result if one.get("type") != "relation"]
    for region in regions:
        if region.get("type") != _TYPES[spec.kind] or region.get("from_name") != CONTROL:
            found = f"{region.get('type')} of {region.get('from_name')!r}"
            raise NotALabel(f"the result holds {found}, where {_TYPES[spec.kind]} of {CONTROL!r} is expected")
        if not isinstance(region.get("value"), dict):
            raise NotALabel("a region of the result has no value")
    if spec.kind == "box":
        return [_box(region["value"]) for region in regions]
    if spec.kind == "multi_label" and not regions:
        return []
    if len(regions) != 1:
        raise NotALabel(f"the result holds {len(regions)} answers, where one is expected")
    return _single(regions[0]["value"], spec)


def _single(value: Mapping[str, Any], spec: LabelsSpec) -> Any:
    if spec.kind == "regression":
        return value.get("number")
    if spec.kind == "multi_label":
        return value.get("choices")
    found = value.get("choices" if spec.kind == "class" else "text")
    if isinstance(found, str):
        return found
    if not isinstance(found, list) or len(found) != 1:
        raise NotALabel(f"the result holds {len(found) if isinstance(found, list) else 'no'} answers instead of one")
    return found[0]


def _region(value: dict[str, Any], spec: LabelsSpec) -> dict[str, Any]:
    return {"from_name": CONTROL, "to_name": OBJECT, "type": _TYPES[spec.kind], "value": value}


def _drawn(box: Mapping[str, Any]) -> dict[str, Any]:
    x0, y0, x1, y1 = (_PERCENT * end for end in box["box"])
    return {
        "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": [box["label"]]
    }  # fmt: skip


def _box(value: Mapping[str, Any]) -> dict[str, Any]:
    names = value.get("rectanglelabels")
    if not isinstance(names, list) or len(names) != 1:
        raise NotALabel("a box has not one class")
    if value.get("rotation"):
        raise NotALabel("a box is turned; only upright ones are labels")
    ends = [value.get(side) for side in ("x", "y", "width", "height")]
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise NotALabel("a box has not its four sides")
    x, y, width, height = (float(end) / _PERCENT for end in ends if end is not None)
    return {"label": names[0], "box": [x, y, x + width, y + height]}


def _plain(cell: Any) -> Any:
    """A cell as JSON holds it."""
    try:
        json.dumps(cell)
    except TypeError:
        return str(cell)
    return cell
