"""What a training logged, step by step: curves that go together in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.console.charts import padded, y_axis
from trimtab.console.plane import number_axis, plane
from trimtab.console.svg import drawing, element, path
from trimtab.console.words import significant
from trimtab.experiments.port import Curve

_WIDTH, _HEIGHT = 360.0, 210.0
_MOST_POINTS = 400
_PARTS = ("train", "training", "valid", "validation", "val", "test", "eval", "holdout")


def together(curves: Sequence[Curve]) -> list[tuple[str, list[tuple[str, Curve]]]]:
    """Curves that differ only in the part of the rows that they are of (`train_loss` and `valid_loss`, `loss/train`)
    under their common name, each with that part; in the order they were logged."""
    found: dict[str, list[tuple[str, Curve]]] = {}
    for curve in curves:
        name, part = _parted(curve.name)
        found.setdefault(name, []).append((part, curve))
    return list(found.items())


def curves_chart(name: str, curves: Sequence[tuple[str, Curve]]) -> str:
    """The curves of one name over the steps; a part that is longer than the picture is wide shows the least and the
    greatest value of each step of the picture. Empty where no value is finite."""
    thinned = [(shade, part, *_thinned(curve)) for shade, (part, curve) in enumerate(curves)]
    drawn = [each for each in thinned if len(each[2])]
    if not drawn:
        return ""
    steps = np.concatenate([each[2] for each in drawn])
    values = np.concatenate([each[3] for each in drawn])
    frame = plane(
        (float(steps.min()), float(steps.max())),
        padded(float(values.min()), float(values.max())),
        (54.0, 10.0, _WIDTH - 12, _HEIGHT - 28),
    )
    parts = [*y_axis(frame, 4), *number_axis(frame, 5)]
    for shade, part, at, told in drawn:
        points = [(frame.x(float(x)), frame.y(float(y))) for x, y in zip(at, told, strict=True)]
        last = f"{part or name}: {significant(float(told[-1]), 4)} at step {int(at[-1]):,}"
        if len(points) == 1:
            (x, y) = points[0]
            parts.append(element("circle", cx=x, cy=y, r=3, class_=f"series-dot s{shade % 4}", title=last))
        else:
            parts.append(element("path", d=path(points), class_=f"series s{shade % 4}", title=last))
    label = f"{name} by step: " + "; ".join(
        f"{part or name} from {significant(float(told[0]), 4)} to {significant(float(told[-1]), 4)}"
        for _, part, _, told in drawn
    )
    return drawing(_WIDTH, _HEIGHT, label, parts)


def _parted(name: str) -> tuple[str, str]:
    """A name without the part of the rows that it speaks of, and that part."""
    for sign in ("/", "_", ".", "-"):
        words = name.split(sign)
        for position in (0, len(words) - 1):
            if len(words) > 1 and words[position].lower() in _PARTS:
                rest = words[1:] if position == 0 else words[:-1]
                return sign.join(rest), words[position]
    return name, ""


def _thinned(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and finite values, at most about _MOST_POINTS: of each stretch the least and the greatest, in order."""
    finite = np.isfinite(curve.values)
    steps, values = curve.steps[finite], curve.values[finite]
    if len(steps) <= _MOST_POINTS:
        return steps, values
    chosen = [0, len(steps) - 1]
    for part in np.array_split(np.arange(len(steps)), _MOST_POINTS // 2):
        chosen += [int(part[values[part].argmin()]), int(part[values[part].argmax()])]
    kept = np.unique(chosen)
    return steps[kept], values[kept]
