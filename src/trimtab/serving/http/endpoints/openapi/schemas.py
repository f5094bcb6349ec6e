"""The bodies of requests and answers, in JSON Schema."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.records.model import Signature
from trimtab.records.server import ServerStatus
from trimtab.serving.http.endpoints.openapi import columns
from trimtab.serving.http.endpoints.openapi.columns import ID, MOMENT, Found, Schema
from trimtab.serving.open_inference.binary import NUMBERS

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_COUNTS: Schema = {"type": "array", "items": _COUNT}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1}


def ref(name: str) -> Schema:
    """A schema by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(signature: Signature | None, most_rows: int, found: Found) -> dict[str, Schema]:
    """All of them by name."""
    _, status = msgspec.json.schema_components([ServerStatus], ref_template="#/components/schemas/{name}")
    return {
        "Row": columns.row(signature, found),
        "PredictRequest": _predict(signature, most_rows),
        "Prediction": columns.prediction(signature),
        "PredictAnswer": _object({"predictions": _list("Prediction"), "unexplained": _COUNTS}, ["predictions"]),
        "InferRequest": _infer(signature, most_rows),
        "InferAnswer": _infer_answer(),
        "Feedback": _feedback(signature),
        "FeedbackRequest": {
            "anyOf": [
                ref("Feedback"),
                _closed({"items": _list("Feedback", most_rows)}, ["items"]),
                _list("Feedback", most_rows),
            ]
        },
        "FeedbackAnswer": _object({"accepted": _COUNT, "unknown": _TEXTS}, ["accepted", "unknown"]),
        "ServerMetadata": _server_metadata(),
        "ModelMetadata": _model_metadata(),
        "Statistics": _object({"model_stats": {"type": "array", "items": _statistics()}}, ["model_stats"]),
        "IndexRequest": _object({"ready": {"type": "boolean", "default": False}}, []),
        "Index": {"type": "array", "items": _object(dict.fromkeys(("name", "version", "state", "reason"), _TEXT),
                                                    ["name", "version", "state", "reason"])},
        "Live": _object({"live": {"type": "boolean"}}, ["live"]),
        "Ready": _object({"ready": {"type": "boolean"}, "name": _TEXT, "error": _TEXT}, ["ready"]),
        "Problem": _problem(),
        **status,
    }  # fmt: skip


def _predict(signature: Signature | None, most_rows: int) -> Schema:
    rows = _list("Row", most_rows)
    asked = _closed(
        {
            "rows": rows,
            "ids": {"type": "array", "items": ID, "uniqueItems": True,
                    "description": "ids of your own, one a row; asking again with the same ids keeps one answer"},
            "time": {"anyOf": [MOMENT, {"type": "array", "items": MOMENT}],
                     "description": "when the rows happened: one moment, or one a row"},
            "sticky_key": ID | {"description": "rows of one key meet the same release"},
            "explain": {"type": "boolean", "description": "tell what each feature contributed"},
        },
        ["rows"],
    )  # fmt: skip
    told: Schema = {"anyOf": [asked, rows]}
    if signature is None or all(name != "rows" for name in columns.row(signature, Found()).get("properties", ())):
        told["anyOf"].append({"allOf": [ref("Row")], "minProperties": 1})  # one row by itself
    if signature is not None and signature.inputs:
        told["examples"] = [{"rows": [columns.example(signature)]}]
    return told


