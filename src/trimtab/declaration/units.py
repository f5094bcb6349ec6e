"""Quantities as people write them: `15 ms`, `600 MiB`, `500 /s`, `20 USD`, `98%`, `0.66`.

A quantity is kept in the base unit of its family (seconds, bytes, per second, the currency, a bare ratio or number)
together with the unit it was written in. The arithmetic is exact (fractions, then one rounding to a float), so that
what is written, read and written again is the same figure.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import get_args

from trimtab.declaration.problems import nearest
from trimtab.errors import DeclarationError
from trimtab.records.metric import UnitFamily

_FAMILIES: dict[UnitFamily, dict[str, Fraction]] = {
    "time": {
        "us": Fraction(1, 1_000_000),
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
        "d": Fraction(86_400),
        "w": Fraction(604_800),
    },
    "size": {
        "B": Fraction(1),
        "KB": Fraction(10**3),
        "MB": Fraction(10**6),
        "GB": Fraction(10**9),
        "KiB": Fraction(2**10),
        "MiB": Fraction(2**20),
        "GiB": Fraction(2**30),
    },
    "rate": {"/s": Fraction(1), "/min": Fraction(1, 60), "/h": Fraction(1, 3600)},
    "ratio": {"": Fraction(1), "%": Fraction(1, 100)},
    "number": {"": Fraction(1)},
    "money": {},
}
_ARTICLE: dict[UnitFamily, str] = {
    "time": "a time",
    "size": "a size",
    "rate": "a rate",
    "money": "an amount of money",
    "ratio": "a ratio",
    "number": "a bare number",
}
# What people write for a unit, where neither case nor spelling leads to the right one.
_SPELLINGS = {
    "m": "min", "mins": "min", "minute": "min", "minutes": "min", "sec": "s", "secs": "s", "second": "s",
    "seconds": "s", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "week": "w",
    "weeks": "w", "msec": "ms", "µs": "us", "μs": "us", "usec": "us", "byte": "B", "bytes": "B", "k": "KB", "m/s": "/s",
    "per second": "/s", "rps": "/s", "qps": "/s", "percent": "%", "hz": "/s",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:\d+(?:_\d+)*(?:\.\d+(?:_\d+)*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_EXACT = Context(prec=60, Emin=-100_000, Emax=100_000, rounding=ROUND_HALF_EVEN)


def units_of(family: UnitFamily, currency: str | None = None) -> tuple[str, ...]:
    """The units of a family, in order of size; `""` stands for no unit. Money has the declared currency only."""
    if family == "money":
        return (currency,) if currency else ()
    return tuple(_FAMILIES[family])


def parse_quantity(text: str, family: UnitFamily, currency: str | None = None) -> tuple[float, float, str]:
    """Read `15 ms` as (0.015, 0.001, "ms"): the value in the family's base unit, the unit's scale, and the unit.

    DeclarationError when it is no number, has no unit where one is needed, or has a unit of another family.
    """
    written = text.strip()
    match = _NUMBER.match(written)
    if match is None:
        raise DeclarationError(f'"{written}" is not {_ARTICLE[family]}', hint=_expected(family, currency))
    unit = written[match.end() :].strip()
    units = {currency or "": Fraction(1)} if family == "money" else _FAMILIES[family]
    if unit not in units or (family == "money" and not unit):
        raise _wrong_unit(written, match.group(), unit, family, currency)
    exact = Fraction(match.group().replace("_", "")) * units[unit]
    try:
        return float(exact), float(units[unit]), unit
    except OverflowError as error:
        raise DeclarationError(f'"{written}" is too large') from error


def format_quantity(base_value: float, unit: str, scale: float, digits: int | None = None) -> str:
    """Write a base value in `unit`: the shortest text that parse_quantity reads back as the same float.

    `digits` rounds to that many significant digits instead, for display.
    """
    exact = Fraction(base_value) / _exact_scale(unit, scale)
    number = _decimal(exact, digits) if digits is not None else _shortest(exact, base_value, unit, scale)
    return number + (unit if unit in ("", "%") else f" {unit}")


def parse_duration(text: str) -> float:
    """Read `3 d` as seconds. DeclarationError when it is no duration, or negative."""
    seconds = parse_quantity(text, "time")[0]
    if seconds < 0:
        raise DeclarationError(f'"{text.strip()}" is a negative time', hint='write a duration such as "3 d"')
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit (days down to microseconds) that takes a whole number; `parse_duration` reads
    back the same float."""
    exact = Fraction(seconds)
    for unit in ("d", "h", "min", "s", "ms", "us"):
        if exact and (exact / _FAMILIES["time"][unit]).denominator == 1:
            return format_quantity(seconds, unit, float(_FAMILIES["time"][unit]))
    unit = "s" if abs(seconds) >= 1 or not seconds else "ms" if abs(seconds) >= 0.001 else "us"
    return format_quantity(seconds, unit, float(_FAMILIES["time"][unit]))


