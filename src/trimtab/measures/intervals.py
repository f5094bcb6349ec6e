"""Intervals from standard errors: quantiles, Wilson's interval, and errors that allow for rows of one block moving
together."""

from __future__ import annotations

from math import cos, exp, expm1, log, pi, sin, sqrt
from statistics import NormalDist

from trimtab.measures.arrays import Floats, Ints, block_sums, inner


def normal_quantile(p: float) -> float:
    """Quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(p)


def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t with `df` >= 1 degrees of freedom, for 0 < p < 1.

    Hill (1970), "Algorithm 396: Student's t-quantiles", CACM 13(10): exact for 1 and 2, within 1e-3 above. Between 1
    and 2, where it does not hold, the logarithm is interpolated in 1/df: within 5%.
    """
    if p < 0.5:
        return -t_quantile(1.0 - p, df)
    two_sided = 2.0 * (1.0 - p)
    if df == 1:
        angle = two_sided * pi / 2
        return cos(angle) / sin(angle)
    if df == 2:
        return sqrt(2.0 / (two_sided * (2.0 - two_sided)) - 2.0)
    if df < 2:
        share = 2.0 / df - 1.0
        return exp(share * log(t_quantile(p, 1)) + (1 - share) * log(t_quantile(p, 2))) if p > 0.5 else 0.0
    a = 1.0 / (df - 0.5)
    b = 48.0 / (a * a)
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * sqrt(a * pi / 2) * df
    x = d * two_sided
    y = x ** (2.0 / df)
    if y > 0.05 + a:
        x = normal_quantile(two_sided / 2)
        y = x * x
        if df < 5:
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x
        y = a * y * y
        y = y + y * y / 2 if y <= 0.002 else expm1(y)
    else:
        y = ((1.0 / (((df + 6.0) / (df * y) - 0.089 * d - 0.822) * (df + 2.0) * 3.0) + 0.5 / (df + 4.0)) * y - 1.0) * (
            df + 1.0
        ) / (df + 2.0) + 1.0 / y
    return sqrt(df * y)


def wilson(share: float, trials: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22); `trials` may be an effective number."""
    square = quantile * quantile
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = quantile / (1 + square / trials) * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def row_error(influence: Floats) -> float:
    """Standard error of a figure whose rows are independent, from each row's influence on it [n]."""
    n = influence.size
    return sqrt(n / (n - 1) * inner(influence, influence))


def block_error(influence: Floats, index: Ints, count: int) -> float:
    """Standard error of a figure whose rows move together within a block, from each row's influence on it [n].

    sqrt(B/(B-1) * sum over blocks of (sum of influences)^2): Liang & Zeger 1986, Biometrika 73, with the small-sample
    factor usual for B clusters (CR1). Use Student's t with B - 1 degrees of freedom beside it.
    """
    sums = block_sums(influence, index, count)
    return sqrt(count / (count - 1) * inner(sums, sums))
