"""The pictures of a card: how answers move with a feature, and what was promised beside what came."""

from __future__ import annotations

from trimtab.console.charts import y_axis
from trimtab.console.plane import number_axis, plane
from trimtab.console.svg import drawing, element, path, text
from trimtab.console.words import interval, significant
from trimtab.loop.analysis.kept import Bin, Curve

_WIDTH, _HEIGHT = 320.0, 190.0
_SIDE = 300.0


def curve_chart(curve: Curve, values: tuple[float, float]) -> str:
    """The partial dependence on a number, on the scale of `values` that all curves share."""
    points = curve.points
    xs = [point.value for point in points]
    frame = plane((min(xs), max(xs)), values, (46.0, 10.0, _WIDTH - 8, _HEIGHT - 26))
    band = [(frame.x(p.value), frame.y(p.high)) for p in points]
    band += [(frame.x(p.value), frame.y(p.low)) for p in reversed(points)]
    parts = [*y_axis(frame, 4), *number_axis(frame, 5)]
    parts.append(element("path", d=path(band, closed=True), class_="band"))
    parts.append(element("path", d=path([(frame.x(p.value), frame.y(p.figure)) for p in points]), class_="line"))
    for p in points:
        told = f"{curve.feature} {significant(p.value)}: {significant(p.figure)} ({interval(p.low, p.high)})"
        parts.append(element("circle", cx=frame.x(p.value), cy=frame.y(p.figure), r=2.4, class_="dot", title=told))
    label = (
        f"The mean answer by {curve.feature}: from {significant(points[0].figure)} to {significant(points[-1].figure)}"
    )
    return drawing(_WIDTH, _HEIGHT, label, parts)


def reliability_chart(bins: tuple[Bin, ...]) -> str:
    """The share that was positive over the mean score, with the line of kept promises."""
    ends = [end for b in bins for end in (b.score, b.low, b.high)]
    high = min(1.0, max(ends) * 1.06)
    low = 0.0 if min(ends) < 0.3 else max(0.0, min(ends) - 0.05)
    frame = plane((low, high), (low, high), (46.0, 10.0, _SIDE - 10, _SIDE - 44))
    parts = [*y_axis(frame, 5), *number_axis(frame, 5)]
    diagonal = f"M{frame.left:.1f} {frame.bottom:.1f}L{frame.right:.1f} {frame.top:.1f}"
    parts.append(element("path", d=diagonal, class_="limit"))
    for b in bins:
        x = frame.x(b.score)
        told = (
            f"promised {significant(b.score)}, came {significant(b.share)} ({interval(b.low, b.high)}), {b.rows:,} rows"
        )
        parts.append(element("path", d=f"M{x:.1f} {frame.y(b.low):.1f}V{frame.y(b.high):.1f}", class_="whisker"))
        parts.append(element("circle", cx=x, cy=frame.y(b.share), r=3.2, class_="dot", title=told))
    parts.append(text((frame.left + frame.right) / 2, _SIDE - 8, "promised probability", "", "middle"))
    return drawing(_SIDE, _SIDE, "The share that was positive over the probability that was promised", parts)
