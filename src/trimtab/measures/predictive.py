"""How many of the rows to come will fail, going by those that were seen: prediction, not estimation."""

from __future__ import annotations

from math import ceil, lgamma, sqrt

import numpy as np

from trimtab.measures.intervals import normal_quantile

_COUNTED = 2_000_000


def most_failures(failures: float, seen: float, coming: int, risk: float) -> int:
    """The least count that failures among `coming` rows exceed with a chance of at most `risk`, when `failures` of
    `seen` rows failed: the predictive distribution of a binomial after Jeffreys' prior (beta-binomial with
    failures + 1/2 and passes + 1/2; Brown, Cai & DasGupta 2001, "Interval estimation for a binomial proportion")."""
    return exceeded(failures + 0.5, max(seen - failures, 0.0) + 0.5, coming, risk)


def most_outside(blocks: int, seen: int, coming: int, risk: float) -> int:
    """The least count that rows outside of the limits of a sample exceed with a chance of at most `risk`, among
    `coming`. A limit that is the least or the greatest of `seen` values cuts off one of the seen + 1 blocks into which
    they part all values, whatever their distribution; `blocks` limits leave out a share with the distribution
    Beta(blocks, seen + 1 - blocks) (Tukey 1947, "Non-parametric estimation II", Annals of Math. Statistics 18)."""
    if blocks == 0:
        return 0
    return exceeded(float(blocks), max(seen + 1.0 - blocks, 0.5), coming, risk)


def exceeded(a: float, b: float, coming: int, risk: float) -> int:
    """The 1 - risk quantile of the beta-binomial distribution of `coming` trials with a share from Beta(a, b)."""
    if coming <= 0:
        return 0
    if coming > _COUNTED:
        share = a / (a + b)
        spread = sqrt(coming * share * (1 - share) * (a + b + coming) / (a + b + 1))
        return min(coming, ceil(coming * share + normal_quantile(1 - risk) * spread))
    k = np.arange(coming, dtype=np.float64)
    steps = np.log(coming - k) - np.log(k + 1) + np.log(k + a) - np.log(coming - k - 1 + b)
    none = lgamma(coming + b) + lgamma(a + b) - lgamma(coming + a + b) - lgamma(b)
    chances = np.exp(none + np.concatenate([[0.0], np.cumsum(steps)]))
    beyond = 1.0 - np.cumsum(chances)
    enough = np.flatnonzero(beyond <= risk)
    return int(enough[0]) if enough.size else coming