def parse_size(text: str) -> int:
    """Read `4 GiB` as whole bytes. DeclarationError when it is no size, or negative."""
    size = parse_quantity(text, "size")[0]
    if size < 0:
        raise DeclarationError(f'"{text.strip()}" is a negative size', hint='write a size such as "4 GiB"')
    return int(size)


def is_currency(text: str) -> bool:
    """Whether the text has the form of an ISO 4217 code: three capital letters."""
    return _CURRENCY.fullmatch(text) is not None


def _exact_scale(unit: str, scale: float) -> Fraction:
    for family in get_args(UnitFamily):
        if unit in _FAMILIES[family]:
            return _FAMILIES[family][unit]
    return Fraction(scale)


def _decimal(exact: Fraction, digits: int) -> str:
    value = Context(prec=max(digits, 1), Emin=-100_000, Emax=100_000, rounding=ROUND_HALF_EVEN).divide(
        Decimal(exact.numerator), Decimal(exact.denominator)
    )
    value = _EXACT.normalize(value)
    return f"{value:f}" if -8 <= value.adjusted() < 16 else f"{value:e}"


def _shortest(exact: Fraction, base_value: float, unit: str, scale: float) -> str:
    # 17 digits always tell a double from its neighbours, also after exact division by the scale.
    for digits in range(1, 18):
        text = _decimal(exact, digits)
        if float(Fraction(text) * _exact_scale(unit, scale)) == base_value:
            return text
    return _decimal(exact, 25)


def _expected(family: UnitFamily, currency: str | None) -> str:
    units = units_of(family, currency)
    if family == "ratio":
        return 'write a share of one such as "0.98", or "98%"'
    if family == "number":
        return "write a number without a unit"
    if not units:
        return "declare [value] currency first"
    return f"write a number and {'one of ' if len(units) > 1 else ''}{', '.join(units)}"


def _wrong_unit(written: str, number: str, unit: str, family: UnitFamily, currency: str | None) -> DeclarationError:
    expected = _expected(family, currency)
    if not unit:
        return DeclarationError(f'"{written}" has no unit; {_ARTICLE[family]} is expected', hint=expected)
    for other in get_args(UnitFamily):
        if other != family and unit in _FAMILIES[other]:
            return DeclarationError(
                f'"{written}" is {_ARTICLE[other]}, where {_ARTICLE[family]} is expected', hint=expected
            )
    if family == "money" and is_currency(unit):
        return DeclarationError(
            f'"{written}" is in {unit}, but [value] counts in {currency or "no currency"}', hint=expected
        )
    nearest = nearest_unit(unit, family, currency)
    meant = f'; did you mean "{number} {nearest}"?' if nearest else ""
    return DeclarationError(f'"{unit}" in "{written}" is not a unit of {family}{meant}', hint=expected)


def nearest_unit(unit: str, family: UnitFamily, currency: str | None = None) -> str | None:
    """The unit of the family that was most likely meant, or None."""
    units = units_of(family, currency)
    folded = {name.lower(): name for name in reversed(units)}
    meant = _SPELLINGS.get(unit.lower())
    if meant in units:
        return meant
    if unit.lower() in folded:
        return folded[unit.lower()]
    return nearest(unit, units)
