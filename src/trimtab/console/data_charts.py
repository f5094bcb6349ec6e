"""Pictures of a dataset: how its values lie, what is missing when, and what was refused for which reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from trimtab.console.charts import Frame, x_axis
from trimtab.console.svg import drawing, element, text, ticks
from trimtab.console.words import MINUS, share, significant
from trimtab.measures.arrays import Floats

if TYPE_CHECKING:
    import polars as pl

    from trimtab.data.quality.profile import ColumnProfile

_WIDTH, _HEIGHT = 256.0, 104.0
_BARS = 28
_MOST_WHOLE = 60
_MOST_TOPS = 5
_LETTERS = 16
_FULL_WIDTH = 1112.0
_ROW = 17.0
_RIGHT, _TOP = 1010.0, 18.0
_PERIODS = 60
_HEAT = 6
_NULL_FULL = 0.5
"""The share of missing cells that is drawn darkest."""
_MOST_COLUMNS = 40
_DAY = 86_400.0


def distribution(cells: pl.Series, column: ColumnProfile) -> str:
    """How the values of a column lie: bars over its range, or a bar for each of the commonest values."""
    there = cells.drop_nulls()
    label = f"Distribution of {column.name}"
    if column.kind == "number" and column.low is not None and column.distinct > 2:
        whole = there.dtype.is_integer() and column.high - column.low < _MOST_WHOLE
        return _histogram(there.cast(float).to_numpy(), label, None, whole=whole)
    if column.kind == "time":
        return _histogram(there.dt.timestamp("us").to_numpy() / 1e6, label, (column.low, column.high))
    if column.tops:
        return _tops(column, label)
    return ""


def _histogram(values: Floats, label: str, span: tuple[datetime, datetime] | None, *, whole: bool = False) -> str:
    """Bars between the ends, one for each number where they are `whole` and few; where a few values lie far out,
    between the half percentiles, and the rest is counted."""
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    low, high = float(values.min()), float(values.max())
    count_of = _BARS
    if whole:
        low, high, count_of = low - 0.5, high + 0.5, round(high - low) + 1
    elif span is None:
        inner = [float(value) for value in np.quantile(values, [0.005, 0.995])]
        if high - low > 3 * (inner[1] - inner[0]) > 0:
            low, high = inner
    if high <= low:
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(values, bins=count_of, range=(low, high))
    beyond = values.size - int(counts.sum())
    bottom, top, left, right = _HEIGHT - 20, 6.0, 2.0, _WIDTH - 2
    wide = (right - left) / count_of
    most = max(1, int(counts.max()))
    parts = [element("path", d=f"M{left:.1f} {bottom:.1f}H{right:.1f}", class_="axis")]
    bars = ""
    for index, count in enumerate(counts):
        if count:
            high_of = max(1.0, (bottom - top) * int(count) / most)
            bars += f"M{left + index * wide + 0.5:.1f} {bottom:.1f}v{-high_of:.1f}h{wide - 1:.1f}v{high_of:.1f}z"
    parts.append(element("path", d=bars, class_="bars"))
    if span is not None:
        parts += _moments(span, left, right, bottom)
    else:
        for value, anchor, x in ((low + 0.5 * whole, "start", left), (high - 0.5 * whole, "end", right)):
            parts.append(text(x, bottom + 14, f"{value:,.0f}" if whole else significant(value), "tick", anchor))
        if beyond:
            parts.append(text((left + right) / 2, bottom + 14, f"{beyond:,} beyond", "tick", "middle"))
    return drawing(_WIDTH, _HEIGHT, label, parts)


def _moments(span: tuple[datetime, datetime], left: float, right: float, bottom: float) -> list[str]:
    first, last = span
    written = "%d %b %Y" if (last - first) > timedelta(days=2) else "%d %b %H:%M"
    return [
        text(left, bottom + 14, f"{first:{written}}", "tick"),
        text(right, bottom + 14, f"{last:{written}}", "tick", "end"),
    ]


def _tops(column: ColumnProfile, label: str) -> str:
    """A bar for each of the commonest values, and one for all others."""
    forms = column.distinct > column.present / 2 and bool(column.shapes)
    shown = [(top.value, top.count) for top in (column.shapes if forms else column.tops)[:_MOST_TOPS]]
    rest = column.present - sum(count for _, count in shown)
    if rest > 0:
        shown.append(("other forms" if forms else f"{column.distinct - len(shown):,} others", rest))
    most = max(count for _, count in shown)
    start, step = 110.0, 16.0
    parts = []
    for index, (name, count) in enumerate(shown):
        y = index * step + 3
        told = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
        parts.append(text(start - 7, y + 10.5, told, "tick", "end"))
        wide = max(1.0, (_WIDTH - start - 40) * count / most)
        other = rest > 0 and index == len(shown) - 1
        parts.append(
            element("rect", x=start, y=y + 1, width=wide, height=step - 4, class_="bars other" if other else "bars")
        )
        parts.append(text(start + wide + 5, y + 10.5, share(count, column.present), "tick"))
    return drawing(_WIDTH, max(_HEIGHT, len(shown) * step + 6), label, parts)


def completeness_chart(rows: pl.DataFrame, time: str) -> str:
    """Missing cells by column over time: darker where more of them are missing. Columns without a gap are left out."""
    import polars as pl  # only a page needs it

    if time not in rows.columns or not rows.height:
        return ""
    there = rows.filter(pl.col(time).is_not_null())
    gaps = {n: int(there.get_column(n).null_count()) for n in rows.columns if not n.startswith("_") and n != time}
    names = sorted((n for n, count in gaps.items() if count), key=lambda n: -gaps[n])[:_MOST_COLUMNS]
    first, last = there.get_column(time).min(), there.get_column(time).max()
    if not names or not isinstance(first, datetime) or not isinstance(last, datetime) or first == last:
        return ""
    seconds = (last - first).total_seconds()
    step = _DAY if _DAY <= seconds <= _PERIODS * _DAY else seconds / _PERIODS
    index = ((pl.col(time) - first).dt.total_microseconds() / (step * 1e6)).floor().cast(pl.Int64)
    shares = there.group_by(index.alias("_period")).agg(pl.col(n).is_null().mean() for n in names).sort("_period")
    left = min(max(7.0 * len(name) for name in names) + 20, 300.0)
    bottom = _TOP + _ROW * len(names) + 3
    span = (first.astimezone(UTC), last.astimezone(UTC))
    frame = Frame.over(span, (0.0, 1.0), (left, _TOP, _RIGHT, bottom))
    parts = [text(_RIGHT + 12, _TOP - 6, "missing", "tick")]
    steps: list[list[str]] = [[] for _ in range(_HEAT + 1)]
    for position, name in enumerate(names):
        y = _TOP + _ROW * position
        parts.append(text(left - 12, y + 12, name, "column-name", "end"))
        parts.append(text(_RIGHT + 12, y + 12, share(gaps[name], there.height), "figure"))
        for period, missing in shares.select("_period", name).iter_rows():
            begin = span[0] + timedelta(seconds=step * period)
            start, end = frame.x.at(begin), frame.x.at(begin + timedelta(seconds=step))
            steps[_shade(missing)].append(
                f"M{start:.1f} {y + 1:.0f}H{max(end, start + 1):.1f}v{_ROW - 2:.0f}H{start:.1f}z"
            )
    for level, paths in enumerate(steps):
        if paths:
            parts.append(element("path", d="".join(paths), class_=f"heat h{level}"))
    parts += x_axis(frame, span, 12)
    return drawing(_FULL_WIDTH, bottom + 24, "Share of missing cells of each column over time", parts)


def _shade(missing: float) -> int:
    """The step of colour: none for no gap at all, the lightest for the least."""
    return 0 if missing <= 0 else max(1, min(_HEAT, int(missing / _NULL_FULL * _HEAT + 0.5)))


def reasons_chart(reasons: Sequence[tuple[str, int]]) -> str:
    """A bar for each reason for which rows were refused, the commonest first."""
    shown = list(reasons[:12])
    if not shown:
        return ""
    start, step = 430.0, 22.0
    most = max(count for _, count in shown)
    high, _ = ticks(0, most, 4)
    parts = []
    for index, (reason, count) in enumerate(shown):
        y = index * step
        told = reason if len(reason) <= 62 else f"{reason[:61]}…"
        parts.append(text(start - 10, y + 15, told, "column-name", "end"))
        wide = max(1.5, (_FULL_WIDTH - start - 90) * count / max(most, high[-1]))
        parts.append(element("rect", x=start, y=y + 4, width=wide, height=step - 8, class_="refused-bar"))
        parts.append(text(start + wide + 7, y + 15, f"{count:,}".replace("-", MINUS), "figure"))
    return drawing(_FULL_WIDTH, len(shown) * step + 4, "Refused rows by reason", parts)
