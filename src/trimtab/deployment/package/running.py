"""How to run a model without Trimtab, in ten lines: the page that goes with it says so, and a test runs them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from trimtab.deployment.package.contents import EXPLAINER, FEATURES, MODEL, POSTPROCESS, SIGNATURE
from trimtab.records.model import Column, Feature, Signature
from trimtab.records.tensors import TensorInput, Tensors

_NUMPY = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
    "BYTES": "object",
}  # fmt: skip
_POLARS = {"number": "pl.Float64", "category": "pl.String", "boolean": "pl.Boolean", "time": 'pl.Datetime("us", "UTC")'}


def from_features(signature: Signature, typical: Mapping[str, float]) -> str:
    """A script that asks the model with NumPy and ONNX Runtime alone, from a row of its features. `typical` are values
    of numbers to show; those that are missing are 0."""
    if isinstance(signature.tensors, Tensors):
        return _tensors(signature.tensors)
    row = json.dumps({feature.name: _example(feature, typical) for feature in signature.features}, ensure_ascii=False)
    return f"""\
import json, numpy as np, onnxruntime

signature = json.load(open("{SIGNATURE}", encoding="utf-8"))
row = json.loads('''{_quoted(row)}''')
def coded(feature, cell):
    if feature["kind"] == "number":
        return float("nan") if cell is None else float(cell)
    return feature["vocabulary"].index(cell) if cell in feature["vocabulary"] else -1
x = np.array([[coded(f, row[f["name"]]) for f in signature["features"]]], dtype=np.float32)
print(onnxruntime.InferenceSession("{MODEL}").run(["{signature.onnx_output}"], {{"{signature.onnx_input}": x}})[0])
"""


def from_inputs(signature: Signature, entry: str) -> str:
    """A script that makes a row of the features from what a caller sends, with the user's own code."""
    row = {column.name: _sent(column) for column in signature.inputs}
    types = ", ".join(f"{json.dumps(column.name)}: {_POLARS[column.kind]}" for column in signature.inputs)
    return f"""\
import importlib, sys
import polars as pl

sys.path.insert(0, "{FEATURES}")
rows = pl.DataFrame({[row]!r}, schema={{{types}}})
print(importlib.import_module("{entry}").features(rows).to_dicts()[0])
"""


def readme(
    name: str, system: str, problem: str, signature: Signature, entry: str, *, there: Collection[str], script: str
) -> str:
    """The page; `there` are the files of the package so far."""
    own = {"features": FEATURES in there, "postprocess": POSTPROCESS in there}
    missing = {FEATURES, POSTPROCESS, EXPLAINER, "environment.json"} - {*there}
    parts = [
        f"# {name}\n",
        f"A model of the system **{system}**: {problem}.\n",
        "Everything it needs is in this folder. `model_card.html` says what it is for and how good it is.\n",
        "## Run it\n",
        "With Python and `pip install -r requirements.txt`, in this folder:\n",
        f"```python\n{script}```\n",
        _meaning(signature),
        "Builds of ONNX Runtime may tell their maker what they load: `ORT_DISABLE_TELEMETRY=1` in the environment",
        "stops it.\n",
    ]
    if own["features"]:
        parts += [
            f"The row holds *features*. `{FEATURES}` has the function that makes them of what a caller sends; it needs",
            "`pip install -r requirements-train.txt`:\n",
            f"```python\n{from_inputs(signature, entry)}```\n",
        ]
    if own["postprocess"]:
        parts.append(
            f"`{POSTPROCESS}` has `postprocess(outputs)`, which makes the answer of the outputs, by their names.\n"
        )
    parts += [
        "## Serve it\n",
        "`pip install trimtab`, then `trimtab serve .` in this folder: rows as JSON at `/predict`, and why an answer",
        "is what it is with `?explain=true`. A file `serve.toml` beside this one may say how, as `[serve]`.\n",
        "## What is here\n",
        "| file | what it is |\n| --- | --- |",
        *(f"| `{file}` | {what} |" for file, what in _FILES.items() if file not in missing),
        "\n`sha256sum -c SHA256SUMS` checks that nothing has changed.\n",
    ]
    return "\n".join(parts)


_FILES = {
    MODEL: "the model, an ONNX graph",
    SIGNATURE: "its inputs, its features in order with their categories, its classes and its threshold",
    FEATURES: "the code that makes features of what a caller sends",
    POSTPROCESS: "the code that makes the answer of the outputs",
    EXPLAINER: "what explains its answers, for `trimtab serve`",
    "code/": "all the code that its training reached",
    "params.json": "its hyper-parameters",
    "data.json": "which rows it comes from: dataset, version, columns and time span, but no rows",
    "requirements.txt": "what running it takes",
    "requirements-train.txt": "what training it took, with all that this needs, each at its version",
    "environment.json": "the machine that trained it, and every library that was installed there",
    "model_card.md, model_card.html": "what it is for, how good, for whom, and where it is weak",
    "LICENCES.md": "the licences of the model, its data and the libraries",
    "package.json": "all of this for programs",
}


def _meaning(signature: Signature) -> str:
    if isinstance(signature.tensors, Tensors):
        return "The outputs are named tensors; `signature.json` says how inputs are made of images or sounds.\n"
    words = "A category is its position among the words of its feature, -1 when it is unknown; a missing number is NaN."
    if signature.task == "regression":
        return f"{words} The answer is the number itself.\n"
    if signature.task == "binary_classification":
        yes = signature.classes[1] if len(signature.classes) > 1 else "yes"
        least = f"{signature.threshold:.6g}"
        return f"{words} The score is the probability of `{yes}`; from {least} on the answer is `{yes}`.\n"
    return f"{words} The scores are the probabilities of {', '.join(f'`{name}`' for name in signature.classes)}.\n"


def _example(feature: Feature, typical: Mapping[str, float]) -> Any:
    if feature.kind == "category":
        return feature.vocabulary[0] if feature.vocabulary else None
    value = typical.get(feature.name, 0.0)
    return float(f"{value:.6g}") if value == value else None  # noqa: PLR0124 - not a number


def _sent(column: Column) -> Any:
    return {"number": 0.0, "category": "", "boolean": True, "time": None}[column.kind]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'''", "\\'\\'\\'")


def _tensors(tensors: Tensors) -> str:
    feeds = ", ".join(f"{one.name!r}: {_zeros(one, batch=tensors.batch)}" for one in tensors.inputs)
    names = [one.name for one in tensors.outputs]
    return f"""\
import numpy as np, onnxruntime

feeds = {{{feeds}}}  # by the names of the graph's inputs
session = onnxruntime.InferenceSession("{MODEL}")
for name, output in zip({names!r}, session.run({names!r}, feeds)):
    print(name, output.shape, output.ravel()[:5])
"""


def _zeros(one: TensorInput, *, batch: bool) -> str:
    shape = [1 if size < 0 else size for size in one.shape]
    return f'np.zeros({[1, *shape] if batch else shape}, dtype="{_NUMPY[one.datatype]}")'
