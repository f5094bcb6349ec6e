"""The document: every address with what it takes and every status it may answer with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from trimtab.records.model import Signature
from trimtab.serving.access.scopes import named
from trimtab.serving.batch.formats import CONTENT_TYPES
from trimtab.serving.http.endpoints.addresses import Listed
from trimtab.serving.http.endpoints.openapi.columns import ID, Found, Schema, file_types
from trimtab.serving.http.endpoints.openapi.schemas import ref, schemas
from trimtab.version import __version__

_PROBLEMS = {
    400: "The request cannot be understood.",
    401: "A token is needed, or the one that was sent is not valid.",
    403: "The token may not do this, or nobody may.",
    404: "There is no such model version, or no such prediction.",
    406: "No accepted format can be given.",
    408: "The request did not arrive in time.",
    411: "A body needs its length, or chunks.",
    413: "Too many rows, or too large a body.",
    415: "The body's type or encoding is not taken.",
    422: "Something in the request is wrong; the answer names it.",
    429: "Asked too often; `retry-after` says when to ask again.",
    431: "The head is too large.",
    500: "The model or the server failed.",
    503: "No model is served, or too much is waiting; `retry-after` says when to ask again.",
    504: "The time that the request gave was up.",
    507: "The disk has no room for the body.",
}
_ANY = (400, 408, 413, 415, 429, 431, 500, 503)


class Told(NamedTuple):
    """What is told of an address: in words, the schemas of what it takes and gives (a name with a slash is a type of
    content), and statuses beside those that every address may answer with."""

    summary: str
    request: str = ""
    answer: str = ""
    further: tuple[int, ...] = ()
    options: tuple[str, ...] = ()


_TERMS = ("explain", "x-request-timeout-ms", "x-sticky-key")
_ASKED = (411, 422, 504)
_TOLD = {
    "/v2": Told("What the server is and which extensions it has", answer="ServerMetadata"),
    "/v2/health/live": Told("Whether the process runs", answer="Live"),
    "/v2/health/ready": Told("Whether a release is live", answer="Ready"),
    "/v2/models/stats": Told("What each model did", answer="Statistics"),
    "/v2/repository/index": Told("Which model versions there are", "IndexRequest", "Index", (422,)),
    "/predict": Told("Predictions for rows", "PredictRequest", "PredictAnswer", _ASKED, _TERMS),
    "/feedback": Told("What became of predictions", "FeedbackRequest", "FeedbackAnswer", (404, 411, 422)),
    "/trimtab/status": Told("What is served and how it goes", answer="ServerStatus"),
    "/metrics": Told("Counters for Prometheus", answer="text/plain"),
    "/openapi.json": Told("This document", answer="application/json"),
    "/": Told("A page to try the model", answer="text/html"),
    "/try": Told("A page to try the model", answer="text/html"),
    "model": Told("What the model takes and gives", answer="ModelMetadata"),
    "ready": Told("Whether the model answers", answer="Ready"),
    "stats": Told("What the model did", answer="Statistics"),
    "infer": Told("Predictions, by the Open Inference Protocol", "InferRequest", "InferAnswer", _ASKED, _TERMS),
    "batch": Told("Predictions for a file of rows", "batch", "batch", (406, 507, *_ASKED), ("id", "time", *_TERMS[1:])),
    "load": Told("Refused: the loop moves releases", "anything", further=(403,)),
    "unload": Told("Refused: the loop moves releases", "anything", further=(403,)),
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "explain": {"name": "explain", "in": "query", "schema": {"type": "boolean"},
                "description": "tell what each feature contributed"},
    "x-request-timeout-ms": {"name": "x-request-timeout-ms", "in": "header", "schema": {"type": "number", "minimum": 1},
                             "description": "milliseconds; what is not begun by then is not run"},
    "x-sticky-key": {"name": "x-sticky-key", "in": "header", "schema": ID,
                     "description": "requests of one key meet the same release"},
    "id": {"name": "id", "in": "query", "schema": {"type": "string", "minLength": 1},
           "description": "the column that has an id for each row"},
    "time": {"name": "time", "in": "query", "schema": {"type": "string", "minLength": 1},
             "description": "the column that has the moment of each row"},
}  # fmt: skip


def document(
    system: str, addresses: Iterable[Listed], signature: Signature | None, versions: list[str], *, most_rows: int,
    tokens: bool, found: Found,
) -> dict[str, Any]:  # fmt: skip
    """The whole document. `tokens`: whether the server asks for any; `versions` are those that answer now, `found`
    what is looked up."""
    paths: dict[str, dict[str, Any]] = {}
    for one in addresses:
        told = _told(one.path, system)
        operation = _operation(one, told, versions, tokens=tokens)
        if told.request == "PredictRequest":
            for kind in file_types(signature):
                file = {"type": "string", "contentMediaType": kind}
                operation["requestBody"]["content"][kind] = {"schema": file}
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": system,
            "version": __version__,
            "description": f"Predictions of the system {system}, served by Trimtab.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(signature, most_rows, found),
            "responses": {
                str(code): {"description": meaning, "content": _json(ref("Problem"))}
                for code, meaning in _PROBLEMS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _told(path: str, system: str) -> Told:
    if path.startswith(f"/v2/models/{system}"):
        verb = path.removeprefix(f"/v2/models/{system}").removeprefix("/versions/{version}").strip("/")
        return _TOLD[verb or "model"]
    if path.startswith("/v2/repository/models/"):
        return _TOLD[path.rpartition("/")[2]]
    return _TOLD[path if path.startswith("/v2") else path.removesuffix(f"/{system}") or "/"]


def _operation(one: Listed, told: Told, versions: list[str], *, tokens: bool) -> dict[str, Any]:
    codes = {*_ANY, *told.further}
    operation: dict[str, Any] = {"operationId": _operation_id(one), "summary": told.summary, "responses": {}}
    parameters = [_OPTIONS[name] for name in told.options]
    if one.scope:
        codes |= {401, 403}
        operation["description"] = f"A token needs the scope {named(one.scope)}." if tokens else "No token is needed."
        operation["security"] = [{"token": []}] if tokens else [{}, {"token": []}]
    else:
        operation["security"] = []
    if "{version}" in one.path:
        codes.add(404)
        parameters.append(
            {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
             "description": "a model version or release that is live or canary", "examples": _examples(versions)}
        )  # fmt: skip
    if parameters:
        operation["parameters"] = parameters
    if told.request:
        operation["requestBody"] = _body(told.request)
    if told.answer:
        operation["responses"]["200"] = _answer(told.answer, binary=told.request == "InferRequest")
    operation["responses"] |= {str(code): {"$ref": f"#/components/responses/{code}"} for code in sorted(codes)}
    if told.answer == "Ready":
        either = {"anyOf": [ref("Ready"), ref("Problem")]}
        operation["responses"]["503"] = {"description": "Not ready.", "content": _json(either)}
    return operation


def _body(request: str) -> dict[str, Any]:
    if request == "anything":
        return {"required": False, "content": _json({})}
    if request == "batch":
        return {"required": True, "content": {kind: {"schema": {}} for kind in CONTENT_TYPES.values()}}
    body: dict[str, Any] = {"required": request != "IndexRequest", "content": _json(ref(request))}
    if request == "InferRequest":
        body["content"]["application/octet-stream"] = {"schema": {}}
        body["description"] = (
            "JSON, and behind it the bytes of tensors with a `binary_data_size`; then the header "
            "`inference-header-content-length` gives the length of the JSON part (0: the body is one tensor's bytes)."
        )
    return body


def _answer(answer: str, *, binary: bool) -> dict[str, Any]:
    if answer == "batch":
        return {
            "description": "One line or row for each row.",
            "content": {kind: {} for kind in CONTENT_TYPES.values()},
        }
    if "/" in answer:
        return {"description": "As it says.", "content": {answer: {}}}
    content = _json(ref(answer))
    return {"description": "As asked.", "content": content | ({"application/octet-stream": {}} if binary else {})}


def _operation_id(one: Listed) -> str:
    parts = [part.strip("{}") for part in one.path.replace(".", "_").split("/") if part]
    return "_".join([one.method.lower(), *parts]) or "get_root"


def _examples(values: list[str]) -> dict[str, Any]:
    return {f"example{place}": {"value": value} for place, value in enumerate(values)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
