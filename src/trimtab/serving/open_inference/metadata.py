"""What the protocol tells of the server and of a model."""

from __future__ import annotations

from typing import Any

import trimtab
from trimtab.serving.open_inference.tensors import DATATYPES
from trimtab.serving.routing.releases import ENCODED, Fleet, Release, label_type

EXTENSIONS = ("binary_tensor_data", "model_repository", "parameters", "statistics")


def server_metadata() -> dict[str, Any]:
    """Name, version, and the extensions of the protocol that are offered."""
    return {"name": "trimtab", "version": trimtab.__version__, "extensions": list(EXTENSIONS)}


def model_metadata(system: str, fleet: Fleet, release: Release) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs; `parameters` say what the protocol has no field for."""
    signature = release.signature
    width = [-1] if release.outputs == 1 else [-1, release.outputs]
    outputs = [{"name": "score", "datatype": "FP32", "shape": width}]
    if release.labels:
        outputs.append({"name": "label", "datatype": label_type(signature), "shape": [-1]})
    outputs.append({"name": "prediction_id", "datatype": "BYTES", "shape": [-1]})
    return {
        "name": system,
        "versions": list(dict.fromkeys(one.model for one in fleet.releases if one.stage != "shadow")),
        "platform": "onnx",
        "inputs": [{"name": c.name, "datatype": DATATYPES[c.kind][0], "shape": [-1]} for c in signature.inputs],
        "outputs": outputs,
        "parameters": {
            "task": signature.task,
            "classes": list(signature.classes),
            "threshold": signature.threshold,
            "release": release.release,
            "encoded_input": {"name": ENCODED, "datatype": "FP32", "shape": [-1, release.width]},
        },
    }
