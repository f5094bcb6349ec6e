"""What a graph's outputs mean: softmax, sigmoid, length one, thresholds and boxes, as the signature declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.tensors.datatypes import canonical
from trimtab.inference.tensors.placing import Placed
from trimtab.records.tensors import BoxForm, Detections, Recognition, TensorOutput

Array = NDArray[Any]
DETECTED = ["boxes", "scores", "labels", "count"]
"""What `detect` answers, by name."""
IDENTIFIED = ["identity", "similarity"]
"""What `identify` answers, by name."""
Floats = NDArray[np.float32]


def read_out(values: Array, spec: TensorOutput) -> Array:
    """One output [n, ...] with what its declaration applies; what is computed is FP32, what is compared is BOOL."""
    if spec.apply == "softmax":
        values = softmax(values)
    elif spec.apply == "sigmoid":
        values = sigmoid(values)
    elif spec.apply == "l2":
        values = unit(values)
    return canonical(values if spec.threshold is None else values >= spec.threshold)


def softmax(values: Array) -> Floats:
    """exp(x) / sum(exp(x)) over axis 1, shifted by the greatest so that nothing overflows."""
    x = values.astype(np.float32)
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    out: Floats = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32, copy=False)
    return out


def sigmoid(values: Array) -> Floats:
    """1 / (1 + exp(-x)), computed from the side that cannot overflow."""
    x = values.astype(np.float32)
    small = np.exp(-np.abs(x))
    out: Floats = (np.where(x >= 0, 1.0, small) / (1.0 + small)).astype(np.float32, copy=False)
    return out


def unit(values: Array) -> Floats:
    """Each row divided by its Euclidean length; a row of zeros stays one."""
    x = values.astype(np.float32)
    length = np.sqrt((x.reshape(len(x), -1) ** 2).sum(axis=1)).reshape(-1, *[1] * (x.ndim - 1))
    out: Floats = (x / np.where(length > 0, length, 1.0)).astype(np.float32, copy=False)
    return out


def detect(
    outputs: Mapping[str, Array],
    spec: Detections,
    classes: Sequence[str],
    size: tuple[int, int],
    places: Sequence[Placed | None],
) -> list[dict[str, Any]]:
    """The boxes of each row, best first: `boxes` [m, 4] (x1, y1, x2, y2) FP32, `scores` [m] FP32, `labels` (names, or
    INT64 numbers where there are no classes) and `count`.

    `size` is (height, width) of the tensor, `places` tells how each row's picture lies on it (None: it was sent as a
    tensor). Raises PermanentError where the graph's outputs do not have the shapes that `spec` says.
    """
    boxes, scores = outputs[spec.boxes].astype(np.float32), outputs[spec.scores].astype(np.float32)
    numbers = outputs[spec.classes] if spec.classes else None
    n = len(boxes)
    fits = boxes.ndim == 3 and boxes.shape[2] == 4 and scores.shape[:2] == boxes.shape[:2]
    if not fits or scores.ndim != (2 if numbers is not None else min(3, scores.ndim)):
        raise PermanentError(
            f"outputs {spec.boxes!r} {list(boxes.shape)} and {spec.scores!r} {list(scores.shape)} are no detections",
            hint="boxes are [rows, boxes, 4], scores [rows, boxes] or [rows, boxes, classes]",
        )
    if scores.ndim == 3:
        numbers, scores = scores.argmax(axis=2), scores.max(axis=2)
    if numbers is None:
        numbers = np.zeros(scores.shape, np.int64)
    found = []
    for row in range(n):
        chosen = np.flatnonzero(scores[row] >= spec.threshold)
        own = corners(boxes[row][chosen], spec.form)
        if spec.relative:
            own *= np.array([size[1], size[0]] * 2, np.float32)
        kept = keep_best(own, scores[row][chosen], numbers[row][chosen], spec.overlap, spec.most)
        own = own[kept]
        placed = places[row]
        labels = numbers[row][chosen][kept].astype(np.int64)
        found.append(
            {
                "boxes": own if placed is None else placed.back(own),
                "scores": scores[row][chosen][kept],
                "labels": [_name(classes, int(one)) for one in labels] if classes else labels,
                "count": np.int64(len(kept)),
            }
        )
    return found


def identify(outputs: Mapping[str, Array], spec: Recognition, enrolled: Sequence[str]) -> list[dict[str, Any]]:
    """Who each row shows: `identity`, the name of the most similar one of those `enrolled` or the word for strangers,
    and `similarity` to that one (FP32; -1 where nobody is enrolled).

    Raises PermanentError where there is not one similarity for each of the enrolled.
    """
    similar = outputs[spec.similarities].astype(np.float32)
    if similar.ndim != 2 or similar.shape[1] != len(enrolled):
        raise PermanentError(
            f"output {spec.similarities!r} has shape {list(similar.shape)}, and {len(enrolled)} are enrolled",
            hint="similarities are [rows, enrolled], in the order of the classes",
        )
    if not len(enrolled):
        return [{"identity": spec.stranger, "similarity": np.float32(-1.0)} for _ in range(len(similar))]
    best = similar.argmax(axis=1)
    return [
        {"identity": enrolled[place] if row[place] >= spec.threshold else spec.stranger, "similarity": row[place]}
        for row, place in zip(similar, best, strict=True)
    ]


def corners(boxes: Floats, form: BoxForm) -> Floats:
    """Boxes [n, 4] as x1, y1, x2, y2."""
    if form == "xyxy":
        return boxes.copy()
    first, sides = boxes[:, :2], boxes[:, 2:]
    if form == "cxcywh":
        first = first - sides * np.float32(0.5)
    both: Floats = np.concatenate([first, first + sides], axis=1)
    return both


def keep_best(boxes: Floats, scores: Floats, classes: Array, overlap: float, most: int) -> NDArray[np.intp]:
    """Greedy non-maximum suppression within each class: the positions kept, best first, at most `most`.

    The best box stays and those of its class whose intersection over union with it is above `overlap` go; then the
    best of what is left, and so on. Equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
    kept: list[np.intp] = []
    while len(order) and len(kept) < most:
        best, order = order[0], order[1:]
        kept.append(best)
        corner = np.maximum(boxes[best, :2], boxes[order, :2])
        sides = (np.minimum(boxes[best, 2:], boxes[order, 2:]) - corner).clip(0)
        shared = sides[:, 0] * sides[:, 1]
        union = area[best] + area[order] - shared
        order = order[(classes[order] != classes[best]) | (shared <= overlap * union)]
    return np.array(kept, np.intp)


def _name(classes: Sequence[str], number: int) -> str:
    return classes[number] if 0 <= number < len(classes) else str(number)
