"""The plain way to ask a model of tensors: a file as the body, or rows as JSON objects of files and tensors."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.inference.tensors.rows import Array, Files, Given
from trimtab.serving.batch.formats import sent_format
from trimtab.serving.execution.questions import Question, brief
from trimtab.serving.http.request import Request
from trimtab.serving.open_inference.values import values_of
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.tensor_core import TensorCore

PREDICTION_ID = b"x-prediction-id"
_BYTES = "send the bytes of the file in base64, not its name or address"
_AS_IT_IS = "send a file as it is, with its own type: --data-binary @FILE -H 'content-type: image/png' (or audio/wav)"
_MEDIA = (b"image/", b"audio/", b"application/octet-stream")


def is_file(request: Request) -> bool:
    """Whether the body is a file by its own word."""
    return request.field(b"content-type").lower().startswith(_MEDIA)


def hint_of_file(request: Request, core: TensorCore | None) -> str:
    """Where a body goes that is a file of rows by its own word, or how one is sent that may be an image or a sound."""
    kind = request.field(b"content-type").decode("latin-1")
    try:
        sent_format(kind)
    except RefusalError:
        takes = core is not None and any(core.takes_files(one.name) for one in core.spec.inputs)
        return _AS_IT_IS if takes else ""
    return "a file of rows is taken at /v2/models/SYSTEM/batch"


def refuse_form(request: Request, core: TensorCore | None) -> None:
    """Raises RefusalError (415) for a form, as web pages and `curl -F` send files in."""
    if request.field(b"content-type").lower().startswith(b"multipart/"):
        hint = hint_of_file(request, core) or "send rows as JSON"
        raise RefusalError(415, "content-type multipart/form-data: a form is not taken", hint=hint)


def read_file(question: Question, request: Request) -> None:
    """Fills a question from a body that is a file. Its prediction id may come as the header `x-prediction-id`. Raises
    RefusalError: 415 where the model takes no file or another kind, 413 over a limit."""
    kind = request.field(b"content-type").partition(b";")[0].strip().decode("latin-1")
    core = question.target.tensors
    takers = [] if core is None else [one.name for one in core.spec.inputs if core.takes_files(one.name)]
    if core is None or len(takers) != 1 or len(core.spec.inputs) != 1:
        what = "rows of columns" if core is None else f"the inputs {', '.join(one.name for one in core.spec.inputs)}"
        raise RefusalError(415, f"content-type {kind}: the model takes {what}", hint="send JSON to /predict")
    given: Given = {takers[0]: [request.body]}
    question.ask_tensors([given], core, 1)
    name = request.field(PREDICTION_ID)
    if name:
        question.identify([name.decode("utf-8", "replace")], f"header {PREDICTION_ID.decode()}")


def read_rows(rows: Sequence[Any], core: TensorCore) -> list[Given]:
    """Rows as JSON objects: for each input its tensor, nested, or a file in base64. Raises RefusalError (422) naming
    the row and the input."""
    return [_read_row(row, place, core) for place, row in enumerate(rows)]


def _read_row(row: Any, place: int, core: TensorCore) -> Given:
    names = {one.name: one for one in core.spec.inputs}
    if not isinstance(row, dict):
        raise RefusalError(422, f"row {place}: expected an object with {', '.join(names)}, got {brief(row)}")
    missing = next((name for name in names if name not in row), None)
    if missing is not None and row.keys() <= names.keys():
        raise RefusalError(
            422, f"row {place}: input {missing!r} is missing", hint=f"the model takes {', '.join(names)}"
        )
    given: dict[str, Array | Files] = {}
    for name, value in row.items():
        where = f"row {place}, input {name!r}"
        spec = names.get(name)
        if spec is None:
            raise RefusalError(422, f"row {place}: unknown input {name!r}", hint=f"the model takes {', '.join(names)}")
        if isinstance(value, str) and core.takes_files(name):
            try:
                given[name] = [b64decode(value, validate=True)]
            except (binascii.Error, ValueError) as error:
                hint = "leave out what is before the comma" if value.startswith("data:") else _BYTES
                raise RefusalError(422, f"{where}: not base64: {error}", hint=hint) from error
            continue
        if core.takes_files(name) and not isinstance(value, list):
            raise RefusalError(422, f"{where}: expected a file in base64, or nested lists, got {brief(value)}")
        shape = [1, *_shape(value)]
        found = values_of({"datatype": spec.datatype, "shape": shape, "data": [value]}, where)
        if isinstance(found, list):
            found = np.array([bytes(one).decode() for one in found], object).reshape(shape)
        given[name] = found
    return given


def _shape(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape
