"""Requirements that cannot hold together, or of which one says nothing beside the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.declaration.requirements.catalog import between_slices
from trimtab.declaration.requirements.grammar import format_condition
from trimtab.records.requirement import Requirement


def conflicts(requirements: Sequence[Requirement]) -> list[tuple[Requirement, str]]:
    """The later one of every pair on one metric that contradicts or repeats the other, with the reason in words.

    Two limits contradict when no figure meets both. Limits for all rows and for each slice do so only where the
    figure of all rows must lie between those of its slices.
    """
    found = []
    for position, later in enumerate(requirements):
        for earlier in requirements[:position]:
            reason = _conflict(earlier, later)
            if reason:
                found.append((later, reason))
    return found


def interval(requirement: Requirement) -> tuple[float, bool, float, bool]:
    """The figures that meet a requirement: (low, low included, high, high included)."""
    limit = requirement.limit
    match requirement.comparison:
        case ">=":
            return limit, True, math.inf, False
        case ">":
            return limit, False, math.inf, False
        case "<=":
            return -math.inf, False, limit, True
        case "<":
            return -math.inf, False, limit, False
        case _:
            return limit, True, limit, True


def _conflict(earlier: Requirement, later: Requirement) -> str | None:
    if earlier.metric != later.metric:
        return None
    here = f'"{format_condition(later)}"{_where(later)}'
    there = f'"{format_condition(earlier)}"{_where(earlier)}' + (f" in line {earlier.line}" if earlier.line else "")
    if _comparable(earlier, later) and _disjoint(earlier, later):
        return f"{here} contradicts {there}: no figure meets both"
    same = _figure(earlier) == _figure(later)
    if same and _direction(earlier) == _direction(later):
        return f"{here} and {there} limit the same figure; keep the stricter one"
    return None


def _figure(one: Requirement) -> tuple[object, ...]:
    """What tells one figure of a metric from another."""
    return one.by, one.columns, one.window, one.quantile, one.distance


def _comparable(one: Requirement, other: Requirement) -> bool:
    if one.columns != other.columns or (one.quantile, one.distance) != (other.quantile, other.distance):
        return False
    return one.by == other.by or between_slices(one.metric)


def _disjoint(one: Requirement, other: Requirement) -> bool:
    low_one, low_one_in, high_one, high_one_in = interval(one)
    low_other, low_other_in, high_other, high_other_in = interval(other)
    low, low_out = max((low_one, not low_one_in), (low_other, not low_other_in))
    high, high_in = min((high_one, high_one_in), (high_other, high_other_in))
    return low > high or (low == high and (low_out or not high_in))


def _direction(requirement: Requirement) -> str:
    return requirement.comparison[0]


def _where(requirement: Requirement) -> str:
    return f" by {requirement.by}" if requirement.by else ""
