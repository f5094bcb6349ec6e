"""One requirement over time: figure, interval, limit, verdicts and releases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from trimtab.console.charts import Frame, Mark, marks, padded, shade, x_axis, y_axis
from trimtab.console.report_data import Point, RequirementLine
from trimtab.console.svg import drawing, element, path, text
from trimtab.console.words import figure, interval, limit_of, short_day

_WIDTH, _HEIGHT = 540.0, 196.0
_BOX = (58.0, 16.0, 526.0, 150.0)
_STRIP = 7.0


def requirement_chart(line: RequirementLine, found: Sequence[Mark], span: tuple[datetime, datetime]) -> str:
    """The chart of `line` over `span`. A requirement that is measured only now and then is drawn as single points."""
    label = f"{line.metric} over time, required {limit_of(line.comparison, line.limit, line.unit, line.scale)}"
    frame = Frame.over(span, _values(line), _BOX)
    if not line.points:
        middle = ((frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2)
        return drawing(_WIDTH, _HEIGHT, label, [text(*middle, "not measured yet", "", "middle"), *x_axis(frame, span)])
    sparse = line.place not in ("live", "data")
    parts = [*y_axis(frame, 4, line.unit, lambda value, decimals: f"{value:,.{decimals}f}")]
    if not sparse:
        parts += _broken_spells(frame, line, span)
    parts += marks(frame, found)
    parts.append(_limit(frame, line))
    parts += _dots(frame, line) if sparse else _curve(frame, line)
    parts += x_axis(frame, span)
    parts += _strip(frame, line, span)
    return drawing(_WIDTH, _HEIGHT, label, parts)


def _values(line: RequirementLine) -> tuple[float, float]:
    """The range shown, in the written unit: every figure, the limit, and intervals unless a few are very wide."""
    figures = [p.figure / line.scale for p in line.points if p.figure is not None]
    limit = line.limit / line.scale
    low, high = min([*figures, limit]), max([*figures, limit])
    room = 0.6 * (high - low)
    ends = [e / line.scale for p in line.points for e in (p.low, p.high) if e is not None and p.figure is not None]
    return padded(max(min([low, *ends]), low - room), min(max([high, *ends]), high + room))


def _broken_spells(frame: Frame, line: RequirementLine, span: tuple[datetime, datetime]) -> list[str]:
    parts = []
    for status, start, end, points in _runs(line.points, span[1]):
        if status == "broken":
            title = f"broken from {short_day(start)} to {short_day(end)}, {len(points)} verdicts"
            parts.append(shade(frame, start, end, "spell", title))
    return parts


def _strip(frame: Frame, line: RequirementLine, span: tuple[datetime, datetime]) -> list[str]:
    """The verdicts as a band of colour under the dates."""
    y = frame.bottom + 26
    empty = element(
        "rect", x=frame.left, y=y, width=frame.right - frame.left, height=_STRIP, rx=2, class_="strip empty"
    )
    parts = [empty]
    for status, start, end, points in _runs(line.points, span[1]):
        left, right = frame.x.at(start), frame.x.at(end)
        title = f"{status}: {len(points)} verdicts from {short_day(start)}"
        parts.append(
            element(
                "rect", x=left, y=y, width=max(right - left, 1.5), height=_STRIP, class_=f"strip {status}", title=title
            )
        )
    return parts


def _runs(points: Sequence[Point], end: datetime) -> list[tuple[str, datetime, datetime, list[Point]]]:
    """Neighbouring points of one status. A spell lasts to the next verdict, at most three usual steps."""
    gaps = sorted(b.at - a.at for a, b in pairwise(points))
    usual = gaps[len(gaps) // 2] if gaps else timedelta(days=1)
    runs = []
    grouped = [(status, list(group)) for status, group in groupby(points, key=lambda point: point.status)]
    for index, (status, group) in enumerate(grouped):
        following = grouped[index + 1][1][0].at if index + 1 < len(grouped) else end
        runs.append((status, group[0].at, min(following, group[-1].at + 3 * usual), group))
    return runs


def _curve(frame: Frame, line: RequirementLine) -> list[str]:
    bands, curves = [], []
    for measured, group in groupby(line.points, key=lambda point: point.figure is not None):
        points = list(group)
        if not measured:
            continue
        bands += _band(frame, points, line.scale)
        xy = [(frame.x.at(p.at), frame.y((p.figure or 0.0) / line.scale)) for p in points]
        if len(xy) == 1:
            curves.append(element("circle", cx=xy[0][0], cy=xy[0][1], r=1.6, class_="dot"))
        else:
            curves.append(element("path", d=path(xy), class_="line"))
    return [*bands, *curves, *_last(frame, line)]


def _band(frame: Frame, points: Sequence[Point], scale: float) -> list[str]:
    parts = []
    for known, group in groupby(points, key=lambda p: p.low is not None and p.high is not None):
        inside = list(group)
        if known and len(inside) > 1:
            upper = [(frame.x.at(p.at), frame.y((p.high or 0.0) / scale)) for p in inside]
            lower = [(frame.x.at(p.at), frame.y((p.low or 0.0) / scale)) for p in reversed(inside)]
            parts.append(element("path", d=path([*upper, *lower], closed=True), class_="band"))
    return parts


def _last(frame: Frame, line: RequirementLine) -> list[str]:
    point = next((p for p in reversed(line.points) if p.figure is not None), None)
    if point is None or point.figure is None:
        return []
    x, y = frame.x.at(point.at), frame.y(point.figure / line.scale)
    return [element("circle", cx=x, cy=y, r=3, class_=f"end {point.status}", title=_said(point, line))]


def _dots(frame: Frame, line: RequirementLine) -> list[str]:
    parts = []
    for point in line.points:
        if point.figure is None:
            continue
        x = frame.x.at(point.at)
        if point.low is not None and point.high is not None:
            low, high = frame.y(point.low / line.scale), frame.y(point.high / line.scale)
            parts.append(element("path", d=f"M{x:.1f} {low:.1f}V{high:.1f}", class_="whisker"))
        y = frame.y(point.figure / line.scale)
        parts.append(element("circle", cx=x, cy=y, r=3.5, class_=f"end {point.status}", title=_said(point, line)))
    return parts


def _said(point: Point, line: RequirementLine) -> str:
    between = interval(point.low, point.high, line.scale)
    part = f", {line.by or 'slice'} {point.part}" if point.part else ""
    said = f"{short_day(point.at)}: {figure(point.figure, line.unit, line.scale)}"
    return f"{said}{f' ({between})' if between else ''}, {point.status}, {point.rows:,} rows{part}"


def _limit(frame: Frame, line: RequirementLine) -> str:
    y = frame.y(line.limit / line.scale)
    return element(
        "g",
        element("path", d=f"M{frame.left:.0f} {y:.1f}H{frame.right:.0f}", class_="limit"),
        text(frame.right, y - 4, limit_of(line.comparison, line.limit, line.unit, line.scale), "limit-name", "end"),
    )
