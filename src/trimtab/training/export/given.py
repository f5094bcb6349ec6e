"""Models that are ONNX already: pretrained, made by another tool, or written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose

from trimtab.errors import PermanentError
from trimtab.inference.session import open_session
from trimtab.records.model import Signature
from trimtab.training.export.graph import ML_OPSET, Graph

LARGEST = 2**30
"""Bytes of a graph with its weights; what is larger does not fit into one file of ONNX's own form at twice the size."""
_OLDEST = 9
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Operators that ONNX Runtime has without a library of somebody's: the standard, classical learning, its own."""
_USUAL = ("probabilities", "scores", "output_probability", "logits")
_TRIED_ROWS = (1, 3)


@dataclass(frozen=True)
class OnnxModel:
    """A model that is ONNX already, for `train` to return.

    `model` is a file (str or Path), its bytes, an `onnx.ModelProto`, or a function of onnxscript. It takes one float32
    matrix [rows, features], any number of rows, and gives probabilities ([rows], [rows, 1] or [rows, 2] for two
    classes, [rows, classes] for several), a number ([rows] or [rows, 1]), or with `logits` what a sigmoid or softmax
    makes probabilities of. `output` names it where the graph has several. `native` is the callable that the graph was
    made from, if there is one: it is given the same matrix and must answer the same as that output.

    For images and sounds its inputs are called as the columns, and its outputs are those that its task answers by.
    `native` is then given each input and answers one array, or a dict by output. `classes` are the names of those
    enrolled, in the order of the similarities, and `threshold` the similarity from which somebody is taken to be known.
    """

    model: Any
    native: Callable[..., Any] | None = None
    output: str = ""
    logits: bool = False
    classes: Sequence[str] = ()
    threshold: float | None = None


def onnx_model_of(model: Any) -> OnnxModel | None:
    """What `train` returned as an OnnxModel, where it is one or what one is made of; None for anything else."""
    if isinstance(model, OnnxModel):
        return model
    plain = isinstance(model, onnx.ModelProto | bytes | bytearray | Path)
    file = isinstance(model, str) and model.endswith(".onnx")
    return OnnxModel(model) if plain or file or _is_script(model) else None


def given_graph(given: OnnxModel, signature: Signature) -> Graph:
    """The graph of a model that is ONNX already: P(positive) [n, 1] or two columns, probabilities, or the number.

    Raises PermanentError for one that is not whole, too large, too old, needs operators or files of its own, does not
    take the matrix, or whose output does not fit the task.
    """
    proto = read_graph(given)
    session = open_session(proto.SerializeToString())
    _check_input(session, len(signature.features))
    output = _output(session, given.output)
    width, flat = _shape(session, output, signature)
    source = session.get_inputs()[0].name
    # The names that are added to a graph must not meet those of its own.
    own = compose.add_prefix(proto, "given/")
    for tensor in own.graph.initializer:
        if tensor.data_location == onnx.TensorProto.DEFAULT:  # said or not, the same model has the same bytes
            tensor.ClearField("data_location")
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    standard = versions.pop("", versions.pop("ai.onnx", _OLDEST))
    graph = Graph(
        input=f"given/{source}",
        output=f"given/{output.name}",
        width=width,
        nodes=list(own.graph.node),
        constants=list(own.graph.initializer),
        opset=standard,
        imports={"ai.onnx.ml": ML_OPSET, **versions},
        functions=list(own.functions),
        ir=max(8, proto.ir_version),
    )
    if flat:
        graph.add("Reshape", [graph.output, graph.constant("one_column", np.array([-1, 1], dtype=np.int64))], "column")
    if output.type != "tensor(float)":
        graph.add("Cast", [graph.output], "singles", to=onnx.TensorProto.FLOAT)
    if given.logits and signature.task != "regression":
        if width == 1:
            graph.add("Sigmoid", [graph.output], "probability")
        else:
            graph.add("Softmax", [graph.output], "softmax", axis=1)
    return graph


def read_graph(given: OnnxModel) -> onnx.ModelProto:
    """The graph itself. Raises PermanentError for one that is not whole, too large, too old, or needs operators or
    files of its own."""
    proto = _read(given.model)
    _check(proto)
    return proto


def given_scores(given: OnnxModel, x: NDArray[np.float32], signature: Signature) -> NDArray[np.float64] | None:
    """What the callable answers, as `native_scores` gives it; None where there is none.

    Raises PermanentError when it does not answer each row with a line.
    """
    if given.native is None:
        return None
    out = np.asarray(given.native(x.copy()), dtype=np.float64)
    if out.shape[:1] != (len(x),) or out.ndim > 2:
        raise PermanentError(f"native(x) returned {list(out.shape)} for {len(x)} rows", hint="a line for each row")
    out = out.reshape(len(x), -1)
    if given.logits and signature.task != "regression":
        if out.shape[1] == 1:
            out = 1.0 / (1.0 + np.exp(-out))
        else:
            out = np.exp(out - out.max(axis=1, keepdims=True))
            out /= out.sum(axis=1, keepdims=True)
    return out if signature.task == "multiclass_classification" else out[:, -1]


def _is_script(model: Any) -> bool:
    return type(model).__module__.partition(".")[0] == "onnxscript" and hasattr(model, "to_model_proto")


