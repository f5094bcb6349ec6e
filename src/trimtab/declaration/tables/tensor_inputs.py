"""What is declared of tensors, for a model file as for a model that is to be trained: inputs, outputs, boxes."""

from __future__ import annotations

from typing import Any, get_args

from trimtab.declaration.reading import Table
from trimtab.records.base import Record
from trimtab.records.tensors import AudioFormat, BoxForm, Detections, ImageFormat, OutputReading

_CHOICES = {
    "fit": ("stretch", "crop", "pad"),
    "colors": ("RGB", "BGR", "L"),
    "layout": ("CHW", "HWC"),
    "filter": ("nearest", "bilinear", "bicubic", "lanczos"),
}


class DeclaredInput(Record, kw_only=True):
    """`[inputs.NAME]`: what is declared of one input; `image` and `audio` hold only the keys that are given."""

    name: str
    shape: tuple[int, ...] | None = None
    image: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None


def named_tables(root: Table, key: str) -> list[Table]:
    """The tables `[key.NAME]` below a table."""
    found = []
    for name, values in (root.table(key) or {}).items():
        if isinstance(values, dict):
            found.append(Table(root.problems, root.key(key, name), values))
        else:
            said = ".".join(map(str, root.key(key, name)))
            root.problems.add(root.key(key, name), f"expected a table, as [{said}]")
    return found


def read_input(table: Table) -> DeclaredInput:
    """What is declared of one input."""
    shape = _numbers(table, "shape", "[3, 128, 128]", whole=True)
    image, audio = _sub(table, "image"), _sub(table, "audio")
    if image is not None and audio is not None:
        table.problems.add(table.key("audio"), "an input is an image or a sound, not both")
    made = DeclaredInput(
        name=str(table.path[-1]),
        shape=None if shape is None else tuple(map(int, shape)),
        image=None if image is None else _image(image),
        audio=None if audio is None else _audio(audio),
    )
    table.close()
    return made


def _image(table: Table) -> dict[str, Any]:
    size = _numbers(table, "size", "[height, width]", whole=True)
    if size is not None and (len(size) != 2 or min(size) < 1):
        table.wrong("size", "a height and a width", hint="write size = [224, 224]")
    found: dict[str, Any] = {
        "size": None if size is None else tuple(map(int, size)),
        "fill": table.integer("fill", 0, 255),
        "scale": table.number("scale"),
        "mean": _numbers(table, "mean", "[0.485, 0.456, 0.406]"),
        "std": _numbers(table, "std", "[0.229, 0.224, 0.225]"),
        "formats": _formats(table, get_args(ImageFormat)),
        "max_bytes": table.size("max_bytes", '"8 MiB"'),
        "max_pixels": table.integer("max_pixels", 1),
        "max_frames": table.integer("max_frames", 1),
    }
    found |= {key: table.one_of(key, allowed) for key, allowed in _CHOICES.items()}
    table.close()
    return {key: value for key, value in found.items() if value is not None}


def _audio(table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rate": table.integer("rate", 1) if table.require("rate", "16000") else None,
        "cut": table.flag("cut"),
        "formats": _formats(table, get_args(AudioFormat)),
        "max_bytes": table.size("max_bytes", '"8 MiB"'),
        "max_seconds": table.duration("max_seconds", '"60 s"'),
        "max_channels": table.integer("max_channels", 1),
        "min_rate": table.integer("min_rate", 1),
        "max_rate": table.integer("max_rate", 1),
    }
    table.close()
    return {key: value for key, value in found.items() if value is not None}


def read_output(table: Table) -> OutputReading:
    """What is declared of one output."""
    found: dict[str, Any] = {
        "apply": table.one_of("apply", ("softmax", "sigmoid", "l2")),
        "threshold": table.number("threshold"),
        "answered": table.flag("answered"),
    }
    table.close()
    given = {key: value for key, value in found.items() if value is not None}
    return OutputReading(name=str(table.path[-1]), **given)


def read_detections(root: Table) -> Detections | None:
    """`[detections]` below a table; None where it is not there, or not whole."""
    values = root.table("detections")
    if values is None:
        return None
    table = Table(root.problems, root.key("detections"), values)
    boxes = table.text("boxes", '"boxes"') if table.require("boxes", '"boxes"') else None
    scores = table.text("scores", '"scores"') if table.require("scores", '"scores"') else None
    found: dict[str, Any] = {
        "classes": table.text("classes", '"labels"'),
        "form": table.one_of("form", get_args(BoxForm)),
        "relative": table.flag("relative"),
        "threshold": table.share("threshold"),
        "overlap": table.share("overlap"),
        "most": table.integer("most", 1),
    }
    table.close()
    if boxes is None or scores is None:
        return None
    return Detections(boxes=boxes, scores=scores, **{key: value for key, value in found.items() if value is not None})


def _sub(table: Table, key: str) -> Table | None:
    values = table.table(key)
    return None if values is None else Table(table.problems, table.key(key), values)


def _formats(table: Table, known: tuple[str, ...]) -> tuple[str, ...] | None:
    names = table.texts("formats", f'["{known[0]}"]')
    for position, name in enumerate(names or ()):
        if name not in known:
            table.problems.unknown(table.key("formats", position), known, f'format "{name}"')
    return names


def _numbers(table: Table, key: str, example: str, *, whole: bool = False) -> tuple[float, ...] | None:
    if not table.has(key):
        return None
    values = table.values[key]
    kinds = int if whole else int | float
    if isinstance(values, list) and values and all(isinstance(one, kinds) and one is not True for one in values):
        return tuple(values)
    table.wrong(key, "a list of whole numbers" if whole else "a list of numbers", hint=f"write {key} = {example}")
    return None
