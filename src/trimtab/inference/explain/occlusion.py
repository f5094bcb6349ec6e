"""What a model of any kind answers without a feature: the feature is replaced by that of a baseline row.

Contributions are differences of one feature at a time from the row as it is (Zeiler & Fergus 2014, "Visualizing and
understanding convolutional networks", for the columns of a table), so they need not add up where features work
together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.explain.kept import Link

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Scores = Callable[[Singles], NDArray[np.float32]]
_SMALLEST = float(np.finfo(np.float32).eps)


class Occlusion:
    """Explains rows by asking the model again. As safe to share as `scores` is. `base` [outputs] is the margin of the
    baseline row."""

    def __init__(self, scores: Scores, baseline: Singles, link: Link) -> None:
        self._scores = scores
        self._baseline = baseline
        self._link = link
        self.work = len(baseline) ** 2
        self.base = self._margins(baseline[None])[0]

    def contributions(self, matrix: Singles, out_of_time: Callable[[], bool]) -> Floats:
        """Differences [done, outputs, features] of the first rows of `matrix` [n, features]. `out_of_time` is asked
        between rows; at least one is done."""
        width = len(self._baseline)
        places = np.arange(width)
        found = []
        for row in matrix:
            asked = np.repeat(row[None], width + 1, axis=0)
            asked[places, places] = self._baseline
            margins = self._margins(asked)
            found.append((margins[-1] - margins[:-1]).T)
            if out_of_time():
                break
        return np.array(found)

    def _margins(self, matrix: Singles) -> Floats:
        return margins(self._scores(matrix), self._link)


def margins(scores: NDArray[np.float32], link: Link) -> Floats:
    """Scores [n] or [n, outputs] on the scale that contributions are counted on [n, outputs]: log-odds of
    probabilities, the logarithm of several (kept from 0 and 1 by a float32's epsilon), numbers as they are."""
    told = scores.astype(np.float64).reshape(len(scores), -1)
    if link == "identity":
        return told
    if link == "exponential":
        return np.log(np.maximum(told, _SMALLEST))
    sure = np.clip(told, _SMALLEST, 1 - _SMALLEST)
    found: Floats = np.log(sure) if link == "softmax" else np.log(sure) - np.log1p(-sure)
    return found
