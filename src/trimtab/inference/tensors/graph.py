"""What an ONNX graph says of its own inputs and outputs, and whether a signature agrees."""

from __future__ import annotations

from math import prod
from typing import Any

from trimtab.errors import PermanentError
from trimtab.inference.tensors.datatypes import graph_datatype
from trimtab.records.model import Signature
from trimtab.records.tensors import Recognition, TensorInput, TensorOutput, Tensors

_SCORED = ("binary_classification", "multiclass_classification", "regression")
EVERYWHERE = frozenset(("score", "label", "prediction_id"))
"""Names of outputs that every answer has."""


def describe_graph(session: Any) -> Tensors:
    """The inputs and outputs of a session as the graph has them. A graph whose first axis is fixed to 1 everywhere
    takes one row at a time. Raises PermanentError for a type that no caller could send, or no axis for the rows."""
    inputs = tuple(
        TensorInput(name=one.name, datatype=_datatype("input", one), shape=_shape("input", one))
        for one in session.get_inputs()
    )
    outputs = tuple(
        TensorOutput(name=one.name, datatype=_datatype("output", one), shape=_shape("output", one))
        for one in session.get_outputs()
    )
    batch = not any(isinstance(one.shape[0], int) for one in session.get_inputs())
    return Tensors(inputs=inputs, outputs=outputs, batch=batch)


def check_graph(session: Any, signature: Signature) -> None:
    """Raises PermanentError unless the graph has the inputs and outputs that the signature declares."""
    found = describe_graph(session)
    spec = signature.tensors
    assert isinstance(spec, Tensors)
    _check_same("input", spec.inputs, {one.name: one for one in found.inputs})
    _check_same("output", spec.outputs, {one.name: one for one in found.outputs})
    declared = {one.name for one in spec.inputs}
    for one in found.inputs:
        if one.name not in declared:
            raise PermanentError(f"the graph takes an input {one.name!r} that the signature does not have")
    if spec.batch and not found.batch:
        raise PermanentError("the graph takes one row at a time", hint="say so with batch = false")
    if spec.top and signature.task != "multiclass_classification":
        raise PermanentError(f"`top` is for several classes, and the task is {signature.task}")
    used = [] if signature.task == "tensors" else [signature.onnx_output]
    if spec.detections is not None:
        used += [name for name in (spec.detections.boxes, spec.detections.scores, spec.detections.classes) if name]
    if isinstance(spec.recognition, Recognition):
        used.append(spec.recognition.similarities)
    for output in spec.outputs:
        name = output.name
        if output.answered and name in EVERYWHERE and name not in used:
            hint = f"leave it out with `answered = false` under [outputs.{name}], or make it the task's `score`"
            raise PermanentError(f"an output cannot be named {name!r}: every answer has one of its own", hint=hint)
    named = [one.name for one in spec.outputs]
    for name in used:
        if name not in named:
            raise PermanentError(f"there is no output {name!r}", hint=f"the signature has {', '.join(named)}")
    score = next((one for one in spec.outputs if one.name == signature.onnx_output), None)
    if signature.task in _SCORED and score is not None and -1 not in score.shape:
        check_width(signature, prod(score.shape))


def check_width(signature: Signature, width: int) -> None:
    """Raises PermanentError unless so many values a row are scores of the signature's task."""
    told = f"output {signature.onnx_output!r} has {width} values a row"
    if signature.task == "multiclass_classification":
        if width != len(signature.classes):
            raise PermanentError(f"{told}, and there are {len(signature.classes)} classes")
    elif width != 1 and not (width == 2 and signature.task == "binary_classification"):
        raise PermanentError(f"{told}; expected one")


def _check_same(
    kind: str, declared: tuple[TensorInput | TensorOutput, ...], there: dict[str, TensorInput] | dict[str, TensorOutput]
) -> None:
    for tensor in declared:
        own = there.get(tensor.name)
        if own is None:
            raise PermanentError(f"the graph has no {kind} {tensor.name!r}", hint=f"it has {', '.join(there)}")
        # A size that the graph leaves free may be fixed, and the other way round never.
        fits = len(own.shape) == len(tensor.shape) and all(
            theirs in (-1, ours) for theirs, ours in zip(own.shape, tensor.shape, strict=True)
        )
        if own.datatype != tensor.datatype or not fits:
            raise PermanentError(
                f"{kind} {tensor.name!r} is {own.datatype} {list(own.shape)} in the graph, "
                f"and {tensor.datatype} {list(tensor.shape)} in the signature"
            )


def _datatype(kind: str, tensor: Any) -> Any:
    found = graph_datatype(tensor.type)
    if found is None:
        hint = "export it without maps: options={'zipmap': False} with skl2onnx" if "map(" in tensor.type else ""
        raise PermanentError(f"{kind} {tensor.name!r} of the graph is a {tensor.type}, which cannot be sent", hint=hint)
    return found


def _shape(kind: str, tensor: Any) -> tuple[int, ...]:
    if not tensor.shape:
        raise PermanentError(f"{kind} {tensor.name!r} of the graph has no axis for the rows")
    first = tensor.shape[0]
    if isinstance(first, int) and first != 1:
        raise PermanentError(
            f"{kind} {tensor.name!r} of the graph is for {first} rows at a time",
            hint="export it with a free first axis",
        )
    return tuple(size if isinstance(size, int) else -1 for size in tensor.shape[1:])
