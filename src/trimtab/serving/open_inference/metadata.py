"""What the protocol tells of the server and of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trimtab.inference.lookup.port import View
from trimtab.records.model import Signature
from trimtab.records.tensors import Tensors
from trimtab.serving.open_inference.outputs import named_metadata
from trimtab.serving.open_inference.tensors import DATATYPES
from trimtab.serving.routing.releases import ENCODED, Fleet, Release, label_type
from trimtab.version import __version__

EXTENSIONS = ("binary_tensor_data", "model_repository", "parameters", "statistics")


def server_metadata() -> dict[str, Any]:
    """Name, version, and the extensions of the protocol that are offered."""
    return {"name": "trimtab", "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(system: str, fleet: Fleet, release: Release, views: Sequence[View] = ()) -> dict[str, Any]:
    """Name, versions, platform, inputs and outputs; `parameters` say what the protocol has no field for."""
    signature = release.signature
    width = [-1] if release.shown == 1 else [-1, release.shown]
    outputs = [{"name": "score", "datatype": "FP32", "shape": width}] if release.outputs else []
    if release.labels:
        outputs.append({"name": "label", "datatype": label_type(signature), "shape": [-1]})
    outputs.append({"name": "prediction_id", "datatype": "BYTES", "shape": [-1]})
    outputs += [named_metadata(name, one) for name, one in release.core.named.items()]
    return {
        "name": system,
        "versions": list(dict.fromkeys(one.model for one in fleet.releases if one.stage != "shadow")),
        "platform": "onnx",
        "inputs": _inputs(signature),
        "outputs": outputs,
        "parameters": {
            "task": signature.task,
            "classes": list(signature.classes),
            "threshold": signature.threshold,
            "release": release.release,
        }
        | _parameters(release)
        | _looked_up(release, views),
    }


def _inputs(signature: Signature) -> list[dict[str, Any]]:
    if not isinstance(signature.tensors, Tensors):
        return [{"name": c.name, "datatype": DATATYPES[c.kind][0], "shape": [-1]} for c in signature.inputs]
    return [{"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape]} for one in signature.tensors.inputs]


def _looked_up(release: Release, views: Sequence[View]) -> dict[str, Any]:
    """Columns that need not be sent, and by what they are found then."""
    taken = {column.name for column in release.signature.inputs}
    told = [
        {"view": one.name, "by": list(one.entity), "gives": gives, "ttl": one.ttl}
        for one in views
        if (gives := [name for name in one.columns if name in taken])
    ]
    return {"looked_up": told} if told else {}


def _parameters(release: Release) -> dict[str, Any]:
    """How rows may come in other forms than the inputs tell."""
    tensors = release.signature.tensors
    if not isinstance(tensors, Tensors):
        return {"encoded_input": {"name": ENCODED, "datatype": "FP32", "shape": [-1, release.width]}}
    files = {
        one.name: {"datatype": "BYTES", "shape": [-1], "of": "image" if one.image else "sound"}
        | msgspec.to_builtins(one.image or one.audio)
        for one in tensors.inputs
        if one.image or one.audio
    }
    return {"files": files} if files else {}
