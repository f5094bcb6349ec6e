"""One name for each type of element: that of the Open Inference Protocol, with its NumPy type and the graph's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.records.tensors import Datatype

DTYPES: dict[Datatype, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(np.object_),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_GRAPH: dict[str, Datatype] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}


def datatype_of(dtype: np.dtype[Any]) -> Datatype:
    """The name of a NumPy type; BYTES for texts, bytes and objects. Raises KeyError for one that no tensor has."""
    return "BYTES" if dtype.kind in "SUO" else _NAMES.get(dtype) or _NAMES[dtype.newbyteorder("<")]


def canonical(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in order and in one of the types above, as JSON and every protocol can hold them: FP16 as FP32,
    and each whole number in the one type of its size. Raises KeyError for a type that no tensor has."""
    if values.dtype == np.float16:
        return values.astype(np.float32)
    return np.ascontiguousarray(values).view(DTYPES[datatype_of(values.dtype)])


def graph_datatype(kind: str) -> Datatype | None:
    """The name of a type as an ONNX graph tells it (`tensor(float)`), None for one that is not supported."""
    return _GRAPH.get(kind.removeprefix("tensor(").removesuffix(")"))
