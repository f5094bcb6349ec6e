"""Which trials are given up before they were measured in full: on few rows, or on the first of several periods.

Own code, since all a rule may go by is what the ledger holds: the figure of each trial at each *rung*. Optuna's pruners
keep marks of their own beside them, which a search that was killed would not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

Rule = Literal["median", "halving", "hyperband", "none"]
Reached = tuple[int, Sequence[float]]
"""A trial's number, and its figures at the rungs it reached; greater is better."""

ETA = 3
"""Of those that reach a rung, one in so many goes on."""
LEAST = 10
"""Trials that a median is taken of, at least."""
_GOLDEN = 0.6180339887498949


def behind(rule: Rule, mine: Reached, others: Sequence[Reached], rungs: int) -> bool:
    """Whether a trial is given up after the newest rung it reached, of `rungs` before its end.

    Trial 0, what is declared, never is.

    - median: below the median of the others at this rung, of ten at least (Golovin et al. 2017, "Google Vizier", 3.2);
    - halving: not in the best third of all that reached this rung (the promotion rule of ASHA, decided as a trial gets
      there: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", alg. 2);
    - hyperband: halving within brackets, of which one is judged from the first rung on, the next from the second, and
      so on, so that who needs longer to show its worth has a chance (Li et al. 2018, JMLR 18).
    """
    number, figures = mine
    if number == 0 or rule == "none" or not figures:
        return False
    rung = len(figures) - 1
    there = [(n, reached[rung]) for n, reached in others if len(reached) > rung]
    if rule == "median":
        return len(there) >= LEAST and figures[rung] < median(figure for _, figure in there)
    if rule == "hyperband":
        own = bracket(number, rungs)
        if rung < own:
            return False
        there = [(n, figure) for n, figure in there if bracket(n, rungs) == own]
    better = sum(figure > figures[rung] for _, figure in there)
    return better >= max(1, (len(there) + 1) // ETA)


def bracket(number: int, rungs: int) -> int:
    """The bracket of a trial: that of number b is judged from rung b on. As in Hyperband a later one gets fewer trials,
    ETA^s / (s + 1) for the s rungs that are left to it; the numbers are spread over them evenly."""
    weights = [ETA**left / (left + 1) for left in range(rungs, 0, -1)]
    place = (number * _GOLDEN) % 1.0 * sum(weights)
    for position, weight in enumerate(weights):
        place -= weight
        if place < 0:
            return position
    return max(0, rungs - 1)
