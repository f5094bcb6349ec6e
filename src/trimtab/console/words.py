"""How figures, intervals and moments are written on the page: the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trimtab.console.report_data import Difference
from trimtab.records.requirement import Verdict

COMPARISONS = {">=": "≥", "<=": "≤", ">": ">", "<": "<", "==": "="}
MINUS = "\N{MINUS SIGN}"
NO_FIGURE = "\N{EM DASH}"


def figure(value: float | None, unit: str = "", scale: float = 1.0, digits: int = 3) -> str:
    """A base figure in its unit, to `digits` significant digits: `12.3 ms`, `0.701`, `98.4%`, `1,204 USD`."""
    if value is None:
        return NO_FIGURE
    shown = significant(value / scale, digits)
    return f"{shown}{unit}" if unit in ("", "%") else f"{shown} {unit}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, never fewer than its whole part, thousands parted by commas."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace("-", MINUS)
    if abs(rounded) < 1e-4:
        return f"{value:.{digits}g}".replace("-", MINUS)
    decimals = digits - 1 - _power(abs(rounded))
    return f"{value:.{decimals}f}".replace("-", MINUS)


def _power(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def interval(low: float | None, high: float | None, scale: float = 1.0) -> str:
    """`0.690 to 0.712`, or nothing when there is no interval."""
    if low is None or high is None:
        return ""
    return f"{figure(low, '', scale)} to {figure(high, '', scale)}"


def limit_of(comparison: str, limit: float, unit: str, scale: float) -> str:
    """`≥ 0.66`, `≤ 15 ms`."""
    value = limit / scale
    exact = f"{value:,.6g}".replace("-", MINUS)
    return f"{COMPARISONS[comparison]} {exact}{unit if unit in ('', '%') else ' ' + unit}"


def verdict_line(verdict: Verdict) -> str:
    """The evidence of one verdict in one line."""
    parts = [figure(verdict.figure, verdict.unit, verdict.scale)]
    between = interval(verdict.low, verdict.high, verdict.scale)
    if between:
        parts.append(f"({between})")
    parts.append(f"for {limit_of(verdict.comparison, verdict.limit, verdict.unit, verdict.scale)}")
    return " ".join(parts)


def money(value: float, currency: str) -> str:
    """An amount to the whole unit: `1,204 USD`."""
    return f"{value:,.0f} {currency}".replace("-", MINUS).strip()


def signed(value: float, currency: str = "") -> str:
    """An amount with its sign: `+1,204 USD`."""
    return f"{value:+,.0f} {currency}".replace("-", MINUS).strip()


def difference(item: Difference, currency: str) -> str:
    """`+1,204 USD (+900 to +1,500)`."""
    if item.low is None or item.high is None:
        return signed(item.figure, currency)
    return f"{signed(item.figure, currency)} ({signed(item.low)} to {signed(item.high)})"


def plus(value: float) -> str:
    """A difference with its sign, to three digits: `+0.0123`."""
    return significant(value) if value < 0 else f"+{significant(value)}"


def sure(item: Difference) -> str:
    """Whether a difference lies beyond its interval: `better`, `worse`, else `no_difference`."""
    if item.low is None or item.high is None:
        return "no_difference"
    return "better" if item.low > 0 else "worse" if item.high < 0 else "no_difference"


def mean_share(shares: Iterable[float]) -> str:
    """The mean of shares between 0 and 1, in percent."""
    found = list(shares)
    return f"{100 * sum(found) / len(found):.0f}%" if found else NO_FIGURE


def day(moment: datetime) -> str:
    """`7 Mar 2013`."""
    return f"{moment.day} {moment:%b %Y}"


def short_day(moment: datetime) -> str:
    """`7 Mar`."""
    return f"{moment.day} {moment:%b}"


def share(part: int, whole: int) -> str:
    """`91%`; never 100% or 0% unless it is exactly so."""
    if not whole:
        return NO_FIGURE
    percent = 100 * part / whole
    if 99.5 <= percent < 100:
        return f"{min(percent, 99.9):.1f}%"
    if 0 < percent < 0.5:
        return f"{max(percent, 0.1):.1f}%"
    return f"{percent:.0f}%"


def count(number: int, one: str, many: str = "") -> str:
    """`1 release`, `3 releases`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def measured(rows: int, place: str) -> str:
    """Where a figure was had, and from how many rows."""
    return f"{rows:,} rows, {place}" if rows else place


def policy_name(policy: str) -> str:
    """What a policy is called: `every:30d` is `every 30 days`."""
    return {"declared": "the declared policy", "never": "never retraining"}.get(policy, _schedule(policy))


def doing(policy: str) -> str:
    """What following a policy is called: `every:30d` is `retraining every 30 days`."""
    return {"declared": "the declared policy", "never": "never retraining"}.get(
        policy, f"retraining {_schedule(policy)}"
    )


def _schedule(policy: str) -> str:
    head, _, rest = policy.partition(":")
    days = rest.strip().removesuffix("d").strip()
    return f"every {days} days" if head == "every" and days.isdigit() else policy
