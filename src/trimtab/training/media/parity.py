"""Whether graphs of images and sounds answer alike: a row alone as among others, as the model they were made of, and as
another graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.tensors.model import TensorModel
from trimtab.inference.tensors.rows import TensorRows
from trimtab.training.export.given import OnnxModel
from trimtab.training.export.media_graph import outputs_of
from trimtab.training.user_code import users


def alone(model: TensorModel, rows: list[TensorRows]) -> Callable[[int], float]:
    """How far a row's outputs alone lie from those it has among others of its shape."""
    among: dict[int, list[NDArray[Any]]] = {}
    groups: dict[Any, list[int]] = {}
    for place, one in enumerate(rows):
        groups.setdefault(one.shapes, []).append(place)
    for places in groups.values() if model.spec.batch else ():
        stacked = [np.concatenate(those) for those in zip(*(rows[p].arrays for p in places), strict=True)]
        for output in _run(model, stacked):
            for row, place in enumerate(places):
                among.setdefault(place, []).append(output[row])

    def gap(place: int) -> float:
        own = _run(model, rows[place].arrays)
        return max(
            (_apart(mine[0], theirs) for mine, theirs in zip(own, among.get(place, []), strict=False)), default=0.0
        )

    return gap


def beside(model: TensorModel, found: OnnxModel, rows: list[TensorRows]) -> float:
    """How far the graph lies from the model it was made of."""
    names = [one.name for one in model.spec.outputs]
    largest = 0.0
    for one in rows:
        with users("native()"):
            assert found.native is not None
            native = outputs_of(found.native, one.arrays, names)
        for name, ours in zip(names, _run(model, one.arrays), strict=True):
            if name in native:
                largest = max(largest, _apart(ours, np.asarray(native[name])))
    return largest


def between(one: TensorModel, other: TensorModel, rows: Sequence[TensorRows]) -> float:
    """How far two graphs lie apart on the same rows."""
    return max(
        (
            _apart(ours, theirs)
            for row in rows
            for ours, theirs in zip(_run(one, row.arrays), _run(other, row.arrays), strict=True)
        ),
        default=0.0,
    )


def _run(model: TensorModel, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    feed = {one.name: array for one, array in zip(model.spec.inputs, arrays, strict=True)}
    made: list[NDArray[Any]] = model.session.run([one.name for one in model.spec.outputs], feed)
    return made


def _apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The largest absolute difference, relative to the larger spread where that is above 1; infinite for other shapes,
    and for what is not a number on either side."""
    if np.shape(one) != np.shape(other):
        return float("inf")
    if np.asarray(one).dtype.kind not in "biuf":
        return 0.0 if np.array_equal(one, other) else float("inf")
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    return float(np.abs(first - second).max(initial=0.0) / max(1.0, float(second.std()) if second.size else 1.0))
