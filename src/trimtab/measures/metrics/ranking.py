"""Figures that depend on the order of the scores: area under the ROC curve and average precision.

Both are computed on one sort, with ties shared, for the rows as they are and for many weightings of them at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trimtab.measures.arrays import Floats, Ints, inner


class Order(NamedTuple):
    """Rows in ascending order of score: `order` [n], first place of each group of equal scores `starts` [g], and the
    group of each place `group` [n]."""

    order: Ints
    starts: Ints
    group: Ints

    def totals(self, sorted_weights: Floats) -> Floats:
        """Sums over each group of equal scores, along the last axis: [..., n] gives [..., g]."""
        if self.starts.size == self.order.size:
            return sorted_weights
        return np.add.reduceat(sorted_weights, self.starts, axis=-1)

    def back(self, by_place: Floats) -> Floats:
        """From places to rows: [n]."""
        rows = np.empty_like(by_place)
        rows[self.order] = by_place
        return rows


def order_of(score: Floats) -> Order:
    """Sort once; equal scores form a group."""
    order = np.argsort(score, kind="stable").astype(np.intp)
    ordered = score[order]
    first = np.empty(score.size, dtype=bool)
    first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return Order(order, np.flatnonzero(first), np.cumsum(first) - 1)


def roc_auc(positive: Floats, order: Order) -> tuple[float, Floats]:
    """Area under the ROC curve and each row's influence on it [n]; `positive` [n] is 0 or 1, both present.

    The influences are DeLong's structural components, centred and scaled, so that the sum of their squares is DeLong's
    variance (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44). Summed by block before squaring they give the
    variance for clustered data of Obuchowski 1997, Biometrics 53.
    """
    yes = positive[order.order]
    no = 1.0 - yes
    yes_tied, no_tied = order.totals(yes), order.totals(no)
    m, n = float(yes_tied.sum()), float(no_tied.sum())
    no_below = np.cumsum(no_tied) - 0.5 * no_tied
    yes_above = m - np.cumsum(yes_tied) + 0.5 * yes_tied
    area = inner(yes_tied, no_below) / (m * n)
    of_yes = (no_below / n - area) / np.sqrt(m * max(m - 1.0, 1.0))
    of_no = (yes_above / m - area) / np.sqrt(n * max(n - 1.0, 1.0))
    return area, order.back(np.where(yes > 0, of_yes[order.group], of_no[order.group]))


def roc_auc_weighted(positive: Floats, order: Order, weights: Floats) -> Floats:
    """Areas under the ROC curve for weightings of the rows: `weights` [R, n] gives [R] (NaN where a class is gone)."""
    ordered = weights[:, order.order]
    yes = positive[order.order]
    yes_tied, no_tied = order.totals(ordered * yes), order.totals(ordered * (1.0 - yes))
    no_below = np.cumsum(no_tied, axis=1) - 0.5 * no_tied
    pairs = yes_tied.sum(axis=1) * no_tied.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.einsum("rg,rg->r", yes_tied, no_below) / pairs)


def average_precision(positive: Floats, order: Order) -> tuple[float, Floats]:
    """Average precision, sum of (R_k - R_k-1) * P_k over thresholds, and each row's influence on it [n].

    The influence is the derivative of the figure by the row's weight (the infinitesimal jackknife, Efron 1982): a row
    counts as itself, and in the precision at every threshold at or below its score.
    """
    yes = positive[order.order]
    yes_tied = order.totals(yes)
    tied = np.diff(np.append(order.starts, yes.size)).astype(np.float64)
    hits = np.cumsum(yes_tied[::-1])[::-1]
    answered = np.cumsum(tied[::-1])[::-1]
    precision = hits / answered
    m = float(yes_tied.sum())
    figure = inner(yes_tied, precision) / m
    if_hit = np.cumsum(yes_tied / answered)
    if_answered = np.cumsum(yes_tied * precision / answered)
    group = order.group
    influence = (yes * (precision[group] - figure + if_hit[group]) - if_answered[group]) / m
    return figure, order.back(influence)


def average_precision_weighted(positive: Floats, order: Order, weights: Floats) -> Floats:
    """Average precisions for weightings of the rows: `weights` [R, n] gives [R] (NaN where no positive is left)."""
    ordered = weights[:, order.order]
    yes_tied = order.totals(ordered * positive[order.order])
    tied = order.totals(ordered)
    hits = np.cumsum(yes_tied[:, ::-1], axis=1)[:, ::-1]
    answered = np.cumsum(tied[:, ::-1], axis=1)[:, ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(answered > 0, hits / answered, 0.0)
        return np.asarray(np.einsum("rg,rg->r", yes_tied, precision) / yes_tied.sum(axis=1))
