"""Small real models for the tests: ONNX graphs put together by hand, so that their scores are known."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trimtab.records.blobs import Blobs
from trimtab.records.metric import Task
from trimtab.records.model import Column, Feature, ModelBundle, Route, Routes, Signature

SYSTEM = "flights"
CARRIERS = ("AA", "DL", "UA")
INPUTS = (Column(name="distance", kind="number"), Column(name="carrier", kind="category"))
FEATURES = (
    Feature(name="distance", kind="number"),
    Feature(name="carrier", kind="category", vocabulary=CARRIERS),
)


def sigmoid(weights: Sequence[float], bias: float = 0.0) -> bytes:
    """ONNX: P(classes[1]) = sigmoid(x @ weights + bias); a missing value counts as 0."""
    kernel = np.array(weights, np.float32).reshape(-1, 1)
    nodes = [
        helper.make_node("IsNaN", ["input"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "input"], ["filled"]),
        helper.make_node("MatMul", ["filled", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["scores"]),
    ]
    constants = {"kernel": kernel, "bias": np.float32([bias]), "zero": np.float32(0)}
    return _graph(nodes, constants, len(weights), 1)


def linear(weights: Sequence[float], bias: float = 0.0) -> bytes:
    """ONNX: x @ weights + bias."""
    nodes = [
        helper.make_node("MatMul", ["input", "kernel"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["scores"]),
    ]
    constants = {"kernel": np.array(weights, np.float32).reshape(-1, 1), "bias": np.float32([bias])}
    return _graph(nodes, constants, len(weights), 1)


def softmax(weights: Sequence[Sequence[float]]) -> bytes:
    """ONNX: softmax(x @ weights), weights [features, classes]."""
    kernel = np.array(weights, np.float32)
    nodes = [
        helper.make_node("MatMul", ["input", "kernel"], ["product"]),
        helper.make_node("Softmax", ["product"], ["scores"], axis=1),
    ]
    return _graph(nodes, {"kernel": kernel}, *kernel.shape)


def broken(width: int) -> bytes:
    """ONNX: loads and scores zeros, but answers NaN for any row whose sum is above 100."""
    nodes = [
        helper.make_node("ReduceSum", ["input", "axes"], ["sum"], keepdims=1),
        helper.make_node("Sub", ["hundred", "sum"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["scores"]),
    ]
    return _graph(nodes, {"axes": np.array([1], np.int64), "hundred": np.float32(100)}, width, 1)


def signature(
    task: Task = "binary_classification",
    inputs: tuple[Column, ...] = INPUTS,
    features: tuple[Feature, ...] = FEATURES,
    classes: tuple[str, ...] = ("on time", "late"),
    threshold: float = 0.5,
) -> Signature:
    return Signature(task=task, inputs=inputs, features=features, classes=classes, threshold=threshold)


def bundle(blobs: Blobs, graph: bytes, sig: Signature | None = None, code: str | None = None) -> ModelBundle:
    packed = io.BytesIO()
    if code is not None:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("model.py", code)
    return ModelBundle(
        onnx=blobs.put(graph),
        signature=sig or signature(),
        features_code=blobs.put(packed.getvalue()) if code is not None else None,
        entry="model" if code is not None else "",
    )


def route(name: str, made: ModelBundle, stage: str = "live", weight: float = 0.0) -> Route:
    return Route(release=name, model=f"model-{name}", bundle=made, stage=stage, weight=weight)  # type: ignore[arg-type]


def routes(generation: int, *those: Route) -> Routes:
    return Routes(generation=generation, system=SYSTEM, routes=those, written=datetime.now(UTC))


def _graph(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], width: int, outputs: int) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()


def encoded(those: Routes) -> bytes:
    return msgspec.json.encode(those)
