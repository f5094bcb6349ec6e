"""What the policies were worth over time: running totals, and the lead over never retraining."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from trimtab.console.charts import Frame, padded, x_axis, y_axis
from trimtab.console.report_data import PolicyLine
from trimtab.console.svg import drawing, element, path, text
from trimtab.console.words import MINUS, policy_name

_WIDTH, _HEIGHT = 540.0, 250.0
_BOX = (64.0, 14.0, 440.0, 218.0)
_CLOSEST = 14.0


def policy_class(policy: str, position: int) -> str:
    """The style of a policy's line: its own for the declared one and for never, else one of three in turn."""
    return policy if policy in ("declared", "never") else f"other{position % 3}"


def totals_chart(policies: Sequence[PolicyLine]) -> str:
    """Value added up day by day, a line for each policy."""
    series = [(p, p.days, list(accumulate(p.values))) for p in policies if p.days]
    return _chart(series, "Value added up over time, by policy")


def lead_chart(policies: Sequence[PolicyLine]) -> str:
    """The same, less the total of never retraining: what each policy gained over leaving the first model alone."""
    never = next((p for p in policies if p.policy == "never"), None)
    if never is None:
        return ""
    base = dict(zip(never.days, never.values, strict=True))
    series = []
    for policy in policies:
        days = [day for day in policy.days if day in base]
        worth = dict(zip(policy.days, policy.values, strict=True))
        series.append((policy, tuple(days), list(accumulate(worth[day] - base[day] for day in days))))
    return _chart(series, "Value ahead of never retraining, by policy")


def _chart(series: Sequence[tuple[PolicyLine, tuple[datetime, ...], list[float]]], label: str) -> str:
    drawn = [(policy, days, values) for policy, days, values in series if days]
    if not drawn:
        return ""
    span = (min(days[0] for _, days, _ in drawn), max(days[-1] for _, days, _ in drawn))
    low = min(min(values) for _, _, values in drawn)
    high = max(max(values) for _, _, values in drawn)
    frame = Frame.over(span, padded(min(low, 0.0), max(high, 0.0), 0.04), _BOX)
    parts = y_axis(frame, 5, write=_compact)
    ends = []
    for position, (policy, days, values) in reversed(list(enumerate(drawn))):
        class_ = policy_class(policy.policy, position)
        xy = [(frame.x.at(day), frame.y(value)) for day, value in zip(days, values, strict=True)]
        parts.append(element("path", d=path(xy), class_=f"policy {class_}", title=policy_name(policy.policy)))
        ends.append((xy[-1][1], policy_name(policy.policy).removeprefix("the "), class_))
    parts += x_axis(frame, span)
    parts += _names(frame, ends)
    return drawing(_WIDTH, _HEIGHT, label, parts)


def _names(frame: Frame, ends: Sequence[tuple[float, str, str]]) -> list[str]:
    """The lines' names at their right ends, moved apart where they would touch."""
    placed: list[tuple[float, str, str]] = []
    for y, name, class_ in sorted(ends):
        at = max(y, placed[-1][0] + _CLOSEST) if placed else y
        placed.append((at, name, class_))
    over = max(0.0, placed[-1][0] - frame.bottom) if placed else 0.0
    return [text(frame.right + 8, y - over + 4, name, f"name {class_}") for y, name, class_ in placed]


def _compact(value: float, decimals: int) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}".replace("-", MINUS)
    return f"{value:,.{decimals}f}".replace("-", MINUS)
