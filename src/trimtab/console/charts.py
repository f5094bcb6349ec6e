"""The frame that every chart over time shares: axes with round ticks, marks of releases, shaded spells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from trimtab.console.report_data import ReleaseStory
from trimtab.console.svg import Scale, element, text, ticks, time_ticks
from trimtab.console.words import MINUS, short_day
from trimtab.records.base import Record
from trimtab.records.model import Stage

MARKED: dict[Stage, str] = {"live": "promoted", "rejected": "refused", "rolled_back": "rolled back"}

_LETTER = 6.0
"""About how wide a letter of an axis is, in picture units."""


class Mark(Record, kw_only=True):
    """Something that happened to a release, marked on every chart over time."""

    at: datetime
    stage: Stage
    label: str


class Frame(Record, kw_only=True):
    """Where a chart's plot lies (in picture units) and its two scales; `y` grows upwards."""

    left: float
    top: float
    right: float
    bottom: float
    x: Scale
    y: Scale

    @classmethod
    def over(
        cls, span: tuple[datetime, datetime], values: tuple[float, float], box: tuple[float, float, float, float]
    ) -> Frame:
        """A frame for `span` and `values` in the box left, top, right, bottom."""
        left, top, right, bottom = box
        start, end = span
        if end <= start:
            end = start + timedelta(days=1)
        return cls(
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            x=Scale(low=start.timestamp(), high=end.timestamp(), start=left, end=right),
            y=Scale(low=values[0], high=values[1], start=bottom, end=top),
        )


def marks_of(releases: Sequence[ReleaseStory]) -> list[Mark]:
    """Promotions, refusals and rollbacks, in order of time."""
    found = []
    for story in releases:
        for step in story.steps:
            word = MARKED.get(step.to)
            if word and step.source == "shadow" and step.to == "live":
                word = "live again"
            if word:
                label = f"{story.release} {word} on {short_day(step.at)}"
                found.append(Mark(at=step.at, stage=step.to, label=label))
    return sorted(found, key=lambda mark: mark.at)


def padded(low: float, high: float, room: float = 0.08) -> tuple[float, float]:
    """The values a chart shows: a little more than the data's own, and never nothing."""
    if high <= low:
        around = abs(low) * 0.1 or 1.0
        return low - around, high + around
    return low - room * (high - low), high + room * (high - low)


def y_axis(frame: Frame, count: int, unit: str = "", write: Callable[[float, int], str] | None = None) -> list[str]:
    """Faint lines across with their values at the left; the unit stands once, by the highest of them."""
    values, decimals = ticks(frame.y.low, frame.y.high, count)
    parts = []
    for position, value in enumerate(values):
        y = frame.y(value)
        parts.append(element("path", d=f"M{frame.left:.0f} {y:.1f}H{frame.right:.0f}", class_="grid"))
        label = write(value, decimals) if write else f"{value:,.{decimals}f}".replace("-", MINUS)
        if unit and position == len(values) - 1:
            label += unit if unit == "%" else f" {unit}"
        parts.append(text(frame.left - 7, y + 3.5, label, "tick", "end"))
    return parts


def x_axis(frame: Frame, span: tuple[datetime, datetime], most: int = 11) -> list[str]:
    """The base line with round moments under it."""
    y = frame.bottom
    parts = [element("path", d=f"M{frame.left:.0f} {y:.1f}H{frame.right:.0f}", class_="axis")]
    taken = float("-inf")
    for moment, name in time_ticks(*span, most):
        x, half = frame.x.at(moment), _LETTER * len(name) / 2
        parts.append(element("path", d=f"M{x:.1f} {y:.1f}v4", class_="axis"))
        if x - half > taken:
            parts.append(text(x, y + 16, name, "tick", "middle"))
            taken = x + half + _LETTER
    return parts


def marks(frame: Frame, found: Iterable[Mark]) -> list[str]:
    """A thin line for each promotion and rollback, a small cross at the top for each refusal."""
    parts = []
    for mark in found:
        x, top = frame.x.at(mark.at), frame.top
        if mark.stage == "rejected":
            cross = f"M{x - 3:.1f} {top - 8:.1f}l6 6m0 -6l-6 6"
            parts.append(element("path", d=cross, class_="mark rejected", title=mark.label))
            continue
        head = f"M{x - 4:.1f} {top - 9:.1f}h8l-4 6z" if mark.stage == "live" else f"M{x - 4:.1f} {top - 3:.1f}h8l-4 -6z"
        parts.append(element("path", d=f"M{x:.1f} {top - 3:.1f}V{frame.bottom:.1f}", class_=f"mark {mark.stage}"))
        parts.append(element("path", d=head, class_=f"head {mark.stage}", title=mark.label))
    return parts


def shade(frame: Frame, start: datetime, end: datetime, class_: str, title: str) -> str:
    """A spell of time shaded over the height of the plot."""
    left, right = frame.x.at(start), frame.x.at(end)
    return element(
        "rect",
        x=left,
        y=frame.top,
        width=max(right - left, 1.0),
        height=frame.bottom - frame.top,
        class_=class_,
        title=title,
    )
