"""`<model>.toml` beside a model file: what its inputs and outputs mean, for `trimtab serve model.onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from trimtab.declaration.load import read_text, toml_values
from trimtab.declaration.locate import locate
from trimtab.declaration.paths import check_file
from trimtab.declaration.problems import Problems
from trimtab.declaration.reading import Table
from trimtab.declaration.tables.sections import read_serve
from trimtab.declaration.tables.tensor_inputs import (
    DeclaredInput,
    named_tables,
    read_detections,
    read_input,
    read_output,
)
from trimtab.records.base import Record
from trimtab.records.metric import ScoredTask
from trimtab.records.tensors import Detections, OutputReading
from trimtab.serving.spec import ServeSpec


class ModelFile(Record, kw_only=True):
    """All that is declared of a model file. `score` is the output that the task's score is in (empty: the only one)."""

    name: str
    task: ScoredTask | Literal["tensors"] = "tensors"
    classes: tuple[str, ...] = ()
    score: str = ""
    threshold: float = 0.5
    top: int = 0
    postprocess: str = ""
    inputs: tuple[DeclaredInput, ...] = ()
    outputs: tuple[OutputReading, ...] = ()
    detections: Detections | None = None
    serve: ServeSpec = ServeSpec()


def load_model_file(path: Path, name: str) -> ModelFile:
    """Read the declaration of a model file, which is called `name` where it says nothing else; a file that is not there
    declares nothing. Raises DeclarationErrors with every problem found."""
    if not path.exists():
        return ModelFile(name=name)
    text = read_text(path)
    problems = Problems(path, locate(text))
    root = Table(problems, (), toml_values(text, path))
    task = root.one_of("task", (*get_args(ScoredTask), "tensors"))
    found: dict[str, Any] = {
        "name": root.name("name"),
        "task": task,
        "classes": root.texts("classes", '["cat", "dog"]'),
        "score": root.text("score", '"probabilities"'),
        "threshold": root.number("threshold"),
        "top": root.integer("top", 1),
        "postprocess": root.text("postprocess", '"after.py"'),
    }
    if found["postprocess"] is not None:
        check_file(problems, root.key("postprocess"), str(path.resolve().parent), found["postprocess"])
    if task in ("binary_classification", "multiclass_classification") and not found["classes"]:
        problems.add((), f"{task} needs the names of its classes", hint='write classes = ["cat", "dog"]')
    inputs = [read_input(table) for table in named_tables(root, "inputs")]
    outputs = [read_output(table) for table in named_tables(root, "outputs")]
    detections = read_detections(root)
    served = root.table("serve")
    serve = read_serve(Table(problems, ("serve",), served)) if served is not None else ServeSpec()
    root.close()
    problems.raise_if_any()
    return ModelFile(
        **{"name": name} | {key: value for key, value in found.items() if value is not None},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        detections=detections,
        serve=serve,
    )


def load_serve(path: Path) -> ServeSpec:
    """`[serve]` of a file that may declare nothing else; the defaults where there is no such file. Raises
    DeclarationErrors with every problem found."""
    if not path.exists():
        return ServeSpec()
    text = read_text(path)
    problems = Problems(path, locate(text))
    root = Table(problems, (), toml_values(text, path))
    served = root.table("serve")
    serve = read_serve(Table(problems, ("serve",), served)) if served is not None else ServeSpec()
    root.close()
    problems.raise_if_any()
    return serve