def _infer(signature: Signature | None, most_rows: int) -> Schema:
    tensor = _object(
        {
            "name": _TEXT | {"description": "a column, or `input` for encoded rows"},
            "datatype": {"enum": [*NUMBERS, "BOOL", "BYTES"]},
            "shape": _SHAPE | {"description": f"rows first, at most {most_rows:,}"},
            "data": {"type": "array", "description": "the values, flat or nested as the shape says"},
            "parameters": {"type": "object", "properties": {"binary_data_size": _COUNT}},
        },
        ["name", "datatype", "shape"],
    )
    how = {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}
    output = _object({"name": _TEXT, "parameters": how}, ["name"])
    parameters = {
        "prediction_ids": {"type": "array", "items": ID},
        "time": {"anyOf": [MOMENT, {"type": "array", "items": MOMENT}]},
        "binary_data_output": {"type": "boolean"},
        "sticky_key": ID,
        "timeout": {"type": "number", "minimum": 0, "description": "microseconds within which to answer"},
        "explain": {"type": "boolean"},
    }
    told = _object(
        {
            "id": {"type": ["string", "null"]},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": ["array", "null"], "items": output, "minItems": 1},
            "parameters": {"type": ["object", "null"], "properties": parameters},
        },
        ["inputs"],
    )
    if signature is not None and signature.inputs:
        told["examples"] = [{"inputs": columns.tensors(signature)}]
    return told


def _infer_answer() -> Schema:
    output = _object(
        {
            "name": _TEXT,
            "datatype": _TEXT,
            "shape": _SHAPE,
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
        ["name", "datatype", "shape"],
    )
    return _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": _object({"prediction_ids": _TEXTS, "release": _TEXT, "model": _TEXT, "releases": _TEXTS}, []),
            "outputs": {"type": "array", "items": output},
        },
        ["model_name", "outputs"],
    )


def _feedback(signature: Signature | None) -> Schema:
    told = _closed({"id": ID, "truth": columns.truth(signature), "time": MOMENT}, ["id", "truth"])
    told["properties"]["time"] = {"anyOf": [MOMENT, {"type": "null"}]}
    return told | {"description": "What became of a prediction; without a time: now."}


def _server_metadata() -> Schema:
    told = {"name": _TEXT, "version": _TEXT, "extensions": _TEXTS, "system": _TEXT, "error": _TEXT}
    return _object(told, ["name", "version", "extensions"])


def _model_metadata() -> Schema:
    tensor = _object({"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE}, ["name", "datatype", "shape"])
    tensors = {"type": "array", "items": tensor}
    return _object(
        {
            "name": _TEXT,
            "versions": _TEXTS,
            "platform": _TEXT,
            "inputs": tensors,
            "outputs": tensors,
            "parameters": {"type": "object"},
            "error": _TEXT,
        },
        ["name", "platform", "inputs", "outputs"],
    )


def _statistics() -> Schema:
    duration = _object({"count": _COUNT, "ns": _COUNT}, ["count", "ns"])
    batch = _object({"batch_size": _COUNT, "compute_input": duration, "compute_infer": duration}, ["batch_size"])
    return _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "last_inference": _COUNT,
            "inference_count": _COUNT,
            "execution_count": _COUNT,
            "inference_stats": {"type": "object", "additionalProperties": duration},
            "batch_stats": {"type": "array", "items": batch},
        },
        ["name", "version", "last_inference", "inference_count", "execution_count", "inference_stats", "batch_stats"],
    )


def _problem() -> Schema:
    one = _object({"row": _COUNT, "column": _TEXT, "error": _TEXT, "hint": _TEXT}, ["error"])
    return _object(
        {
            "error": _TEXT | {"description": "what is wrong, in one line"},
            "hint": _TEXT | {"description": "how to mend it"},
            "errors": {"type": "array", "items": one, "description": "everything that is wrong, up to twenty"},
            "errors_found": _COUNT | {"description": "how much there is"},
        },
        ["error"],
    )


def _list(name: str, most: int = 0) -> Schema:
    told: Schema = {"type": "array", "items": ref(name)}
    return told | {"minItems": 1, "maxItems": most} if most else told


def _object(properties: dict[str, Any], required: list[str]) -> Schema:
    told: Schema = {"type": "object", "properties": properties}
    return told | {"required": required} if required else told


def _closed(properties: dict[str, Any], required: list[str]) -> Schema:
    return _object(properties, required) | {"additionalProperties": False}
