"""Where a picture lies on the tensor it becomes, and back again: plain geometry, without a pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.records.tensors import ImageInput


class Placed(NamedTuple):
    """How a picture of `width` and `height` lies on a tensor: `column = x * across + left`, `row = y * down + top`."""

    across: float
    down: float
    left: float
    top: float
    width: int
    height: int

    def back(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [n, 4] (x1, y1, x2, y2) in pixels of the tensor as pixels of the picture, cut at its edges."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        ratio = np.array([self.across, self.down] * 2, np.float32)
        edges = np.array([self.width, self.height] * 2, np.float32)
        moved: NDArray[np.float32] = ((boxes - offset) / ratio).clip(0, edges)
        return moved


class Fit(NamedTuple):
    """What to do: scale the `box` (left, top, right, bottom) of the picture to `size` (columns, rows) and put it
    at `offset` on the tensor."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]
    offset: tuple[int, int]
    placed: Placed


def place(spec: ImageInput, width: int, height: int) -> Fit:
    """How a picture of that size is brought to the size of the tensor."""
    whole = (0.0, 0.0, float(width), float(height))
    rows, columns = spec.size or (height, width)
    across, down = columns / width, rows / height
    if spec.fit == "stretch" or spec.size is None:
        return Fit(whole, (columns, rows), (0, 0), Placed(across, down, 0.0, 0.0, width, height))
    if spec.fit == "pad":
        ratio = min(across, down)
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        left, top = (columns - size[0]) // 2, (rows - size[1]) // 2
        placed = Placed(size[0] / width, size[1] / height, left, top, width, height)
        return Fit(whole, size, (left, top), placed)
    ratio = max(across, down)
    # What stands out is never scaled: only the middle of the picture is.
    cut = max(0.0, (width - columns / ratio) / 2), max(0.0, (height - rows / ratio) / 2)
    box = (cut[0], cut[1], width - cut[0], height - cut[1])
    return Fit(box, (columns, rows), (0, 0), Placed(ratio, ratio, -cut[0] * ratio, -cut[1] * ratio, width, height))
