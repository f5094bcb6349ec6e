"""The decision threshold that earned the most on rows with truth, and what it is worth against another one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab.measures.arrays import Floats, block_index
from trimtab.measures.intervals import block_error, row_error, t_quantile
from trimtab.measures.metrics.worth import value_of
from trimtab.records.requirement import ThresholdChosen, Value

_FOLDS = 5
_LEAST_BLOCKS = 3


def best_threshold(y: NDArray[np.float64], score: NDArray[np.float64], value: Value, near: float) -> float:
    """The threshold whose answers are worth the most on rows with truth `y` [n] (0/1) and `score` [n], halfway between
    two scores; of equals the one next to `near`, which itself is taken where it is as good."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    yes = value_of(y, np.ones_like(score), 0.5, value, "binary_classification")
    no = value_of(y, np.zeros_like(score), 0.5, value, "binary_classification")
    worth = np.concatenate([[0.0], np.cumsum((yes - no)[order])])  # with the first k rows answered yes
    ends = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])  # equal scores have one answer
    most = worth[ends].max()
    here = float((yes - no)[score >= near].sum())
    if here >= most - 1e-9 * max(1.0, abs(float(most))):
        return near
    above = np.concatenate([[ordered[0] + 1.0], ordered])
    below = np.concatenate([ordered, [ordered[-1] - 1.0]])
    middles = (above + below)[ends & (worth >= most)] / 2
    found = float(middles[np.argmin(np.abs(middles - near))])
    return float(np.clip(found, 0.0, np.nextafter(1.0, 2.0, dtype=np.float32)))


def choose_threshold(
    y: NDArray[np.float64],
    score: NDArray[np.float64],
    value: Value,
    blocks: NDArray[np.int64],
    *,
    break_even: float,
) -> ThresholdChosen:
    """Whether another threshold than `break_even` earns more, beyond chance.

    `blocks` [n] are the rows that may move together (the day), of which fewer than three show nothing. They are dealt
    out into five parts in order of time; each part is answered by the threshold that earned the most on the others, so
    that none is judged by rows it was chosen on. The gain is the mean difference of a row from what `break_even` earns,
    times 1,000, with its 95% interval (Student's t over blocks). Only where that lies above zero the threshold that is
    the best on all rows is taken.
    """
    index, count = block_index(blocks)
    at_even = value_of(y, score, break_even, value, "binary_classification")
    nothing = ThresholdChosen(threshold=break_even, break_even=break_even, best=break_even, rows=y.size)
    if count < _LEAST_BLOCKS or not 0 < float(y.sum()) < y.size:
        return nothing
    best = best_threshold(y, score, value, break_even)
    part = index * min(_FOLDS, count) // count
    gained: Floats = np.zeros(y.size)
    for number in range(int(part.max()) + 1):
        mine = part == number
        found = best_threshold(y[~mine], score[~mine], value, break_even)
        gained[mine] = value_of(y[mine], score[mine], found, value, "binary_classification") - at_even[mine]
    gain = float(gained.mean())
    influence = (gained - gain) / y.size
    error = max(row_error(influence), block_error(influence, index, count))
    wide = t_quantile(0.975, count - 1) * error
    taken = gain - wide > 0
    return ThresholdChosen(
        threshold=best if taken else break_even,
        break_even=break_even,
        best=best,
        rows=y.size,
        gain=1000 * gain,
        low=1000 * (gain - wide),
        high=1000 * (gain + wide),
    )
