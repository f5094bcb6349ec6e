"""Which of several trials nothing beats, and what one more may be expected to bring."""

from __future__ import annotations

from collections.abc import Sequence


def pareto(points: Sequence[Sequence[float]]) -> list[int]:
    """The positions of the points (greater is better in each coordinate) that no other dominates: none is at least as
    good everywhere and better somewhere. Of equal points all are kept."""

    def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    return [i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)]


def expected_gain(figures: Sequence[float]) -> float:
    """By how much one more trial is expected to raise the maximum of those so far (greater is better).

    The jackknife estimate of E[max of n] - E[max of n-1] for exchangeable trials: of the n trials left out in turn only
    the best lowers the maximum, to the second, so it is (first - second) / n. A sampler that learns does better than
    exchangeable trials at first and worse once it has converged. Infinite for fewer than two trials.
    """
    if len(figures) < 2:
        return float("inf")
    first, second = sorted(figures, reverse=True)[:2]
    return (first - second) / len(figures)
