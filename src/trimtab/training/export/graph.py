"""Putting ONNX nodes together to a model, the same bytes for the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8


@dataclass
class Graph:
    """Nodes of operator set `opset` from tensor `input` to tensor `output` of shape [rows, width]. `imports` are the
    versions of other sets, `functions` those that nodes call, `ir` the version of ONNX's form."""

    input: str
    output: str
    width: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    opset: int = OPSET
    imports: dict[str, int] = field(default_factory=lambda: {"ai.onnx.ml": ML_OPSET})
    functions: list[onnx.FunctionProto] = field(default_factory=list)
    ir: int = IR_VERSION

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """Add a node of the standard operators; it makes tensor `output`, which becomes the graph's."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        self.output = output

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Add a constant tensor; returns its name."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def spread_classes(graph: Graph, present: Sequence[int], classes: int) -> None:
    """Give each of `classes` a column where the model has met only those in `present`; the others get 0."""
    if list(present) == list(range(classes)):
        return
    chosen = np.zeros((len(present), classes), dtype=np.float32)
    chosen[np.arange(len(present)), list(present)] = 1.0
    graph.add("MatMul", [graph.output, graph.constant("class_columns", chosen)], "all_classes")
    graph.width = classes


def to_bytes(graph: Graph, *, features: int, onnx_input: str, onnx_output: str) -> bytes:
    """The model's bytes. Tensor names at both ends become those of the signature."""
    ends = [helper.make_node("Identity", [graph.output], [onnx_output])]
    start = [] if graph.input == onnx_input else [helper.make_node("Identity", [onnx_input], [graph.input])]
    made = helper.make_graph(
        [*start, *graph.nodes, *ends],
        "model",
        [helper.make_tensor_value_info(onnx_input, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(onnx_output, TensorProto.FLOAT, [None, graph.width])],
        initializer=graph.constants,
    )
    versions = [("", graph.opset), *sorted(graph.imports.items())]
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in versions],
        ir_version=graph.ir,
        functions=graph.functions,
        producer_name="trimtab",
    )
    return bytes(model.SerializeToString(deterministic=True))
