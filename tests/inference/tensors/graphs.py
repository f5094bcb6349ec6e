"""Small real graphs of tensors, put together by hand, so that their answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trimtab.records.model import Signature
from trimtab.records.tensors import TensorInput, TensorOutput, Tensors

T = TensorProto


def graph(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **constants: Any) -> bytes:
    made = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model.SerializeToString()


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def mean_colour(shape: Sequence[Any] = ("n", 3, 32, 48), datatype: int = T.UINT8) -> bytes:
    """uint8 image -> `logits` [n, 3]: the mean of each channel, and `pixels` [n]: how many it has."""
    nodes = [
        node("Cast", "image", "real", to=T.FLOAT),
        node("ReduceMean", "real", "logits", axes=[2, 3], keepdims=0),
        node("Mul", "real nothing", "zeros"),
        node("Add", "zeros unit", "ones"),
        node("ReduceSum", "ones axes", "pixels", keepdims=0),
    ]
    rows = shape[0]
    return graph(
        nodes,
        [("image", datatype, list(shape))],
        [("logits", T.FLOAT, [rows, 3]), ("pixels", T.FLOAT, [rows])],
        nothing=np.float32(0),
        unit=np.float32(1),
        axes=np.array([1, 2, 3], np.int64),
    )


def colour_signature(image: TensorInput, **more: Any) -> Signature:
    outputs = (
        TensorOutput(name="logits", datatype="FP32", shape=(3,), apply="softmax"),
        TensorOutput(name="pixels", datatype="FP32", shape=()),
    )
    batch = more.pop("batch", True)
    return Signature(
        task="multiclass_classification",
        inputs=(),
        features=(),
        classes=("red", "green", "blue"),
        onnx_output="logits",
        tensors=Tensors(inputs=(image,), outputs=outputs, batch=batch, top=more.pop("top", 0)),
        **more,
    )


def loudest() -> bytes:
    """sound [n, samples] -> `peak` [n] and `wave` [n, samples], which is the sound doubled."""
    nodes = [
        node("Abs", "sound", "size"),
        node("ReduceMax", "size", "peak", axes=[1], keepdims=0),
        node("Add", "sound sound", "wave"),
    ]
    return graph(nodes, [("sound", T.FLOAT, ["n", "t"])], [("peak", T.FLOAT, ["n"]), ("wave", T.FLOAT, ["n", "t"])])


def loudest_signature(sound: TensorInput) -> Signature:
    outputs = (
        TensorOutput(name="peak", datatype="FP32", shape=()),
        TensorOutput(name="wave", datatype="FP32", shape=(-1,)),
    )
    return Signature(task="tensors", inputs=(), features=(), tensors=Tensors(inputs=(sound,), outputs=outputs))


def two_inputs() -> bytes:
    """a INT64 [n, 2], b FP16 [n, k] -> `sum` INT64 [n], `twice` FP16 [n, k], `big` FP64 [n, 2]."""
    nodes = [
        node("ReduceSum", "a axes", "sum", keepdims=0),
        node("Add", "b b", "twice"),
        node("Cast", "a", "big", to=T.DOUBLE),
    ]
    return graph(
        nodes,
        [("a", T.INT64, ["n", 2]), ("b", T.FLOAT16, ["n", "k"])],
        [("sum", T.INT64, ["n"]), ("twice", T.FLOAT16, ["n", "k"]), ("big", T.DOUBLE, ["n", 2])],
        axes=np.array([1], np.int64),
    )


def two_signature() -> Signature:
    return Signature(
        task="tensors",
        inputs=(),
        features=(),
        tensors=Tensors(
            inputs=(
                TensorInput(name="a", datatype="INT64", shape=(2,)),
                TensorInput(name="b", datatype="FP16", shape=(-1,)),
            ),
            outputs=(
                TensorOutput(name="sum", datatype="INT64", shape=()),
                TensorOutput(name="twice", datatype="FP16", shape=(-1,)),
                TensorOutput(name="big", datatype="FP64", shape=(2,), answered=False),
            ),
        ),
    )
