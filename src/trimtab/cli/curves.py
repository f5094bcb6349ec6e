"""A metric by step, drawn in text: dots of Braille letters, each two wide and four high."""

from __future__ import annotations

import math
from collections.abc import Sequence

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK = 0x2800
_BARS = "▁▂▃▄▅▆▇█"


def plot(steps: Sequence[int], values: Sequence[float], *, columns: int, rows: int) -> list[str]:
    """`rows` lines of at most `columns` letters. The steps run from left to right over the whole width, the values over
    the whole height; what is not finite is left out, and neighbours are joined."""
    points = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
    if not points or columns < 1:
        return [""] * rows
    wide, high = 2 * columns, 4 * rows
    first, last = points[0][0], points[-1][0]
    least, greatest = min(v for _, v in points), max(v for _, v in points)
    placed = [
        (_scaled(step, first, last, wide), high - 1 - _scaled(value, least, greatest, high)) for step, value in points
    ]
    cells = [[0] * columns for _ in range(rows)]
    before = placed[0]
    for x, y in placed:
        for column, row in _joined(before, (x, y)):
            cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
        before = x, y
    return ["".join(chr(_BLANK + cell) for cell in row).rstrip(chr(_BLANK)) for row in cells]


def bars(values: Sequence[float], columns: int) -> str:
    """One line of bars from 0 to the greatest, each the mean of its share of the values."""
    finite = [value if math.isfinite(value) else 0.0 for value in values]
    count = min(columns, len(finite))
    if not count:
        return ""
    parts = [finite[i * len(finite) // count : (i + 1) * len(finite) // count] for i in range(count)]
    means = [sum(value / len(part) for value in part) for part in parts]
    top = max(means)
    return "".join(_BARS[min(7, int(8 * min(1.0, max(0.0, mean / top))))] if top > 0 else _BARS[0] for mean in means)


def _scaled(value: float, low: float, high: float, size: int) -> int:
    """The dot of a value between two others; the middle one where they are the same."""
    if high <= low:
        return size // 2
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: the whole range may be beyond what a float holds
    return min(size - 1, max(0, round(share * (size - 1))))


def _joined(one: tuple[int, int], other: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots from one to another."""
    (x0, y0), (x1, y1) = one, other
    length = max(abs(x1 - x0), abs(y1 - y0), 1)
    return [(x0 + round(i * (x1 - x0) / length), y0 + round(i * (y1 - y0) / length)) for i in range(length + 1)]
