"""One figure with its interval as a strip that stands in a table's cell, all strips of a column on one scale."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from trimtab.console.svg import Scale, drawing, element
from trimtab.console.words import plus, significant

_WIDTH, _HEIGHT = 200.0, 18.0
_EDGE = 4.0


def span_of(ends: Iterable[float | None], *marks: float | None) -> tuple[float, float]:
    """From the least to the greatest of what strips of one column show, with a little room."""
    found = [end for end in (*ends, *marks) if end is not None and isfinite(end) and abs(end) < 1e300]
    low, high = min(found, default=0.0), max(found, default=1.0)
    room = 0.04 * (high - low) or abs(low) * 0.1 or 1.0
    return low - room, high + room


def strip(
    name: str,
    figure: float,
    low: float | None,
    high: float | None,
    span: tuple[float, float],
    *,
    mark: float | None = None,
    bar: bool = False,
    class_: str = "",
    signed: bool = False,
) -> str:
    """A dot (or a `bar` from zero) at `figure` with a whisker from `low` to `high`, and a line at `mark`: what it is to
    be compared with. `class_` colours it (`better`, `worse` or nothing)."""
    scale = Scale(low=span[0], high=span[1], start=_EDGE, end=_WIDTH - _EDGE)
    middle, x = _HEIGHT / 2, scale(figure)
    write = plus if signed else significant
    told = f"{name}: {write(figure)}"
    if low is not None and high is not None:
        told += f", 95% interval {write(low)} to {write(high)}"
    parts = []
    if mark is not None:
        parts.append(element("path", d=f"M{scale(mark):.1f} 0V{_HEIGHT:.0f}", class_="reference"))
    if bar:
        start = scale(max(0.0, span[0]))
        left, width = min(start, x), abs(x - start)
        parts.append(
            element("rect", x=left, y=middle - 4, width=max(width, 1.0), height=8, class_=f"bar-of {class_}".strip())
        )
    if low is not None and high is not None:
        reach = f"M{scale(low):.1f} {middle:.0f}H{scale(high):.1f}"
        parts.append(element("path", d=reach, class_=f"reach {class_}".strip()))
    if not bar:
        parts.append(element("circle", cx=x, cy=middle, r=3.6, class_=f"spot-of {class_}".strip(), title=told))
    return drawing(_WIDTH, _HEIGHT, told, parts)
