"""A convolutional network behind 30 numbers: milliseconds a row, and nothing gained from larger batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from workload import Workload


def heavy(folder: Path, layers: int = 16) -> Workload:
    """The model with weights drawn once; each layer adds some tenths of a millisecond to a row."""
    from trimtab.inference.model import Model
    from trimtab.records.model import Column, Feature, Signature

    names = [f"x{number}" for number in range(30)]
    signature = Signature(
        task="regression",
        inputs=tuple(Column(name=name, kind="number") for name in names),
        features=tuple(Feature(name=name, kind="number") for name in names),
    )
    row = np.random.default_rng(7).standard_normal(30).astype(np.float32)
    graph, path = _graph(layers, seed=1), folder / "heavy.onnx"
    path.write_bytes(graph)
    return Workload(
        title=f"a convolutional network of {layers + 1} layers behind 30 numbers",
        path=path,
        graph=graph,
        rival=_graph(layers, seed=2),
        signature=signature,
        row=row,
        expected=float(Model.load(graph, signature).scores(row[None])[0]),
        datatype="FP32",
    )


def _graph(layers: int, seed: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(seed)
    constants: dict[str, np.ndarray] = {"shape": np.array([-1, 3, 48, 48], np.int64)}

    def weights(name: str, *shape: int) -> str:
        constants[name] = (draw.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return name

    nodes = [
        helper.make_node("MatMul", ["input", weights("spread", 30, 3 * 48 * 48)], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["h0"]),
        helper.make_node("Conv", ["h0", weights("w0", 32, 3, 3, 3)], ["c0"], strides=[1, 1], pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"]),
    ]
    channels = 32
    for layer in range(1, layers + 1):
        stride = 2 if layer == 1 else 1
        kernel = weights(f"w{layer}", 64, channels, 3, 3)
        nodes += [
            helper.make_node("Conv", [f"r{layer - 1}", kernel], [f"c{layer}"], strides=[stride] * 2, pads=[1] * 4),
            helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]),
        ]
        channels = 64
    nodes += [
        helper.make_node("GlobalAveragePool", [f"r{layers}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", weights("head", 64, 1)], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 30])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    content: bytes = model.SerializeToString()
    return content
