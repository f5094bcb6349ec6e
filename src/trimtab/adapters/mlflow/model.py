"""A model as MLflow keeps one: the ONNX file, and beside it what `mlflow.onnx` and `mlflow.pyfunc` load it by.

The format is that of https://mlflow.org/docs/latest/ml/model/ ("MLmodel"); YAML reads JSON, so JSON is what is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from trimtab.experiments.port import Told
from trimtab.records.model import Signature
from trimtab.records.tensors import Tensors

_DTYPES = {
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
    "BYTES": "str",
}
_NEEDED = ("numpy", "onnx", "onnxruntime")


def model_files(told: Told, onnx: bytes) -> dict[str, bytes]:
    """The files of a model's folder, by name."""
    training = told.training
    libraries = training.environment.libraries if training.environment else {}
    python = _version(training.environment.python) if training.environment else ""
    needed = [f"{name}=={libraries[name]}" if name in libraries else name for name in _NEEDED]
    described: dict[str, Any] = {
        "flavors": {
            "onnx": {
                "data": "model.onnx",
                "onnx_version": libraries.get("onnx", ""),
                "providers": ["CUDAExecutionProvider", "CPUExecutionProvider"],
                "code": None,
            },
            "python_function": {
                "data": "model.onnx",
                "loader_module": "mlflow.onnx",
                "env": {"virtualenv": "python_env.yaml"},
                **({"python_version": python} if python else {}),
            },
        },
        "model_size_bytes": len(onnx),
        "utc_time_created": f"{training.started:%Y-%m-%d %H:%M:%S.%f}",
        "metadata": {
            "trimtab": {
                "system": told.system,
                "training": training.id,
                "dataset": told.dataset,
                "version": told.version,
            }
        },
    }
    if told.signature is not None:
        described["signature"] = _signature(told.signature)
        features = [feature.name for feature in told.signature.features]
        described["metadata"]["trimtab"] |= {"features": features, "classes": list(told.signature.classes)}
    environment = {"python": python or "3", "dependencies": ["-r requirements.txt"]}
    return {
        "model.onnx": onnx,
        "requirements.txt": "".join(f"{line}\n" for line in needed).encode(),
        "python_env.yaml": _json(environment),
        "MLmodel": _json(described),  # last: a folder without it is no model yet
    }


def _signature(signature: Signature) -> dict[str, Any]:
    """Inputs and outputs as MLflow's tensor specs; each is JSON within the file."""
    if isinstance(signature.tensors, Tensors):
        batch = (-1,) if signature.tensors.batch else ()
        inputs = [
            _spec(one.name, _DTYPES.get(one.datatype, ""), (*batch, *one.shape)) for one in signature.tensors.inputs
        ]
        outputs = [
            _spec(one.name, _DTYPES.get(one.datatype, ""), (*batch, *one.shape)) for one in signature.tensors.outputs
        ]
    else:
        inputs = [_spec(signature.onnx_input, "float32", (-1, len(signature.features)))]
        outputs = [_spec(signature.onnx_output, "float32", (-1, -1))]
    return {"inputs": msgspec.json.encode(inputs).decode(), "outputs": msgspec.json.encode(outputs).decode()}


def _spec(name: str, dtype: str, shape: tuple[int, ...]) -> Mapping[str, Any]:
    return {"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}


def _version(text: str) -> str:
    """The number in how a Python calls itself."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else ""


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
