"""Shapley values of a sum of decision trees, exact and path-dependent.

What a feature is worth to a row is defined as by Lundberg, Erion & Lee 2018, "Consistent individualized feature
attribution for tree ensembles" (TreeSHAP): a split on a feature that is left out is followed both ways, in proportion
to the training rows that went there. LightGBM's `pred_contrib` and shap's `tree_path_dependent` compute the same.

For one leaf with value v, whose way asks about features j = 1..d, let o_j be 1 where the row goes along with all that
is asked of feature j and z_j the share of training rows that did. Then

    phi_i = v (o_i - z_i) sum over S without i of |S|! (d - |S| - 1)! / d! prod_{j in S} o_j prod_{j not in S, i} z_j

and as s! (d - s - 1)! / d! is the integral of t^s (1 - t)^(d - 1 - s) over 0..1,

    phi_i = v (o_i - z_i) integral of prod_{j != i} (o_j t + z_j (1 - t)) dt.

The integrand is a polynomial of degree d - 1, for which Gauss-Legendre quadrature with d / 2 nodes is exact. All of its
terms are positive, so nothing is lost to cancellation, however deep the tree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trimtab.inference.explain.paths import Bools, Floats, PathGroup, Paths, Singles

_CELLS = 1 << 17
"""Numbers in one intermediate array: it should stay in a core's cache."""


class TreeShap:
    """Explains rows by the paths of an ensemble. Safe to call from several threads at once."""

    def __init__(self, paths: Paths, features: int) -> None:
        self.base = paths.base
        self.work = paths.work
        self._targets = paths.targets
        self._features = features
        self._groups = [_Quadrature(group, features) for group in paths.groups]
        largest = max((group.share.size * len(group.share) // 2 for group in paths.groups), default=1)
        self._rows = max(1, min(64, _CELLS // largest))

    def contributions(self, matrix: Singles, out_of_time: Callable[[], bool]) -> Floats:
        """phi [done, targets, features] of the first rows of `matrix` [n, features]. `out_of_time` is asked between
        rows; at least one is done."""
        count = len(matrix)
        found = np.zeros((count, self._targets, self._features))
        done = 0
        while done < count:
            rows = slice(done, done + self._rows)
            for group in self._groups:
                group.add(matrix[rows], found[rows])
            done = min(count, done + self._rows)
            if out_of_time():
                break
        return found[:done]


class _Quadrature:
    """One group of paths, with the nodes t_q and weights of its quadrature: u_q = t_q / (1 - t_q), and the weights
    times (1 - t_q)^(D - 1), so that each factor o t + z (1 - t) is (z + o u) but for what the weight holds."""

    def __init__(self, group: PathGroup, features: int) -> None:
        depth = len(group.share)
        nodes, weights = np.polynomial.legendre.leggauss(depth // 2)
        t = (nodes + 1) / 2
        self._group = group
        self._odds = (t / (1 - t))[:, None]
        self._weights = (weights / 2 * (1 - t) ** (depth - 1))[:, None]
        self._features = features
        self._never = bool((group.share == 0).any())
        width = group.values.shape[1]
        target = group.target if width == 1 else np.zeros_like(group.target)
        self._slots = group.feature + target * features

    def add(self, rows: Singles, found: Floats) -> None:
        """Adds the contributions of `rows` [n, features] to `found` [n, targets, features]."""
        group = self._group
        goes = self._goes(rows)
        factors = np.where(goes[:, :, None, :], self._odds, 0.0)
        factors += group.share[:, None, :]
        whole = np.multiply.reduce(factors, axis=1)
        whole *= self._weights
        if self._never:  # a split that no training row took: the factor is 0, and so is the contribution
            factors[factors == 0.0] = 1.0
        without = np.divide(whole[:, None], factors, out=factors).sum(axis=2)
        without *= goes - group.share
        slots = (self._slots + np.arange(len(rows))[:, None, None] * found[0].size).ravel()
        flat = found.reshape(-1)
        for target in range(group.values.shape[1]):
            worth = (without * group.values[:, target]).ravel()
            flat += np.bincount(slots + target * self._features, worth, minlength=flat.size)

    def _goes(self, rows: Singles) -> Bools:
        """[n, D, P]: whether a row goes along with each element."""
        group = self._group
        cells = rows[:, group.feature]
        goes = (cells <= group.high) & ~(cells <= group.low)
        if np.isnan(rows).any():
            goes |= np.isnan(cells) & group.nan
        flat = goes.reshape(len(rows), -1)
        for asked in group.memberships:
            codes = rows[:, asked.feature].astype(np.float64)
            position = np.minimum(np.searchsorted(asked.known, codes), len(asked.known) - 1)
            position[asked.known[position] != codes] = len(asked.known)
            position[np.isnan(codes)] = len(asked.known) + 1
            flat[:, asked.places] = asked.goes[:, position].T
        return goes
