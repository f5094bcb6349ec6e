"""Routes of models of tensors, for the tests of a real server."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import msgspec
import numpy as np
import orjson
from tests.inference.tensors import graphs, media
from tests.serving import models

from trimtab.records.blobs import Blobs
from trimtab.records.model import ModelBundle, Signature
from trimtab.records.tensors import TensorInput

INFER = f"/v2/models/{models.SYSTEM}/infer"
PIXELS = media.picture(32, 48)
PNG = media.file_of(PIXELS)
TENSOR = PIXELS.transpose(2, 0, 1)[None]
IMAGE = media.image_input()


def bundle(blobs: Blobs, graph: bytes, signature: Signature, hook: str | None = None) -> ModelBundle:
    made = ModelBundle(onnx=blobs.put(graph), signature=signature)
    if hook is None:
        return made
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("model.py", hook)
    return msgspec.structs.replace(made, postprocess_code=blobs.put(packed.getvalue()), entry="model")


def colours(blobs: Blobs, image: TensorInput = IMAGE, hook: str | None = None, **more: Any) -> ModelBundle:
    return bundle(blobs, graphs.mean_colour(), graphs.colour_signature(image, **more), hook)


def route(name: str, made: ModelBundle, stage: str = "live", weight: float = 0.0) -> Any:
    return models.route(name, made, stage, weight)


def chances(pixels: np.ndarray = PIXELS) -> list[float]:
    means = pixels.reshape(-1, 3).mean(axis=0)
    raised = np.exp(means - means.max())
    return (raised / raised.sum()).tolist()


def binary(head: dict[str, Any], *tails: bytes) -> tuple[bytes, dict[str, str]]:
    text = orjson.dumps(head)
    return text + b"".join(tails), {"inference-header-content-length": str(len(text))}


def in_bytes(name: str, datatype: str, shape: list[int], raw: bytes) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}


def in_json(name: str, datatype: str, values: np.ndarray) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": values.ravel().tolist()}


def packed(*files: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one for one in files)
