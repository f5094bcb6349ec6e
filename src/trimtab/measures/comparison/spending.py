"""Sharing out an error over several looks and several hypotheses, so that all of them together make no more of it."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from trimtab.measures.intervals import normal_quantile


def spent(level: float, looks: int) -> tuple[float, ...]:
    """The error that each of `looks` equal looks may make: they sum up to `level`, the first ones get the least.

    Increments of Lan & DeMets' spending function of O'Brien-Fleming type (1983, Biometrika 70), 2 - 2 Phi(z / sqrt(t))
    at t = k/looks. Each look takes its own increment whatever came before (Bonferroni's inequality), so that the sum
    holds however the looks depend on each other; the boundaries that allow for their dependence are a little closer.
    """
    z = normal_quantile(1.0 - level / 2)
    used = [2.0 - 2.0 * NormalDist().cdf(z / sqrt(k / looks)) for k in range(1, looks + 1)]
    return tuple(after - before for before, after in zip([0.0, *used], used, strict=False))


def shared(level: float, hypotheses: int) -> float:
    """The error of each of several hypotheses that together make at most `level` (Bonferroni)."""
    return level / max(hypotheses, 1)
