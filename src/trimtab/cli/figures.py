"""Figures as people read them: `4.78 s` rather than `0.0797 min`, `108 USD`, `0.936 ms`, `0.72`."""

from __future__ import annotations

from math import floor, log10
from typing import get_args

from trimtab.declaration.units import format_quantity, parse_quantity, units_of
from trimtab.records.metric import UnitFamily
from trimtab.records.requirement import Verdict

_SCALED: tuple[UnitFamily, ...] = ("time", "size", "rate")
_DECIMAL_SIZES = ("KB", "MB", "GB")


def quantity(base: float | None, unit: str = "", scale: float = 1.0) -> str:
    """A base figure to three digits in the unit that suits its size, of the family that `unit` belongs to; a dash when
    there is none."""
    if base is None:
        return "-"
    unit, scale = _suiting(base, unit, scale)
    return _with_unit(number(base / scale), unit)


def limit(verdict: Verdict) -> str:
    """`>= 0.66`, `<= 15 ms`: as it was declared."""
    return f"{verdict.comparison} {format_quantity(verdict.limit, verdict.unit, verdict.scale)}"


def interval(verdict: Verdict) -> str:
    """`0.690..0.743`, in the unit of the figure and with its decimals; nothing without an interval."""
    if verdict.low is None or verdict.high is None:
        return ""
    _, scale = _suiting(verdict.figure or 0.0, verdict.unit, verdict.scale)
    if not verdict.figure:
        return "..".join(number(end / scale) for end in (verdict.low, verdict.high))
    decimals = _decimals(verdict.figure / scale)
    return "..".join(_unsigned_zero(f"{end / scale:,.{decimals}f}") for end in (verdict.low, verdict.high))


def number(value: float) -> str:
    """Three digits that matter, whole numbers from a hundred on, thousands parted by commas."""
    text = f"{value:,.{_decimals(value)}f}"
    return _unsigned_zero(text.rstrip("0").rstrip(".") if "." in text else text)


def _decimals(value: float) -> int:
    """Decimals that show three digits of a number; at most six."""
    return min(6, max(0, 2 - floor(log10(abs(value))))) if value else 0


def _suiting(base: float, unit: str, scale: float) -> tuple[str, float]:
    """The declared unit where the figure reads well in it (half to a thousand of it), else the largest of its family in
    which the figure is at least one."""
    if base == 0 or 0.5 <= abs(base) / scale < 1000:
        return unit, scale
    family = next((f for f in get_args(UnitFamily) if f in _SCALED and unit in units_of(f)), None)
    if family is None:
        return unit, scale
    decimal = unit in _DECIMAL_SIZES
    choice = [
        u for u in units_of(family) if u != "w" and (u == "B" or family != "size" or (u in _DECIMAL_SIZES) == decimal)
    ]
    scales = sorted((parse_quantity(f"1 {name}", family)[1], name) for name in choice)
    size, name = max((pair for pair in scales if abs(base) >= pair[0]), default=scales[0])
    return name, size


def _with_unit(text: str, unit: str) -> str:
    return text + (unit if unit in ("", "%") else f" {unit}")


def _unsigned_zero(text: str) -> str:
    return text.removeprefix("-") if not text.strip("-0.,") else text
