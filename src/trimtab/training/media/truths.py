"""What is true of an image or a sound, read from the label column."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from trimtab.errors import PermanentError
from trimtab.inference.tensors.masks import mask_of
from trimtab.inference.tensors.refused import InputError
from trimtab.measures.metrics.answered.detection import Boxes
from trimtab.measures.metrics.answered.segmentation import IGNORED
from trimtab.records.metric import Task

_SLIP = 1e-6
_WRITTEN: dict[str, str] = {
    "detection": 'a list of {"label": CLASS, "box": [x0, y0, x1, y1]}, corners from 0 to 1 of the picture\'s sides',
    "segmentation": f"the bytes of a PNG of one channel, each pixel the number of its class, or {IGNORED} for none",
    "recognition": "the name of who it is, as a text",
    "transcription": "what was said, as a text",
}


def read_truths(labels: pl.Series, task: Task, classes: Sequence[str]) -> list[Any]:
    """The truth of each row: `Boxes` with corners from 0 to 1 of the picture's sides, a mask of class numbers [h, w],
    or a text (a name, what was said). Raises PermanentError that names the row and what is wrong with its label."""
    read = {"detection": _boxes, "segmentation": _mask}.get(task, _text)
    found = []
    for row, given in enumerate(labels.to_list()):
        try:
            found.append(read(given, classes))
        except (ValueError, InputError) as error:
            said = error.message if isinstance(error, InputError) else str(error)
            raise PermanentError(
                f"label {labels.name!r} of row {row}: {said}", hint=f"a label of {task} is {_WRITTEN[task]}"
            ) from error
    return found


def _text(given: Any, classes: Sequence[str]) -> str:  # noqa: ARG001 - as the others
    if not isinstance(given, str):
        raise ValueError(f"expected a text, found {type(given).__name__}")  # noqa: TRY004 - one kind for all of them
    return given


def _mask(given: Any, classes: Sequence[str]) -> np.ndarray[Any, Any]:
    if not isinstance(given, bytes):
        raise ValueError(f"expected the bytes of a PNG, found {type(given).__name__}")  # noqa: TRY004
    mask = mask_of(given)
    wrong = np.unique(mask[(mask >= len(classes)) & (mask != IGNORED)])
    if wrong.size:
        raise ValueError(f"a pixel is {wrong[0]}, and the classes are numbered 0 to {len(classes) - 1}")
    return mask


def _boxes(given: Any, classes: Sequence[str]) -> Boxes:
    """`[{"label": "scratch", "box": [x0, y0, x1, y1]}]`, as JSON or as it is: what the labels stage settles on."""
    listed = json.loads(given) if isinstance(given, str) else given
    if not isinstance(listed, list):
        raise ValueError(f"expected a list of boxes, found {type(listed).__name__}")  # noqa: TRY004
    corners, names = [], []
    for one in listed:
        if not isinstance(one, dict) or set(one) != {"label", "box"}:
            raise ValueError(f"expected a box with `label` and `box`, found {str(one)[:60]}")
        box, name = one["box"], one["label"]
        if name not in classes:
            raise ValueError(f"there is no class {str(name)[:60]!r}; the classes are {', '.join(classes)}")
        numbers = isinstance(box, list | tuple) and len(box) == 4 and all(isinstance(v, int | float) for v in box)
        if not numbers or not all(math.isfinite(v) for v in box):
            raise ValueError(f"expected the corners x0, y0, x1, y1, found {str(box)[:60]}")
        if min(box) < -_SLIP or max(box) > 1 + _SLIP:
            raise ValueError(f"the box {box} lies outside of its picture: corners go from 0 to 1 of its sides")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise ValueError(f"the box {box} is empty")
        corners.append(box)
        names.append(name)
    return Boxes(np.array(corners, dtype=np.float64).reshape(-1, 4), tuple(names))
