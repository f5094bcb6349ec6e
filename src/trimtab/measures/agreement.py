"""How far several annotators say the same of the same items, beyond what chance would give.

Ratings come as a matrix [items, annotators] of category codes or numbers, NaN where an annotator said nothing. Each
measure is prepared once and then asked with a weight for each item (how often it was drawn), so that an interval over
items costs little. A figure that is not defined is NaN: nobody rated an item twice, or all said one thing only where
that is undefined. Annotators who never differ agree perfectly: 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from trimtab.measures.arrays import Floats
from trimtab.measures.metrics.resample import draw_weights
from trimtab.records.requirement import Estimate

Level = Literal["nominal", "ordinal", "interval"]
Figure = Callable[[Floats], float]
"""A figure of items with these weights [items]; NaN where it does not exist."""

_RESAMPLES = 1000
_TINY = 1e-12


def cohen_kappa(ratings: Floats) -> Figure:
    """Cohen's kappa of two annotators [items, 2]: (po - pe) / (1 - pe), over the items that both rated.

    Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20(1).
    Raises ValueError for another number of annotators.
    """
    if ratings.ndim != 2 or ratings.shape[1] != 2:
        raise ValueError(f"Cohen's kappa compares two annotators, not {ratings.shape[-1]}")
    both = ~np.isnan(ratings).any(axis=1)
    codes, index = np.unique(ratings[both], return_inverse=True)
    pairs = index.reshape(-1, 2)
    size = len(codes)

    def figure(weights: Floats) -> float:
        joint = np.bincount(pairs[:, 0] * size + pairs[:, 1], weights=weights[both], minlength=size * size)
        total = joint.sum()
        if total <= 0:
            return float("nan")
        table = joint.reshape(size, size) / total
        return _beyond_chance(float(np.trace(table)), float(table.sum(axis=1) @ table.sum(axis=0)))

    return figure


def fleiss_kappa(ratings: Floats) -> Figure:
    """Fleiss' kappa of many annotators, who need not be the same for each item; items rated once are left out.

    Fleiss (1971), "Measuring nominal scale agreement among many raters", Psychological Bulletin 76(5). Where items have
    different numbers of ratings, each item's agreement counts the same and categories are counted over all ratings.
    """
    counts, _ = _counted(ratings)
    of_item = counts.sum(axis=1)
    pairable = of_item >= 2
    agreed = np.zeros(len(counts))
    agreed[pairable] = ((counts * (counts - 1)).sum(axis=1)[pairable]) / (of_item * (of_item - 1))[pairable]

    def figure(weights: Floats) -> float:
        kept = weights * pairable
        if kept.sum() <= 0:
            return float("nan")
        shares = kept @ counts
        shares = shares / shares.sum()
        return _beyond_chance(float(kept @ agreed / kept.sum()), float(shares @ shares))

    return figure


def krippendorff_alpha(ratings: Floats, level: Level = "nominal") -> Figure:
    """Krippendorff's alpha, 1 - Do/De, for any number of annotators and missing ratings.

    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": over pairable values, with the squared difference
    that fits the level: 0 or 1, the distance of ranks, or (a - b)^2.
    """
    if level == "interval":
        return _interval_alpha(ratings)
    counts, values = _counted(ratings)
    of_item = counts.sum(axis=1)
    pairable = (of_item >= 2).astype(np.float64)
    share = np.divide(pairable, of_item - 1, out=np.zeros_like(of_item), where=of_item >= 2)

    def figure(weights: Floats) -> float:
        once = counts * (weights * share)[:, None]
        coincidences = once.T @ counts - np.diag(once.sum(axis=0))
        totals = coincidences.sum(axis=1)
        if totals.sum() <= 0:
            return float("nan")
        difference = _ranked(totals) if level == "ordinal" else 1.0 - np.eye(len(values))
        observed = float((coincidences * difference).sum())
        expected = float(totals @ difference @ totals) / (totals.sum() - 1)
        return _one_less(observed, expected)

    return figure


def mean_of_items(agreements: Sequence[float]) -> Figure:
    """The mean agreement of items, NaN for those that were rated once: for boxes and transcripts, where two
    annotators hardly ever agree by chance."""
    found = np.asarray(agreements, dtype=np.float64)
    told = ~np.isnan(found)
    filled = np.where(told, found, 0.0)

    def figure(weights: Floats) -> float:
        kept = weights * told
        return float(kept @ filled / kept.sum()) if kept.sum() > 0 else float("nan")

    return figure


def mean_of_figures(figures: Sequence[Figure]) -> Figure:
    """The mean of several figures of the same items, those left out that do not exist."""

    def figure(weights: Floats) -> float:
        found = [value for one in figures if np.isfinite(value := one(weights))]
        return float(np.mean(found)) if found else float("nan")

    return figure


def bootstrap(figure: Figure, items: int, *, rows: int, seed: int = 0, resamples: int = _RESAMPLES) -> Estimate:
    """The figure over `items` items and its 95% percentile interval from drawing items with replacement (Efron 1979);
    `rows` is how many of them carry it. Without a figure in half of the resamples the interval is all there is: -1..1.
    """
    found = float(figure(np.ones(items))) if items else float("nan")
    if not np.isfinite(found):
        return Estimate(figure=None, rows=rows, reason="no two annotators have labelled the same item")
    generator = np.random.default_rng(seed)
    step = max(1, 2_000_000 // items)
    drawn = np.array(
        [
            figure(weights)
            for start in range(0, resamples, step)
            for weights in draw_weights(generator, min(step, resamples - start), items)
        ]
    )
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < resamples / 2:
        return Estimate(figure=found, low=-1.0, high=1.0, rows=rows)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(figure=found, low=min(float(low), found), high=max(float(high), found), rows=rows)


def _counted(ratings: Floats) -> tuple[Floats, Floats]:
    """How often each value was given to each item [items, values], and the values in ascending order."""
    values = np.unique(ratings[~np.isnan(ratings)])
    counts = np.zeros((len(ratings), len(values)))
    for column in ratings.T:
        told = np.flatnonzero(~np.isnan(column))
        counts[told, np.searchsorted(values, column[told])] += 1  # one annotator says one thing of an item
    return counts, values


def _interval_alpha(ratings: Floats) -> Figure:
    """Alpha for numbers in time linear in the items: sums of squares in place of a matrix of coincidences."""
    told = ~np.isnan(ratings)
    of_item = told.sum(axis=1).astype(np.float64)
    pairable = of_item >= 2
    middle = float(np.mean(ratings[told])) if told.any() else 0.0  # alpha is the same, and the sums keep their digits
    filled = np.where(told, ratings - middle, 0.0)
    sums, squares = filled.sum(axis=1), (filled**2).sum(axis=1)
    within = np.zeros(len(ratings))
    within[pairable] = 2 * (of_item * squares - sums**2)[pairable] / (of_item - 1)[pairable]

    def figure(weights: Floats) -> float:
        kept = weights * pairable
        n = float(kept @ of_item)
        if n <= 0:
            return float("nan")
        expected = 2 * (n * float(kept @ squares) - float(kept @ sums) ** 2) / (n - 1)
        return _one_less(float(kept @ within), expected)

    return figure


def _ranked(totals: Floats) -> Floats:
    middle = np.cumsum(totals) - totals / 2.0  # between two ranks: the values between, and half of each of the two
    return np.asarray((middle[:, None] - middle[None, :]) ** 2, dtype=np.float64)


def _one_less(observed: float, expected: float) -> float:
    if observed <= _TINY * max(1.0, expected):
        return 1.0
    return 1.0 - observed / expected if expected > 0 else float("nan")


def _beyond_chance(observed: float, chance: float) -> float:
    if observed >= 1.0 - _TINY:
        return 1.0
    return (observed - chance) / (1.0 - chance) if chance < 1.0 - _TINY else float("nan")
