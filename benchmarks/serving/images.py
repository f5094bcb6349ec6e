"""A convolutional network of four layers (80 M multiplications) on uint8 pixels [3, 128, 128], one image a request."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from workload import Workload

SHAPE = (3, 128, 128)
CLASSES = tuple(f"class {number}" for number in range(10))


def images(folder: Path) -> Workload:
    """The model with weights drawn once, and an image of noise."""
    import onnxruntime

    graph, path = network(), folder / "network.onnx"
    path.write_bytes(graph)
    pixels = np.random.default_rng(1).integers(0, 256, SHAPE, dtype=np.uint8)
    chances = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels[None]})[0]
    return Workload(
        title="a convolutional network, images of 3 x 128 x 128 as bytes, one a request",
        path=path,
        graph=graph,
        rival=graph,
        signature=_signature(),
        row=pixels,
        expected=float(chances[0, 0]),
        datatype="UINT8",
        tensor="pixels",
        scores=len(CLASSES),
    )


def photo() -> bytes:
    """One photo of 640 x 480 as a JPEG file."""
    from PIL import Image

    y, x = np.mgrid[0:480, 0:640]
    drawn = np.stack([(np.sin(x / 17) + 1) * 127, (np.cos(y / 11) + 1) * 127, (x + y) % 256], axis=2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(drawn).save(out, "JPEG", quality=85)
    return out.getvalue()


def network() -> bytes:
    """The graph: `pixels` UINT8 [n, 3, 128, 128] -> `chances` FP32 [n, 10]."""
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["whole", "scale"], ["layer0"]),
    ]
    constants: dict[str, Any] = {"scale": np.float32(1 / 255)}
    channels = 3
    for number, (width, stride) in enumerate([(32, 2), (64, 2), (128, 2), (128, 1)]):
        constants[f"kernel{number}"] = draw.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype("f4")
        constants[f"bias{number}"] = np.zeros(width, "f4")
        inputs = [f"layer{number}", f"kernel{number}", f"bias{number}"]
        nodes += [
            helper.make_node(
                "Conv", inputs, [f"made{number}"], kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2
            ),
            helper.make_node("Relu", [f"made{number}"], [f"layer{number + 1}"]),
        ]
        channels = width
    constants |= {"weights": draw.normal(0, 1, (channels, 10)).astype("f4"), "offset": np.zeros(10, "f4")}
    nodes += [
        helper.make_node("GlobalAveragePool", ["layer4"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "offset"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["chances"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *SHAPE])],
        [helper.make_tensor_value_info("chances", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def _signature() -> Any:
    from trimtab.records.model import Signature
    from trimtab.records.tensors import ImageInput, TensorInput, TensorOutput, Tensors

    image = ImageInput(size=SHAPE[1:])
    return Signature(
        task="multiclass_classification",
        inputs=(),
        features=(),
        classes=CLASSES,
        onnx_output="chances",
        tensors=Tensors(
            inputs=(TensorInput(name="pixels", datatype="UINT8", shape=SHAPE, image=image),),
            outputs=(TensorOutput(name="chances", datatype="FP32", shape=(10,)),),
        ),
    )
