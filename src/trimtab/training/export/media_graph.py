"""Graphs of models of images and sounds: what `train` returned, its signature, and the model it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import onnx

from trimtab.errors import PermanentError
from trimtab.inference.session import open_session
from trimtab.inference.tensors.graph import check_graph, describe_graph
from trimtab.records.metric import Task
from trimtab.records.model import Signature
from trimtab.records.tensors import MediaModel, Recognition, TensorOutput, Tensors
from trimtab.training.export.given import OnnxModel, onnx_model_of, read_graph


def returned_graph(returned: Any) -> tuple[OnnxModel, bytes]:
    """What the user's `train` returned, and its graph. Raises PermanentError for what is no ONNX model."""
    found = onnx_model_of(returned)
    if found is None:
        raise PermanentError(
            f"train() returned {type(returned).__module__}.{type(returned).__name__}; expected an ONNX graph",
            hint="return onnx.ModelProto, its bytes or file, or trimtab.OnnxModel(model, ...); "
            "torch.onnx.export(module, ..., dynamo=True) makes one of a PyTorch module",
        )
    proto: onnx.ModelProto = read_graph(found)
    content: bytes = proto.SerializeToString(deterministic=True)
    return found, content


def media_signature(model: OnnxModel, content: bytes, task: Task, media: MediaModel) -> Signature:
    """The signature of a graph, completed by what is declared. Raises PermanentError where the two do not fit."""
    session = open_session(content)
    graph = describe_graph(session)
    if not graph.outputs:
        raise PermanentError("the graph has no output")
    told = {one.name: one for one in media.outputs}
    for name in told:
        if name not in [one.name for one in graph.outputs]:
            listed = ", ".join(one.name for one in graph.outputs)
            raise PermanentError(f"the graph has no output {name!r}", hint=f"it has {listed}")
    outputs = tuple(_read(one, told.get(one.name)) for one in graph.outputs)
    classes = tuple(media.classes)
    tensors = Tensors(inputs=media.inputs, outputs=outputs, batch=graph.batch, detections=media.detections)
    if task == "recognition":
        classes = tuple(map(str, model.classes))
        tensors = _recognising(tensors, model, media)
    signature = Signature(task="tensors", inputs=(), features=(), classes=classes, tensors=tensors)
    check_graph(session, signature)
    return signature


def _read(output: TensorOutput, told: Any) -> TensorOutput:
    if told is None:
        return output
    return msgspec.structs.replace(output, apply=told.apply, threshold=told.threshold, answered=told.answered)


def _recognising(tensors: Tensors, model: OnnxModel, media: MediaModel) -> Tensors:
    """The similarities are the output of that name, or the only one."""
    names = [one.name for one in tensors.outputs]
    name = "similarities" if "similarities" in names else names[0]
    if name != "similarities" and len(names) > 1:
        raise PermanentError("the graph has several outputs", hint="call the one with similarities `similarities`")
    if not model.classes or len(set(model.classes)) != len(model.classes) or media.stranger in model.classes:
        raise PermanentError(
            "recognition needs to know who is enrolled",
            hint="return trimtab.OnnxModel(model, classes=[...]), each name once, in the order of the similarities",
        )
    threshold = media.threshold if media.threshold is not None else model.threshold
    if threshold is None:
        raise PermanentError(
            "nothing says from which similarity on somebody is known",
            hint="return trimtab.OnnxModel(model, threshold=...), or declare `threshold` in [model.recognition]",
        )
    outputs = tuple(msgspec.structs.replace(one, answered=one.answered and one.name != name) for one in tensors.outputs)
    recognition = Recognition(similarities=name, threshold=float(threshold), stranger=media.stranger)
    return msgspec.structs.replace(tensors, outputs=outputs, recognition=recognition)


def outputs_of(native: Callable[..., Any], arrays: Sequence[Any], names: Sequence[str]) -> Mapping[str, Any]:
    """What `native` answers for a batch, by output."""
    made = native(*arrays)
    if isinstance(made, Mapping):
        return made
    if len(names) == 1:
        return {names[0]: made}
    raise PermanentError("native() returned one array for several outputs", hint="return a dict by output")
