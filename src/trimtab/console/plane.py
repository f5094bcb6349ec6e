"""A chart's frame with a number along either axis."""

from __future__ import annotations

from trimtab.console.charts import Frame, padded
from trimtab.console.svg import Scale, element, text, ticks
from trimtab.console.words import MINUS


def plane(across: tuple[float, float], up: tuple[float, float], box: tuple[float, float, float, float]) -> Frame:
    """A frame for two numbers in the box left, top, right, bottom."""
    left, top, right, bottom = box
    if across[1] <= across[0]:
        across = padded(*across)
    if up[1] <= up[0]:
        up = padded(*up)
    return Frame(
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        x=Scale(low=across[0], high=across[1], start=left, end=right),
        y=Scale(low=up[0], high=up[1], start=bottom, end=top),
    )


def number_axis(frame: Frame, count: int) -> list[str]:
    """The base line with round numbers under it."""
    values, decimals = ticks(frame.x.low, frame.x.high, count)
    parts = [element("path", d=f"M{frame.left:.0f} {frame.bottom:.1f}H{frame.right:.0f}", class_="axis")]
    for value in values:
        x = frame.x(value)
        parts.append(element("path", d=f"M{x:.1f} {frame.bottom:.1f}v4", class_="axis"))
        label = f"{value:,.{decimals}f}".replace("-", MINUS)
        parts.append(text(x, frame.bottom + 16, label, "tick", "middle"))
    return parts
