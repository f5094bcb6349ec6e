"""Tensors of a request to a model of tensors: arrays, and files of images and sounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab.inference.tensors.rows import Array, Files
from trimtab.serving.execution.questions import brief
from trimtab.serving.open_inference.values import shape_of, values_of
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.tensor_core import TensorCore


def read_given(inputs: list[Any], core: TensorCore) -> dict[str, Array | Files]:
    """What was sent for each input: an array [rows, ...], or the files of its rows. A file is an element of a BYTES
    tensor [rows]: its bytes, or in JSON its base64. Raises RefusalError (422) naming the input."""
    given: dict[str, Array | Files] = {}
    for position, tensor in enumerate(inputs):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise RefusalError(422, f"inputs[{position}]: expected a tensor with name, datatype, shape and data")
        name = tensor["name"]
        where = f"input {name!r}"
        if name in given:
            raise RefusalError(422, f"{where} is given twice")
        if tensor.get("datatype") != "BYTES":
            values = values_of(tensor, where)
            assert isinstance(values, np.ndarray)
            given[name] = values
        elif core.takes_files(name):
            given[name] = _files(tensor, where)
        else:
            given[name] = _texts(tensor, where)
    return given


def _files(tensor: dict[str, Any], where: str) -> Files:
    shape = shape_of(tensor, where)
    if shape[1:] not in ((), (1,)):
        raise RefusalError(422, f"{where}: shape {brief(list(shape))}; files come as BYTES of shape [rows]")
    parameters = tensor.get("parameters")
    if parameters is None or isinstance(parameters, dict):
        tensor = tensor | {"parameters": {"content_type": "base64"} | (parameters or {})}  # no file is text
    values = values_of(tensor, where)
    assert isinstance(values, list)
    return values


def _texts(tensor: dict[str, Any], where: str) -> Array:
    values = values_of(tensor, where)
    texts = np.empty(len(values), object)
    for place, one in enumerate(values):
        try:
            texts[place] = bytes(one).decode()
        except UnicodeDecodeError as error:
            raise RefusalError(422, f"{where}, element {place}: expected UTF-8") from error
    return texts.reshape(shape_of(tensor, where))
