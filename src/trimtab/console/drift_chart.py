"""Drift by column over time as a map of heat: a row for each column, darker where the distance is greater."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from trimtab.console.charts import Frame, x_axis
from trimtab.console.report_data import DriftRow, DriftTable
from trimtab.console.svg import drawing, element, text

_WIDTH = 1112.0
_ROW = 17.0
_RIGHT, _TOP = 1010.0, 18.0
MOST_ROWS = 30
_MOST_CELLS = 120
STEPS = 6
FULL = {"ks": 0.5, "tv": 0.5, "psi": 1.0}
"""The distance that is drawn darkest, by statistic."""


def drift_chart(table: DriftTable, span: tuple[datetime, datetime]) -> str:
    """The `MOST_ROWS` columns that drifted most. Where there are many moments neighbours share a cell, which shows the
    greatest of them. A dot says that the column counted as drifted."""
    shown = table.rows[:MOST_ROWS]
    if not shown or not table.moments:
        return ""
    left = min(max(7.0 * len(row.column) for row in shown) + 20, 300.0)
    bottom = _TOP + _ROW * len(shown) + 3
    frame = Frame.over(span, (0.0, 1.0), (left, _TOP, _RIGHT, bottom))
    cells = _cells(table.moments, span[1])
    parts = [text(_RIGHT + 12, _TOP - 6, "largest", "tick")]
    steps: list[list[str]] = [[] for _ in range(STEPS + 1)]
    dots: list[str] = []
    for position, row in enumerate(shown):
        y = _TOP + _ROW * position
        parts.append(text(left - 12, y + 12, row.column, "column-name", "end"))
        parts.append(text(_RIGHT + 12, y + 12, f"{row.largest:.2f} {row.statistic}", "figure"))
        for level, outline, dot in _row(frame, row, cells, y):
            steps[level].append(outline)
            dots.append(dot)
    for level, paths in enumerate(steps):
        if paths:
            parts.append(element("path", d="".join(paths), class_=f"heat h{level}"))
    if any(dots):
        parts.append(element("path", d="".join(dots), class_="drifted"))
    parts += x_axis(frame, span, 12)
    return drawing(_WIDTH, bottom + 24, "Distance of each input column from the training data over time", parts)


def _cells(moments: tuple[datetime, ...], end: datetime) -> list[tuple[range, datetime, datetime]]:
    """Which moments share a cell, and the time it covers."""
    size = -(-len(moments) // _MOST_CELLS)
    groups = [range(i, min(i + size, len(moments))) for i in range(0, len(moments), size)]
    starts = [moments[group.start] for group in groups]
    steps = sorted(b - a for a, b in pairwise(starts))
    usual = steps[len(steps) // 2] if steps else end - starts[0]
    return [
        (group, start, min(following, start + 3 * usual))
        for group, start, following in zip(groups, starts, [*starts[1:], max(end, starts[-1] + usual)], strict=True)
    ]


def _row(
    frame: Frame, row: DriftRow, cells: list[tuple[range, datetime, datetime]], y: float
) -> Iterator[tuple[int, str, str]]:
    """The cells of one row: step of colour, outline, and the dot's place (empty when it did not drift)."""
    for group, start, end in cells:
        effects = [e for i in group if (e := row.effects[i]) is not None]
        if not effects:
            continue
        left, right = frame.x.at(start), frame.x.at(end)
        outline = f"M{left:.1f} {y + 1:.0f}H{right:.1f}v{_ROW - 2:.0f}H{left:.1f}z"
        drifted = any(row.drifted[i] for i in group)
        dot = f"M{(left + right) / 2:.1f} {y + _ROW / 2:.1f}h0" if drifted else ""
        yield heat(max(effects), row.statistic), outline, dot


def heat(effect: float, statistic: str) -> int:
    """The step of colour, 0 (none) to `STEPS`: equal steps up to the distance that is drawn darkest."""
    share = max(effect, 0.0) / FULL.get(statistic, 1.0)
    return min(STEPS, int(share * STEPS + 0.5))
