"""Arrays as the binary tensors of the Open Inference Protocol, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from trimtab.errors import PermanentError
from trimtab.serving.client.answers import Explanation, Inference, Prediction
from trimtab.serving.client.calls import Call, Terms, Time, model_path, new_ids, to_json
from trimtab.serving.client.wire import JSON_SIZE, Answer

if TYPE_CHECKING:
    import numpy as np  # for types only: a caller with plain rows does not pay for it
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")
ENCODED = "input"
_HEAD = b"content-type: application/octet-stream\r\n" + JSON_SIZE + b": %d\r\n"
_SIZE = "binary_data_size"
_DATATYPES = {
    "b1": "BOOL",
    "i1": "INT8", "i2": "INT16", "i4": "INT32", "i8": "INT64",
    "u1": "UINT8", "u2": "UINT16", "u4": "UINT32", "u8": "UINT64",
    "f2": "FP16", "f4": "FP32", "f8": "FP64",
}  # fmt: skip
_DTYPES = {name: f"<{code}" for code, name in _DATATYPES.items()}


def infer(
    system: str, inputs: Mapping[str, ArrayLike], ids: Sequence[str] | None, time: Time, terms: Terms
) -> Call[Inference]:
    """Named tensors through the model; the first axis of each is the rows."""
    return Call(b"POST", model_path(system, terms.model, "/infer"), *_body(inputs, ids, time, terms, _inference))


def predict(
    system: str, matrix: NDArray[Any], ids: Sequence[str] | None, time: Time, terms: Terms
) -> Call[list[Prediction]]:
    """Predictions for encoded rows [rows, features]."""
    import numpy as np  # heavy: only those who send arrays

    if matrix.ndim != 2:
        told = f"predict takes rows, or a matrix [rows, features]: this array has the shape {list(matrix.shape)}"
        raise PermanentError(told, hint="infer takes arrays by the names of the model's inputs")
    try:
        inputs = {ENCODED: np.asarray(matrix, np.float32)}
    except (TypeError, ValueError) as error:
        raise PermanentError(f"the matrix of encoded rows holds what is no number: {error}") from error
    return Call(b"POST", model_path(system, terms.model, "/infer"), *_body(inputs, ids, time, terms, _rows))


def _body(
    inputs: Mapping[str, ArrayLike],
    ids: Sequence[str] | None,
    time: Time,
    terms: Terms,
    read: Callable[[Answer], T],
) -> tuple[bytes, Callable[[Answer], T], bytes]:
    """The end of a call: its body, who reads its answer, and its header lines."""
    tensors, parts, rows = [], [], 0
    for name, values in inputs.items():
        array = _array(values)
        rows = len(array) if array.ndim else 0
        datatype, raw = _packed(name, array)
        size = {_SIZE: len(raw)}
        tensors.append({"name": name, "datatype": datatype, "shape": list(array.shape), "parameters": size})
        parts.append(raw)
    parameters: dict[str, object] = {
        "prediction_ids": new_ids(rows) if ids is None else list(ids),
        "binary_data_output": True,
    }
    if time is not None:
        parameters["time"] = time
    if terms.explain:
        parameters["explain"] = True
    if terms.sticky is not None:
        parameters["sticky_key"] = terms.sticky
    told = to_json({"inputs": tensors, "parameters": parameters})
    return b"".join((told, *parts)), read, terms.head() + _HEAD % len(told)


def _array(values: ArrayLike) -> NDArray[Any]:
    """Lists of texts and bytes become arrays of objects: NumPy's own types would drop zeros at their ends."""
    import numpy as np

    first: Any = values
    while isinstance(first, list | tuple) and first:
        first = first[0]
    return np.array(values, object) if isinstance(first, str | bytes) else np.asarray(values)


def _rows(answer: Answer) -> list[Prediction]:
    found = _inference(answer)
    outputs = found.outputs
    scores = outputs["score"].tolist()
    labels = outputs["label"].tolist() if "label" in outputs else [None] * len(scores)
    why: Sequence[Explanation | None] = [None] * len(scores)
    if "contributions" in outputs:
        why = _explanations(found)
    return [
        Prediction(name, score, label, release, found.model, told)
        for name, score, label, release, told in zip(found.ids, scores, labels, found.releases, why, strict=True)
    ]


def _explanations(found: Inference) -> list[Explanation | None]:
    outputs, parameters = found.outputs, found.parameters
    names = outputs["feature"].tolist()
    classes = outputs["explained_class"].tolist() if "explained_class" in outputs else None
    left = set(parameters["unexplained_rows"])
    method, unit = parameters["explanation_method"], parameters["explanation_unit"]
    told: list[Explanation | None] = []
    for row, cells in enumerate(outputs["contributions"].tolist()):
        base: Any = outputs["base_value"][row].tolist()
        named: Any = [dict(zip(names, one, strict=True)) for one in (cells if classes else [cells])]
        if classes:
            named, base = dict(zip(classes, named, strict=True)), dict(zip(classes, base, strict=True))
        else:
            named = named[0]
        told.append(None if row in left else Explanation(method, unit, base, named))
    return told


def _inference(answer: Answer) -> Inference:
    import numpy as np

    view = memoryview(answer.body)
    size = len(view) if answer.json_size is None else answer.json_size
    told = orjson.loads(view[:size])
    outputs: dict[str, NDArray[Any]] = {}
    for one in told["outputs"]:
        length = (one.get("parameters") or {}).get(_SIZE)
        if length is None:
            values = np.array(one["data"], _DTYPES.get(one["datatype"], "O"))
        elif one["datatype"] == "BYTES":
            values = np.array(_elements(view[size : size + length]), "O")
        else:
            values = np.frombuffer(view[size : size + length], _DTYPES[one["datatype"]])
        size += length or 0
        outputs[one["name"]] = values.reshape(one["shape"])
    parameters = told["parameters"]
    ids = parameters["prediction_ids"]
    releases = parameters.get("releases") or [parameters["release"]] * len(ids)
    return Inference(outputs, ids, releases, told["model_version"], parameters)


def _packed(name: str, array: np.ndarray[Any, Any]) -> tuple[str, bytes]:
    """Datatype and bytes of an array."""
    if array.dtype.kind in "SUO":
        elements = [one if isinstance(one, bytes) else _text(name, one) for one in array.ravel().tolist()]
        return "BYTES", b"".join([len(one).to_bytes(4, "little") + one for one in elements])
    datatype = _DATATYPES.get(array.dtype.str[1:])
    if datatype is None:
        raise PermanentError(f"input {name!r}: the protocol has no tensors of {array.dtype}")
    return datatype, array.astype(_DTYPES[datatype], copy=False).tobytes()


def _text(name: str, one: object) -> bytes:
    if not isinstance(one, str):
        raise PermanentError(f"input {name!r}: expected strings or bytes, got {one!r:.60}")
    return one.encode()


def _elements(raw: memoryview) -> list[str | bytes]:
    found: list[str | bytes] = []
    offset = 0
    while offset < len(raw):
        end = offset + 4 + int.from_bytes(raw[offset : offset + 4], "little")
        element = bytes(raw[offset + 4 : end])
        offset = end
        try:
            found.append(element.decode())
        except UnicodeDecodeError:
            found.append(element)
    return found
