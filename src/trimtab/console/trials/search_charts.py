"""The trials of a search as pictures: what was reached, by which values, and what was given up for what."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from trimtab.console.charts import padded, y_axis
from trimtab.console.plane import number_axis, plane
from trimtab.console.svg import Scale, drawing, element, path, text
from trimtab.console.words import significant
from trimtab.records.base import Record
from trimtab.training.spec import Dimension

_WIDTH, _HEIGHT = 420.0, 300.0
_SMALL = (300.0, 190.0)
_AXIS = 118.0
_TALL = 250.0
_LONGEST = 13


class Dot(Record, kw_only=True):
    """A trial on a picture. `class_` is what became of it: chosen, front, feasible, broken or given-up; `figures` are
    its objectives, in their order, `params` its hyper-parameters."""

    number: int
    class_: str
    figures: tuple[float, ...]
    params: dict[str, object]
    told: str


def front_chart(dots: Sequence[Dot], names: Sequence[str]) -> str:
    """The first objective over the second; the front is joined by a line."""
    frame = plane(
        padded(min(d.figures[1] for d in dots), max(d.figures[1] for d in dots)),
        padded(min(d.figures[0] for d in dots), max(d.figures[0] for d in dots)),
        (60.0, 12.0, _WIDTH - 12, _HEIGHT - 46),
    )
    parts = [*y_axis(frame, 5), *number_axis(frame, 4)]
    best = sorted((d for d in dots if d.class_ in ("front", "chosen")), key=lambda d: d.figures[1])
    if len(best) > 1:
        line = path([(frame.x(d.figures[1]), frame.y(d.figures[0])) for d in best])
        parts.append(element("path", d=line, class_="front-line"))
    parts += [_dot(d, frame.x(d.figures[1]), frame.y(d.figures[0])) for d in _in_order(dots)]
    parts.append(text((frame.left + frame.right) / 2, _HEIGHT - 8, names[1], "", "middle"))
    return drawing(_WIDTH, _HEIGHT, f"{names[0]} over {names[1]} of {len(dots)} trials", parts)


def progress_chart(dots: Sequence[Dot], name: str, *, higher: bool) -> str:
    """The objective trial by trial, with the best feasible one so far."""
    values = [d.figures[0] for d in dots]
    last = max(d.number for d in dots)
    frame = plane((-0.5, last + 0.5), padded(min(values), max(values)), (60.0, 12.0, _WIDTH - 12, _HEIGHT - 46))
    parts = [*y_axis(frame, 5), *number_axis(frame, 6)]
    best: float | None = None
    steps: list[tuple[float, float]] = []
    for d in sorted(dots, key=lambda d: d.number):
        if d.class_ in ("broken", "given-up"):
            continue
        figure = d.figures[0]
        if best is None or (figure > best if higher else figure < best):
            if best is not None:
                steps.append((frame.x(d.number), frame.y(best)))
            best = figure
            steps.append((frame.x(d.number), frame.y(best)))
    if best is not None:
        steps.append((frame.right, frame.y(best)))
        parts.append(element("path", d=path(steps), class_="front-line"))
    parts += [_dot(d, frame.x(d.number), frame.y(d.figures[0])) for d in _in_order(dots)]
    parts.append(text((frame.left + frame.right) / 2, _HEIGHT - 8, "trial", "", "middle"))
    return drawing(_WIDTH, _HEIGHT, f"{name} of {len(dots)} trials, one after the other", parts)


def value_chart(dots: Sequence[Dot], dimension: Dimension, name: str) -> str:
    """The first objective over the values of one hyper-parameter."""
    width, height = _SMALL
    values = [d.figures[0] for d in dots]
    frame = plane((0.0, 1.0), padded(min(values), max(values)), (52.0, 10.0, width - 14, height - 26))
    parts = [
        *y_axis(frame, 4),
        element("path", d=f"M{frame.left:.0f} {frame.bottom:.1f}H{frame.right:.0f}", class_="axis"),
    ]
    for share, label in places(dimension):
        x = frame.x(_inside(share))
        parts.append(element("path", d=f"M{x:.1f} {frame.bottom:.1f}v4", class_="axis"))
        parts.append(text(x, frame.bottom + 16, label, "tick", "middle"))
    parts += [
        _dot(d, frame.x(_inside(place(dimension, d.params))), frame.y(d.figures[0]), named=False)
        for d in _in_order(dots)
    ]
    return drawing(width, height, f"{name} by {dimension.name}", parts)


def parallel_chart(dots: Sequence[Dot], space: Sequence[Dimension], names: Sequence[str]) -> tuple[float, str]:
    """Every trial as a line through its hyper-parameters to its figures; the width of the picture, and the picture."""
    count = len(space) + len(names)
    width = 2 * 46 + _AXIS * (count - 1)
    top, bottom = 34.0, _TALL - 24
    scales = [
        Scale(low=min(d.figures[i] for d in dots), high=max(d.figures[i] for d in dots), start=bottom, end=top)
        for i in range(len(names))
    ]
    unit = Scale(low=0.0, high=1.0, start=bottom, end=top)
    parts: list[str] = []
    labels: list[str] = []
    for position, dimension in enumerate(space):
        x = 46 + _AXIS * position
        parts.append(element("path", d=f"M{x:.0f} {top:.0f}V{bottom:.0f}", class_="axis"))
        parts.append(text(x, 14, _short(dimension.name), "column-name", "middle"))
        labels += [text(x + 5, unit(share) + 4, label, "tick halo") for share, label in places(dimension)]
    for i, name in enumerate(names):
        x = 46 + _AXIS * (len(space) + i)
        parts.append(element("path", d=f"M{x:.0f} {top:.0f}V{bottom:.0f}", class_="axis"))
        parts.append(text(x, 14, _short(name.partition(".")[2] or name), "column-name", "middle"))
        labels.append(text(x + 5, bottom + 4, significant(scales[i].low), "tick halo"))
        labels.append(text(x + 5, top + 4, significant(scales[i].high), "tick halo"))
    for d in _in_order(dots):
        points = [(46 + _AXIS * i, unit(place(dimension, d.params))) for i, dimension in enumerate(space)]
        points += [(46 + _AXIS * (len(space) + i), scales[i](figure)) for i, figure in enumerate(d.figures)]
        parts.append(element("path", d=path(points), class_=f"trial-line {d.class_}", title=d.told))
    label = f"{len(dots)} trials through their hyper-parameters and figures"
    return width, drawing(width, _TALL, label, [*parts, *labels])


def place(dimension: Dimension, params: dict[str, object]) -> float:
    """Where a value lies between the ends of its dimension, 0 to 1."""
    value = params.get(dimension.name)
    if dimension.choices:
        known = list(dimension.choices)
        return known.index(value) / max(1, len(known) - 1) if value in known else 0.5
    if not isinstance(value, int | float):
        return 0.5
    low, high = dimension.low, dimension.high
    if dimension.log and value > 0 and low > 0:
        share = (log10(value) - log10(low)) / (log10(high) - log10(low)) if high > low else 0.5
    else:
        share = (value - low) / (high - low) if high > low else 0.5
    return min(1.0, max(0.0, share))


def places(dimension: Dimension) -> list[tuple[float, str]]:
    """Values worth naming on the axis of a dimension, with their places."""
    if dimension.choices:
        return [(place(dimension, {dimension.name: c}), _short(str(c), 9)) for c in dimension.choices[:8]]
    low, high = dimension.low, dimension.high
    middle = 10 ** ((log10(low) + log10(high)) / 2) if dimension.log and low > 0 else (low + high) / 2
    if dimension.integer:
        middle = floor(middle)
    values = list(dict.fromkeys((low, middle, high)))
    return [(place(dimension, {dimension.name: v}), f"{v:,.3g}" if abs(v) < 1e4 else f"{v:,.0f}") for v in values]


def _dot(dot: Dot, x: float, y: float, *, named: bool = True) -> str:
    if dot.class_ == "broken":
        return element("path", d=f"M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7", class_="trial broken", title=dot.told)
    radius = 6.0 if dot.class_ == "chosen" else 4.0
    parts = [element("circle", cx=x, cy=y, r=radius, class_=f"trial {dot.class_}", title=dot.told)]
    if dot.number == 0 and named:
        parts.append(text(x + 8, y + 4, "declared", "tick"))
    return "".join(parts)


def _in_order(dots: Sequence[Dot]) -> list[Dot]:
    """What matters is drawn last, on top."""
    order = ("given-up", "broken", "feasible", "front", "chosen")
    return sorted(dots, key=lambda d: order.index(d.class_))


def _inside(share: float) -> float:
    """A little away from the axes."""
    return 0.04 + 0.92 * share


def _short(name: str, longest: int = _LONGEST) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
