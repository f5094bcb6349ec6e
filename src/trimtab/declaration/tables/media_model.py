"""`[model.media.COLUMN]` and what belongs to it: models of images and sounds that are to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec import UNSET, UnsetType

from trimtab.data.spec import DatasetSpec
from trimtab.declaration.problems import KeyPath, Problems, did_you_mean
from trimtab.declaration.reading import Table
from trimtab.declaration.system import Policy, Replay
from trimtab.declaration.tables.tensor_inputs import (
    DeclaredInput,
    named_tables,
    read_detections,
    read_input,
    read_output,
)
from trimtab.experiments.spec import ExperimentSpec
from trimtab.labels.spec import LabelsSpec
from trimtab.records.metric import Task, is_answered
from trimtab.records.tensors import AudioInput, Datatype, Detections, ImageInput, MediaModel, TensorInput
from trimtab.training.spec import ModelSpec

_KEYS = ("media", "outputs", "classes", "detections", "recognition")
_WITH_CLASSES = ("detection", "segmentation")
_EXAMPLE = "[model.media.content] with image = { size = [224, 224] }, or audio = { rate = 16000 }"
_FLOATS = ("FP32", "FP16", "FP64")


def read_media(table: Table, task: Task | None) -> MediaModel | UnsetType:
    """What `[model]` says of images and sounds; UNSET for tasks of tables (the problems are recorded)."""
    problems = table.problems
    if task is not None and not is_answered(task):
        for key in _KEYS:
            if table.has(key):
                problems.add(table.key(key), f"has no meaning for {task}", hint="it is for models of images and sounds")
        return UNSET
    inputs = [made for one in named_tables(table, "media") if (made := _tensor(one)) is not None]
    outputs = tuple(read_output(one) for one in named_tables(table, "outputs"))
    classes = table.texts("classes", '["background", "scratch"]') or ()
    detections = read_detections(table)
    threshold, stranger = _recognition(table, task)
    if task is None:
        return UNSET
    if not inputs and not table.values.get("media") and not table.misspelt("media"):
        problems.add(table.path, f"{task} is about images or sounds, and no column with files is named", hint=_EXAMPLE)
    _check_fit(table, task, inputs, classes, detections)
    if not inputs:
        return UNSET
    return MediaModel(
        inputs=tuple(inputs),
        outputs=outputs,
        classes=classes,
        detections=detections,
        threshold=threshold,
        stranger=stranger,
    )


def check_media(
    problems: Problems,
    task: Task,
    model: ModelSpec,
    data: Sequence[DatasetSpec],
    policy: Policy,
    *,
    replay: Replay | None,
    experiments: Sequence[ExperimentSpec],
    labels: LabelsSpec | None,
) -> None:
    """Record what is declared beside a model of images or sounds and cannot be had for one."""
    if not is_answered(task) or not isinstance(model.media, MediaModel):
        return
    for position, step in enumerate(policy.release):
        if step.stage == "shadow":
            problems.add(
                ("policy", "release", position),
                f"answers of {task} are judged by labelled rows, not by what callers tell: a shadow would never be",
                hint='write release = ["canary:10%:1000", "live"]',
            )
    for position, trigger in enumerate(policy.retrain_on):
        if trigger.cause in ("data_drift", "concept_drift"):
            problems.add(
                ("policy", "retrain_on", position),
                f"{trigger.cause} is measured of columns and scores, and {task} has neither",
                hint='write "requirement_broken", "new_rows:500" or "schedule:30 d"; how files look and sound '
                "is required by data.mean and data.quantile",
            )
    if model.search is not None:
        hint = "try the values by hand, or inside train()"
        problems.add(("model", "search"), f"a search tries models of columns, and {task} has none", hint=hint)
    beside: list[tuple[KeyPath, bool, str]] = [
        (("replay",), replay is not None, "a replay asks for rows of columns"),
        (("experiments",), bool(experiments), "experiments compare scores"),
    ]
    for key, there, why in beside:
        if there:
            problems.add(key, f"{why}, and {task} has none", hint="leave it out for now")
    if labels is not None and labels.data not in [spec.name for spec in data]:
        return
    _check_columns(problems, model, data)


def _check_columns(problems: Problems, model: ModelSpec, data: Sequence[DatasetSpec]) -> None:
    """Files are looked for in the columns that the labelled dataset says are media, where it names any."""
    assert isinstance(model.media, MediaModel)
    labelled = next((spec for spec in data if spec.label is not None), None)
    for one in model.media.inputs if labelled is not None and labelled.media else ():
        assert labelled is not None
        if one.name not in labelled.media:
            problems.add(
                ("model", "media", one.name),
                f'[[data]] "{labelled.name}" has no media column "{one.name}"{did_you_mean(one.name, labelled.media)}',
                hint=f"it has {', '.join(labelled.media)}",
            )
        elif one.name == labelled.label:
            problems.add(("model", "media", one.name), "is the label, which is never an input")


def _tensor(table: Table) -> TensorInput | None:
    """The tensor that a file becomes, from what is declared of it."""
    datatype = cast("Datatype | None", table.one_of("datatype", ("UINT8", "INT16", *_FLOATS)))
    found = read_input(table)
    if found.audio is not None:
        return TensorInput(
            name=found.name,
            datatype=datatype or "FP32",
            shape=found.shape or (-1,),
            audio=AudioInput(**found.audio),
        )
    if found.image is None:
        table.problems.add(table.path, "is neither an image nor a sound", hint=f"write {_EXAMPLE}")
        return None
    return _image(table, found, found.image, datatype)


def _image(table: Table, found: DeclaredInput, declared: dict[str, Any], datatype: Datatype | None) -> TensorInput:
    image = ImageInput(**declared)
    if found.shape is not None:
        table.problems.add(table.key("shape"), "follows from the image's size, colors and layout", hint="leave it out")
    channels = 1 if image.colors == "L" else 3
    high, wide = image.size or (-1, -1)
    shape = (channels, high, wide) if image.layout == "CHW" else (high, wide, channels)
    numbers = image.scale != 1.0 or image.mean or image.std
    return TensorInput(name=found.name, datatype=datatype or ("FP32" if numbers else "UINT8"), shape=shape, image=image)


def _recognition(table: Table, task: Task | None) -> tuple[float | None, str]:
    values = table.table("recognition")
    if values is None:
        return None, "stranger"
    own = Table(table.problems, table.key("recognition"), values)
    threshold, stranger = own.number("threshold"), own.text("stranger", '"stranger"') or "stranger"
    own.close()
    if task is not None and task != "recognition":
        table.problems.add(table.key("recognition"), f"has no meaning for {task}")
    return threshold, stranger


def _check_fit(
    table: Table,
    task: Task,
    inputs: Sequence[TensorInput],
    classes: Sequence[str],
    detections: Detections | None,
) -> None:
    if task in _WITH_CLASSES and not classes and not table.misspelt("classes"):
        table.problems.add(
            table.path, f"{task} needs the names of its classes", hint='write classes = ["background", "scratch"]'
        )
    if task not in _WITH_CLASSES and classes:
        table.problems.add(table.key("classes"), f"has no meaning for {task}", hint="labels name them")
    if detections is not None and task != "detection":
        table.problems.add(table.key("detections"), f"has no meaning for {task}")
    for one in inputs:
        key = table.key("media", one.name)
        if task in _WITH_CLASSES and one.image is None:
            table.problems.add(key, f"{task} is about images", hint="write image = { size = [224, 224] }")
        if task == "segmentation" and one.image is not None and one.image.fit != "stretch":
            table.problems.add(
                key, "a mask lies on its picture as a whole", hint='write fit = "stretch", or leave fit out'
            )
    if table.has("inputs"):
        table.problems.add(table.key("inputs"), f"names columns, and {task} takes files", hint=_EXAMPLE)
