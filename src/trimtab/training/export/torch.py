"""PyTorch modules, through the library's own exporter: `torch.export`, then `torch.onnx.export(dynamo=True)`.

A module takes float32 [rows, features] and returns what its task's usual loss takes: logits for classification ([rows],
[rows, 1] or [rows, 2] for two classes, [rows, classes] for several), the number itself for regression ([rows] or
[rows, 1]). The exported graph ends with the sigmoid or softmax that makes probabilities of logits.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.records.model import Signature
from trimtab.training.export.graph import Graph

OPSET = 18
"""The oldest that PyTorch's exporter writes."""
_TRACED_ROWS = 7
_CHUNK = 65_536


def check_module(module: Any, signature: Signature) -> int:
    """Take the module to the processor and out of training; the width of what it returns (1 for [rows] as well).

    Raises PermanentError for one that does not take the matrix, or whose output does not fit the task.
    """
    import torch  # here: seconds of imports, and not everybody has it

    module.to("cpu").float().eval()
    features = len(signature.features)
    try:
        with torch.no_grad():
            out = module(torch.zeros(_TRACED_ROWS, features))
    except Exception as error:  # whatever the user's forward() raises
        raise PermanentError(
            f"{type(module).__name__} does not take float32 [rows, {features}]: {_first_line(error)}",
            hint="build it for train.x.shape[1] features",
        ) from error
    shape = tuple(getattr(out, "shape", ()))
    width = 1 if len(shape) == 1 else shape[-1] if len(shape) == 2 else 0
    if shape[:1] != (_TRACED_ROWS,) or width not in _widths(signature):
        said = list(shape) if shape else type(out).__name__
        raise PermanentError(
            f"{type(module).__name__} returns {said} for {_TRACED_ROWS} rows; the task {signature.task} needs "
            + " or ".join(f"[rows, {width}]" for width in _widths(signature)),
            hint="return logits for classes, the number for regression, for each row one line",
        )
    return int(width)


def module_graph(module: Any, signature: Signature) -> Graph:
    """The graph of a checked module: P(positive) [n, 1], probabilities [n, K], or the number [n, 1].

    Raises PermanentError for what the exporter cannot follow, such as a forward() that asks what the values are.
    """
    import torch

    # It tells of every operator of libraries that are not installed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    width = check_module(module, signature)
    example = torch.zeros(_TRACED_ROWS, len(signature.features))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                external_data=False,
                input_names=[signature.onnx_input],
                output_names=["module_output"],
                dynamic_shapes=({0: torch.export.Dim("rows")},),
            )
    except ModuleNotFoundError as error:
        raise PermanentError(
            f"PyTorch's exporter needs {error.name}, which is not installed", hint="pip install 'trimtab[torch]'"
        ) from error
    except Exception as error:  # the exporter's errors share no root
        raise PermanentError(
            f"{type(module).__name__} cannot be exported to ONNX: {_first_line(error.__cause__ or error)}",
            hint="forward() must be tensor operations that hold for any number of rows, without branching on values",
        ) from error
    made = program.model_proto
    if made.functions:
        raise PermanentError(f"{type(module).__name__} cannot be exported to ONNX: it leaves functions in the graph")
    for node in made.graph.node:  # where the code lay: another folder for every training
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph = Graph(
        input=signature.onnx_input,
        output=made.graph.output[0].name,
        width=width,
        nodes=list(made.graph.node),
        constants=list(made.graph.initializer),
        opset=next(entry.version for entry in made.opset_import if not entry.domain),
    )
    if width == 1:
        shape = graph.constant("one_column", np.array([-1, 1], dtype=np.int64))
        graph.add("Reshape", [graph.output, shape], "column")
    if signature.task != "regression":
        if width == 1:
            graph.add("Sigmoid", [graph.output], "probability")
        else:
            graph.add("Softmax", [graph.output], "probabilities", axis=1)
    return graph


def module_scores(module: Any, x: NDArray[np.float32], signature: Signature) -> NDArray[np.float64]:
    """What the module itself answers, by PyTorch, as `native_scores` gives it."""
    import torch

    parts = []
    with torch.no_grad():
        for start in range(0, len(x), _CHUNK):
            out = module(torch.from_numpy(np.ascontiguousarray(x[start : start + _CHUNK]))).double()
            out = out.reshape(len(out), -1)
            if signature.task != "regression":
                out = torch.sigmoid(out) if out.shape[1] == 1 else torch.softmax(out, dim=1)
            parts.append(out.numpy())
    scores = np.concatenate(parts)
    return scores if signature.task == "multiclass_classification" else scores[:, -1]


def _widths(signature: Signature) -> tuple[int, ...]:
    if signature.task == "multiclass_classification":
        return (len(signature.classes),)
    return (1, 2) if signature.task == "binary_classification" else (1,)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
