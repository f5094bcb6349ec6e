"""SVG as text: elements with escaped attributes, and scales with round ticks. Colours are left to the page's style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from math import floor, isfinite, log10

from trimtab.records.base import Record

_DAY = 86400.0
_STEPS = (3600.0, 6 * 3600.0, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)
_MONTHS = (1, 3, 6, 12, 24, 60, 120)


def element(tag: str, *children: str, title: str = "", **attributes: str | float | None) -> str:
    """One element. An underscore in an attribute's name is written as a hyphen, `class_` as class; None is left out.

    `children` are elements already; `title` is text, shown when one points at the element.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = (f"<title>{escape(title)}</title>" if title else "") + "".join(children)
    return f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>"


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> str:
    """A line of text, escaped."""
    return element("text", escape(content), x=x, y=y, class_=class_ or None, text_anchor=anchor)


def drawing(width: float, height: float, label: str, parts: Iterable[str]) -> str:
    """The whole picture: as wide as its place on the page; `label` says what it shows to those who cannot see it."""
    return element(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=label,
    )


def path(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    """The `d` of a line through `points`."""
    steps = " ".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"M{steps}{'Z' if closed else ''}"


def number(value: float) -> str:
    """A coordinate to a tenth of a unit, without idle zeros."""
    return f"{value:.1f}".removesuffix(".0") if value else "0"


def _attribute(value: str | float) -> str:
    return escape(value, quote=True) if isinstance(value, str) else number(value)


class Scale(Record, kw_only=True):
    """A straight line from data (`low`..`high`) to the picture (`start`..`end`); values outside stay at the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def at(self, moment: datetime) -> float:
        """The place of a moment on a scale of seconds since 1970."""
        return self(moment.timestamp())


def ticks(low: float, high: float, count: int) -> tuple[list[float], int]:
    """About `count` round values within low..high, and the decimals it takes to write them."""
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return ([low] if isfinite(low) else []), 2
    raw = (high - low) / max(count, 1)
    power = floor(log10(raw))
    step = next(m * 10.0**power for m in (1, 2, 2.5, 5, 10) if m * 10.0**power >= raw * (1 - 1e-9))
    decimals = max(0, -floor(log10(step) + 1e-9) + (1 if round(step / 10 ** floor(log10(step)), 6) == 2.5 else 0))
    first = -floor(-low / step * (1 - 1e-12)) if low > 0 else -floor(-low / step)
    found: list[float] = []
    index = first
    while index * step <= high * (1 + 1e-12) + 1e-12 * abs(step):
        found.append(index * step)
        index += 1
    return found, decimals


def time_ticks(start: datetime, end: datetime, most: int) -> list[tuple[datetime, str]]:
    """About `most` round moments within start..end with their names: hours, days, months or years.

    A month that began up to half a day before `start` is among them.
    """
    seconds = (end - start).total_seconds()
    for step in _STEPS:
        if seconds / step <= most:
            return _by_step(start, end, step)
    months = next((m for m in _MONTHS if seconds / (m * 30.4 * _DAY) <= most), _MONTHS[-1])
    return _by_month(start, end, months)


def _by_step(start: datetime, end: datetime, step: float) -> list[tuple[datetime, str]]:
    # The first of 1970 was a Thursday: weeks begin on Mondays, four days later.
    shift = 4 * _DAY if step >= 7 * _DAY else 0.0
    at = -floor(-(start.timestamp() - shift) / step) * step + shift
    found = []
    while at <= end.timestamp():
        moment = datetime.fromtimestamp(at, UTC)
        found.append((moment, f"{moment:%H:%M}" if step < _DAY and moment.hour else f"{moment.day} {moment:%b}"))
        at += step
    return found


def _by_month(start: datetime, end: datetime, months: int) -> list[tuple[datetime, str]]:
    index = start.year * 12 + start.month - 1
    if start > datetime(start.year, start.month, 1, tzinfo=UTC) + timedelta(hours=12):
        index += 1
    index += -index % months
    found: list[tuple[datetime, str]] = []
    while (moment := datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)) <= end:
        named = f"{moment:%b}" if months < 12 and (moment.month != 1 and found) else f"{moment:%b %Y}"
        found.append((moment, f"{moment.year}" if months >= 12 else named))
        index += months
    return found
