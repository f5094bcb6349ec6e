"""What one policy was worth against another: differences of daily value with an interval over whole weeks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import sqrt

from trimtab.console.report_data import Difference, PolicyLine
from trimtab.measures.intervals import t_quantile
from trimtab.records.studies import BacktestFinished

DECLARED = "declared"
NEVER = "never"
_ORDER = {DECLARED: 0, NEVER: 1}
_FEWEST_WEEKS = 4


def policy_lines(results: Sequence[BacktestFinished]) -> tuple[PolicyLine, ...]:
    """The declared policy first, then never retraining, then the others by name."""
    ordered = sorted(results, key=lambda result: (_ORDER.get(result.policy, 2), result.policy))
    declared = next((r for r in ordered if r.policy == DECLARED), None)
    never = next((r for r in ordered if r.policy == NEVER), None)
    return tuple(
        PolicyLine(
            policy=result.policy,
            predictions=result.predictions,
            value=result.value,
            per_1000=result.per_1000,
            retrainings=result.retrainings,
            releases=result.releases,
            refused=result.refused,
            rolled_back=result.rolled_back,
            holds=result.holds,
            days=tuple(datetime.fromisoformat(day).replace(tzinfo=UTC) for day, _, _ in result.daily),
            values=tuple(value for _, _, value in result.daily),
            promotions=result.promotions,
            ahead=difference(result, never) if never is not None and result is not never else None,
            behind=difference(declared, result) if declared is not None and result is not declared else None,
        )
        for result in ordered
    )


def difference(ours: BacktestFinished, theirs: BacktestFinished) -> Difference | None:
    """`ours` less `theirs` over the days both have; None when they share no day.

    The interval is the t interval of the sum over whole weeks, in which days may move together: total plus or minus
    t(W-1) * sqrt(W) * s, with s the standard deviation of the weekly differences.
    """
    other = {day: value for day, _, value in theirs.daily}
    days = [value - other[day] for day, _, value in ours.daily if day in other]
    if not days:
        return None
    total = sum(days)
    weeks = [sum(days[i : i + 7]) for i in range(0, len(days) - len(days) % 7, 7)]
    if len(weeks) < _FEWEST_WEEKS:
        return Difference(figure=total, low=None, high=None, weeks=len(weeks))
    mean = sum(weeks) / len(weeks)
    spread = sqrt(sum((week - mean) ** 2 for week in weeks) / (len(weeks) - 1))
    half = t_quantile(0.975, len(weeks) - 1) * sqrt(len(weeks)) * spread * len(days) / (7 * len(weeks))
    return Difference(figure=total, low=total - half, high=total + half, weeks=len(weeks))