def _read(model: Any) -> onnx.ModelProto:
    if isinstance(model, onnx.ModelProto):
        return model
    try:
        if isinstance(model, bytes | bytearray):
            return onnx.load_model_from_string(bytes(model))
        if _is_script(model):
            proto: onnx.ModelProto = model.to_model_proto()
            return proto
        path = Path(model)
        if path.stat().st_size <= LARGEST:
            return onnx.load(path)  # with the weights that lie in files beside it
    except OSError as error:
        raise PermanentError(f"the ONNX model cannot be read: {error.strerror or error}") from error
    except Exception as error:  # protobuf's, the checker's and onnxscript's errors share no root
        raise PermanentError(f"this is no ONNX model: {_first_line(error)}") from error
    raise PermanentError(f"the ONNX model {path.name} is larger than {LARGEST:,} bytes")


def _check(proto: onnx.ModelProto) -> None:
    outside = [t.name for t in _tensors(proto) if t.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise PermanentError(
            f"the weights of the ONNX model lie in another file: {outside[0]!r} and {len(outside) - 1} more",
            hint="return the path of the file, so that they are read, or save it with save_as_external_data=False",
        )
    if proto.ByteSize() > LARGEST:
        raise PermanentError(f"the ONNX model has {proto.ByteSize():,} bytes, over {LARGEST:,}")
    own = {(function.domain, function.name) for function in proto.functions}
    for node in _nodes(proto):
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise PermanentError(
                f"the ONNX model needs operator {node.domain}:{node.op_type}, which ONNX Runtime has not",
                hint="use the standard operators; libraries of custom ones are not loaded",
            )
    standard = next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), _OLDEST)
    if standard < _OLDEST:
        raise PermanentError(
            f"the ONNX model is of operator set {standard}; the oldest that is taken is {_OLDEST}",
            hint="convert it with onnx.version_converter",
        )
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # onnx.checker.ValidationError, and what its parsing raises
        raise PermanentError(f"this is no valid ONNX model: {_first_line(error)}") from error


def _check_input(session: Any, features: int) -> None:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        listed = ", ".join(one.name for one in inputs) or "none"
        raise PermanentError(
            f"the ONNX model has {len(inputs)} inputs ({listed}); it should take one matrix",
            hint="concatenate the columns inside of the graph",
        )
    (one,) = inputs
    if one.type != "tensor(float)" or len(one.shape) != 2:
        raise PermanentError(
            f"the ONNX model takes {one.type} of {list(one.shape)}; the rows are tensor(float) [rows, {features}]"
        )
    rows, width = one.shape
    if isinstance(rows, int):
        raise PermanentError(
            f"the ONNX model takes {rows} rows at a time", hint="leave the first dimension open when it is exported"
        )
    if isinstance(width, int) and width != features:
        raise PermanentError(
            f"the ONNX model takes {width} features; the rows have {features}", hint="see `inputs` and features()"
        )


def _output(session: Any, name: str) -> Any:
    outputs = {one.name: one for one in session.get_outputs()}
    if name:
        if name not in outputs:
            raise PermanentError(f"the ONNX model has no output {name!r}", hint=f"it has {', '.join(outputs)}")
        chosen = [outputs[name]]
    else:
        chosen = [one for one in outputs.values() if one.type in {"tensor(float)", "tensor(double)", "tensor(float16)"}]
        usual = [one for one in chosen if one.name in _USUAL]
        chosen = chosen if len(chosen) == 1 else usual
    if len(chosen) != 1 or not chosen[0].type.startswith("tensor("):
        listed = ", ".join(f"{one.name}: {one.type}" for one in outputs.values())
        maps = any(one.type.startswith("seq(map(") for one in outputs.values())
        raise PermanentError(
            f"none of the ONNX model's outputs is the score ({listed})",
            hint="export it with zipmap=False" if maps else "name it: OnnxModel(..., output=NAME)",
        )
    return chosen[0]


def _shape(session: Any, output: Any, signature: Signature) -> tuple[int, bool]:
    """How wide the output is, and whether it is [rows] alone; found by asking it about a few rows."""
    features, source = len(signature.features), session.get_inputs()[0].name
    shape: tuple[int, ...] = ()
    for rows in _TRIED_ROWS:
        try:
            (out,) = session.run([output.name], {source: np.zeros((rows, features), dtype=np.float32)})
        except Exception as error:  # the runtime's errors share no root
            raise PermanentError(
                f"the ONNX model does not take {rows} rows of {features} features: {_first_line(error)}"
            ) from error
        shape = np.shape(out)
        if shape[:1] != (rows,) or len(shape) > 2:
            raise PermanentError(
                f"the ONNX model's output {output.name!r} is {list(shape)} for {rows} rows", hint="a line for each row"
            )
    width = shape[1] if len(shape) == 2 else 1
    several = signature.task == "multiclass_classification"
    fitting = (len(signature.classes),) if several else (1,) if signature.task == "regression" else (1, 2)
    if width not in fitting:
        raise PermanentError(
            f"the ONNX model's output {output.name!r} has {width} columns; the task {signature.task} needs "
            + " or ".join(map(str, fitting))
        )
    return width, len(shape) == 1


def _nodes(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    waiting = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting += graph.node


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from proto.graph.initializer
    for node in _nodes(proto):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors, *attribute.g.initializer)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
