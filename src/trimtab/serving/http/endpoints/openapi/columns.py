"""What a model takes and gives, in JSON Schema."""

from __future__ import annotations

from typing import Any, NamedTuple

from trimtab.records.model import Column, Signature
from trimtab.records.tensors import TensorInput, Tensors
from trimtab.serving.open_inference.tensors import DATATYPES

Schema = dict[str, Any]
_MOST_EXAMPLES = 200
MOMENT: Schema = {
    "type": "string",
    "format": "date-time",
    "description": "ISO 8601 with its offset, from 1970 until a few minutes from now",
    "examples": ["2026-01-31T08:30:00+00:00"],
}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_KINDS: dict[str, Schema] = {
    "number": {"type": ["number", "null"]},
    "category": {"type": ["string", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "time": {"type": ["string", "null"], "format": "date-time"},
}


class Found(NamedTuple):
    """What the server looks up: the model's columns that need not be sent, and those they are looked up by."""

    optional: frozenset[str] = frozenset()
    by: tuple[str, ...] = ()


def row(signature: Signature | None, found: Found) -> Schema:
    """One row of `/predict`. Without a signature: any object."""
    if signature is None:
        return {"type": "object", "description": "one value for each column of the model"}
    if isinstance(signature.tensors, Tensors):
        return _inputs(signature.tensors)
    properties = {column.name: cell(column, signature) for column in signature.inputs}
    for name in found.optional & properties.keys():
        told = properties[name].get("description", "")
        properties[name]["description"] = f"{told}; looked up where it is left out".removeprefix("; ")
    beside = {"type": ["string", "number", "boolean", "null"], "description": "other columns are looked up by it"}
    return {
        "type": "object",
        "description": "One value for each column of the model; null where it is not known.",
        "properties": properties | {name: beside for name in found.by if name not in properties},
        "required": [column.name for column in signature.inputs if column.name not in found.optional],
        "additionalProperties": False,
    }


def _inputs(tensors: Tensors) -> Schema:
    """One example for a model of tensors: files in base64, other tensors as nested lists."""
    return {
        "type": "object",
        "properties": {one.name: _input(one) for one in tensors.inputs},
        "required": [one.name for one in tensors.inputs],
        "additionalProperties": False,
    }


def _input(one: TensorInput) -> Schema:
    shape = " x ".join(str(size) if size >= 0 else "any" for size in one.shape) or "one value"
    tensor: Schema = {"description": f"{one.datatype}, {shape}"}
    if one.image is None and one.audio is None:
        return tensor
    formats = (one.image or one.audio).formats  # type: ignore[union-attr]
    kind = "image" if one.image is not None else "audio"
    file = {"type": "string", "contentEncoding": "base64", "contentMediaType": f"{kind}/*",
            "description": f"a file ({', '.join(formats)}) in base64"}  # fmt: skip
    return {"anyOf": [file, {"type": "array"} | tensor]}


def file_types(signature: Signature | None) -> list[str]:
    """The types of content of which a body may be one row by itself."""
    if signature is None or not isinstance(signature.tensors, Tensors) or len(signature.tensors.inputs) != 1:
        return []
    one = signature.tensors.inputs[0]
    return ["image/*"] if one.image is not None else ["audio/*"] if one.audio is not None else []


def cell(column: Column, signature: Signature) -> Schema:
    """One value of a column. A category has the values of the training as examples; others are taken for unknown."""
    schema = dict(_KINDS[column.kind])
    words = vocabulary(column, signature)
    if words:
        schema["examples"] = list(words[:_MOST_EXAMPLES])
        schema["description"] = f"{len(words):,} values were known in training; any other counts as unknown"
    elif column.kind == "time":
        schema["examples"] = MOMENT["examples"]
        schema["description"] = "ISO 8601 with its offset"
    return schema


def vocabulary(column: Column, signature: Signature) -> tuple[str, ...]:
    """The values of a category, where the model takes the column as it is."""
    found = (one for one in signature.features if one.name == column.name and one.kind == "category")
    return next((one.vocabulary for one in found), ()) if column.kind == "category" else ()


def example(signature: Signature) -> dict[str, Any]:
    """A row that fits."""
    plain = {"number": 1.0, "category": "?", "boolean": True, "time": MOMENT["examples"][0]}
    return {column.name: next(iter(vocabulary(column, signature)), plain[column.kind]) for column in signature.inputs}


def tensors(signature: Signature) -> list[dict[str, Any]]:
    """The same row as tensors."""
    one = example(signature)
    return [
        {"name": column.name, "datatype": DATATYPES[column.kind][0], "shape": [1], "data": [one[column.name]]}
        for column in signature.inputs
    ]


def prediction(signature: Signature | None) -> Schema:
    """One row of an answer."""
    if signature is not None and isinstance(signature.tensors, Tensors):
        return _named_prediction()
    several = signature is not None and signature.task == "multiclass_classification"
    probability: Schema = {"type": "number"}
    properties: dict[str, Schema] = {
        "id": ID,
        "score": {"type": "array", "items": probability} if several else {"type": "number"},
        "release": {"type": "string", "description": "the release that answered"},
        "model": {"type": "string", "description": "its model version"},
        "explanation": {"type": ["object", "null"], "description": "where it was asked for"},
    }
    if several and signature is not None:
        properties["score"]["description"] = "one a class: " + ", ".join(signature.classes)
    elif signature is not None and signature.task == "binary_classification":
        properties["score"]["description"] = f"the probability of {signature.classes[1] if signature.classes else 1!r}"
    required = ["id", "score", "release", "model"]
    if signature is None:
        properties["score"] = {}
    elif signature.task != "regression":
        properties["label"] = label(signature)
        required.append("label")
    return {"type": "object", "properties": properties, "required": required}


def _named_prediction() -> Schema:
    """One row of the answer of a model of tensors: score and label where its task has them, and outputs by name."""
    properties = {
        "id": ID,
        "score": {"type": ["number", "array"]},
        "label": {"type": ["string", "integer", "array"]},
        "outputs": {"type": "object", "description": "further outputs by name"},
        "release": {"type": "string", "description": "the release that answered"},
        "model": {"type": "string", "description": "its model version"},
        "explanation": {"type": ["object", "null"]},
    }
    return {"type": "object", "properties": properties, "required": ["id", "release", "model"]}


def label(signature: Signature) -> Schema:
    """A decision."""
    return {"enum": list(signature.classes) if signature.classes else [0, 1]}


def truth(signature: Signature | None) -> Schema:
    """What became of a prediction."""
    if signature is None:
        return {"type": ["string", "number", "boolean"]}
    if signature.task == "regression":
        return {"type": "number"}
    if signature.task == "tensors":
        return {"type": ["string", "number", "boolean"]}
    told: list[object] = list(signature.classes)
    if signature.task == "binary_classification":
        told += [0, 1, True, False]
    return {"enum": told, "description": "a class of the model"}
