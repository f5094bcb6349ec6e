"""Masks against masks: intersection over union, Dice and pixel accuracy, from counts of each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.metrics.answered.sums import mean_of_ratios, ratio
from trimtab.measures.metrics.statistic import Statistic

IGNORED = 255
"""A pixel of the truth with this number is of no class and counts nowhere."""
_NOTHING = "no pixel is of any class"


@dataclass(frozen=True)
class Masks:
    """Pixels counted in each picture, by class [n, classes]: in truth and answer alike (`common`), in the truth, in the
    answer."""

    common: Floats
    true: Floats
    said: Floats
    classes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return len(self.true)

    def statistic(self, metric: str, kept: Any, part: str | None = None) -> Statistic:
        """The metric over the pictures that are `kept` (a mask or slice), of one class where `part` names it."""
        chosen: Any = slice(None) if part is None else [self.classes.index(part)]
        return _METRICS[metric](self.common[kept][:, chosen], self.true[kept][:, chosen], self.said[kept][:, chosen])

    def parts(self) -> tuple[str, ...]:
        """The classes, each of which may be measured alone."""
        return self.classes


def judge_masks(truths: Sequence[NDArray[np.uint8]], answers: Sequence[NDArray[Any]], classes: Sequence[str]) -> Masks:
    """Compare masks of class numbers. An answer [h, w] is stretched to its truth [H, W] by the nearest pixel.

    Raises PermanentError for an answer that is no such mask.
    """
    count = len(classes)
    counted = np.zeros((len(truths), 3, count))
    for row, (truth, answer) in enumerate(zip(truths, answers, strict=True)):
        said = np.asarray(answer)
        if said.ndim != 2 or said.dtype.kind not in "biu" or (said.size and not 0 <= said.min() <= said.max() < count):
            raise PermanentError(
                f"the mask of row {row} is {said.dtype} {list(said.shape)}; expected class numbers [height, width] "
                f"from 0 to {count - 1}",
                hint="answer `mask` as whole numbers, such as an ArgMax over the classes gives",
            )
        known = truth != IGNORED
        true, said = truth[known].astype(np.intp), stretched(said, truth.shape)[known].astype(np.intp)
        counted[row, 0] = np.bincount(true[true == said], minlength=count)
        counted[row, 1] = np.bincount(true, minlength=count)
        counted[row, 2] = np.bincount(said, minlength=count)
    return Masks(counted[:, 0], counted[:, 1], counted[:, 2], tuple(classes))


def stretched(mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The mask at another height and width, each pixel as the nearest one was."""
    rows = (2 * np.arange(shape[0]) + 1) * mask.shape[0] // (2 * shape[0])
    columns = (2 * np.arange(shape[1]) + 1) * mask.shape[1] // (2 * shape[1])
    return np.asarray(mask[rows[:, None], columns[None, :]])


def _iou(common: Floats, true: Floats, said: Floats) -> Statistic:
    """Mean over classes of what is common over what is in either, summed over pictures (Jaccard index)."""
    return mean_of_ratios(common, true + said - common, _NOTHING)


def _dice(common: Floats, true: Floats, said: Floats) -> Statistic:
    """Mean over classes of twice what is common over the sum of both (F1 of pixels)."""
    return mean_of_ratios(2 * common, true + said, _NOTHING)


def _accuracy(common: Floats, true: Floats, said: Floats) -> Statistic:  # noqa: ARG001 - as the others
    return ratio(common.sum(axis=1), true.sum(axis=1), _NOTHING, ceiling=1.0)


_METRICS: dict[str, Callable[[Floats, Floats, Floats], Statistic]] = {
    "quality.iou": _iou,
    "quality.dice": _dice,
    "quality.pixel_accuracy": _accuracy,
}
METRICS = tuple(_METRICS)
