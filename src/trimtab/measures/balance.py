"""How evenly rows lie over classes and slices: shares and their intervals, from counts alone."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from trimtab.measures.intervals import normal_quantile, wilson
from trimtab.records.requirement import Estimate


def rarest_share(counts: Mapping[str, int]) -> Estimate:
    """The share of the rarest class among all rows, with its 95% interval (Wilson, widened for having picked the least
    of k classes: Bonferroni). Classes that should be there count with 0 rows. Without a row there is no figure."""
    rows = sum(counts.values())
    if not rows:
        return Estimate(figure=None, reason="there is no row")
    name = min(sorted(counts), key=lambda label: counts[label])
    share = counts[name] / rows
    low, high = wilson(share, rows, normal_quantile(1 - 0.025 / len(counts)))
    reason = f"{name}: {counts[name]:,} of {rows:,} rows"
    return Estimate(figure=share, low=low, high=high, rows=rows, reason=reason)


def rarest_rows(counts: Mapping[str, int]) -> Estimate:
    """The rows of the smallest slice: coverage as a count, which is exact. Without a slice there is no figure."""
    if not counts:
        return Estimate(figure=None, reason="there is no slice")
    name = min(sorted(counts), key=lambda label: counts[label])
    reason = f"{name}: {counts[name]:,} rows, the fewest of {len(counts):,} slices"
    return Estimate(figure=float(counts[name]), rows=sum(counts.values()), reason=reason)


def covered_share(counts: Mapping[str, int], least: int) -> float:
    """The share of slices that have at least `least` rows; 1 where there is no slice."""
    return sum(count >= least for count in counts.values()) / len(counts) if counts else 1.0


def evenness(counts: Mapping[str, int]) -> float:
    """Shannon's entropy of the shares over its greatest value, 0 (one class has all) to 1 (all alike): Pielou 1966.
    1 for fewer than two classes."""
    rows = sum(counts.values())
    if rows == 0 or len(counts) < 2:
        return 1.0
    shares = [count / rows for count in counts.values() if count]
    return max(0.0, -sum(share * log(share) for share in shares)) / log(len(counts))
