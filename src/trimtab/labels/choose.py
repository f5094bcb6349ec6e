"""What to label next: the items that tell most for the budget.

Each signal becomes a rank between 0 and 1 (so that none outweighs another by its scale), the declared mix weighs them,
and items are taken one by one; diversity is worked out as the choice grows, so that the same thing is not bought twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.labels.port import LabelsError
from trimtab.measures.arrays import Floats

_POOL = 20
"""Candidates looked at for diversity for each one to choose: the best by the other signals, when there are more."""


@dataclass(frozen=True)
class Choice:
    """`row` of the candidates, its `score`, and what each signal gave it (ranks, 0 to 1)."""

    row: int
    score: float
    signals: Mapping[str, float]


def entropy(probabilities: Floats) -> Floats:
    """Entropy of each row of class probabilities over its greatest, 0 to 1 (Shannon 1948); [n, classes] → [n]."""
    classes = probabilities.shape[1]
    safe = np.clip(probabilities, 1e-12, 1.0)
    found = -(safe * np.log(safe)).sum(axis=1)
    return np.asarray(found / np.log(max(2, classes)), dtype=np.float64)


def margin_uncertainty(probabilities: Floats) -> Floats:
    """1 - (most probable - second most probable class) of each row (Scheffer et al. 2001); [n, classes] → [n]."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    top = np.partition(probabilities, -2, axis=1)
    return np.asarray(1.0 - (top[:, -1] - top[:, -2]), dtype=np.float64)


def distance_from(features: Floats, known: Floats, *, seed: int = 0, sample: int = 2000) -> Floats:
    """How far each row lies from what is labelled: the distance to the nearest of at most `sample` known rows, of
    standardised features; all 1 where nothing is known."""
    if not len(known):
        return np.ones(len(features))
    if len(known) > sample:
        known = known[np.random.default_rng(seed).choice(len(known), sample, replace=False)]
    nearest = np.full(len(features), np.inf)
    for start in range(0, len(known), 100):  # in parts: memory stays at rows x 100
        part = known[start : start + 100]
        squares = (features**2).sum(1)[:, None] + (part**2).sum(1)[None, :] - 2 * features @ part.T
        nearest = np.minimum(nearest, squares.min(axis=1))
    return np.asarray(np.sqrt(np.clip(nearest, 0.0, None)), dtype=np.float64)


def standardised(features: Floats, by: Floats | None = None) -> Floats:
    """Features with mean 0 and deviation 1 by the rows `by` (default: themselves); missing ones at the mean."""
    reference = features if by is None or not len(by) else by
    if not len(reference):
        return features
    told = np.where(np.isfinite(reference), reference, np.nan)
    empty = np.isnan(told).all(axis=0)
    told = np.where(empty, 0.0, told)
    middle, spread = np.nanmean(told, axis=0), np.nanstd(told, axis=0)
    scaled = (features - middle) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.clip(np.where(np.isfinite(scaled), scaled, 0.0), -10.0, 10.0), dtype=np.float64)


def choose(signals: Mapping[str, Floats], features: Floats, mix: Mapping[str, float], count: int) -> list[Choice]:
    """At most `count` candidates, the most worth labelling first.

    `signals` [n] each are ranked; a signal that says the same of every candidate says nothing. `features` [n, m]
    (standardised) are what diversity is worked out from: the greedy k-center choice (Sener & Savarese 2018) takes what
    is farthest from all that was chosen before. Raises LabelsError where the mix weighs nothing that is there.
    """
    candidates = len(features)
    weights = {name: mix.get(name, 0.0) for name in (*signals, "diversity")}
    if sum(weights.values()) <= 0:
        raise LabelsError("the mix weighs nothing that is known", hint="name one of its signals in [labels] mix")
    ranks = {name: _ranks(values) for name, values in signals.items()}
    fixed = np.sum([weights[name] * rank for name, rank in ranks.items()], axis=0) if ranks else np.zeros(candidates)
    pool = np.argsort(-fixed, kind="stable")
    if fixed.any():  # by diversity alone everything is looked at
        pool = pool[: max(count * _POOL, 200)]
    fixed, spread = fixed[pool], features[pool]
    far = np.full(len(pool), np.inf)
    free = np.ones(len(pool), dtype=bool)
    total = sum(weights.values())
    chosen: list[Choice] = []
    for _ in range(min(count, len(pool))):
        apart = _scaled(far, free) if weights["diversity"] else np.zeros(len(pool))
        score = np.where(free, fixed + weights["diversity"] * apart, -np.inf)
        best = int(score.argmax())
        found = {name: float(rank[pool[best]]) for name, rank in ranks.items()}
        if weights["diversity"]:
            found["diversity"] = float(apart[best])
        chosen.append(Choice(int(pool[best]), float(score[best] / total), found))
        free[best] = False
        far = np.minimum(far, np.sqrt(((spread - spread[best]) ** 2).sum(axis=1)))
    return chosen


def affordable(items: Sequence[int], labels_each: int, cost: float, budget: float | None) -> int:
    """How many of the items the budget pays for, each labelled by so many annotators at this cost a label."""
    if budget is None or cost <= 0:
        return len(items)
    return min(len(items), int(budget / (cost * labels_each) + 1e-9))


def _ranks(values: Floats) -> Floats:
    """The share of candidates that a value lies above, ties in the middle: 0 to 1; 0 where all are equal."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return np.zeros(len(values))
    below = np.cumsum(counts) - counts
    return np.asarray((below + (counts - 1) / 2)[index.reshape(-1)] / (len(values) - 1), dtype=np.float64)


def _scaled(far: Floats, free: np.ndarray) -> Floats:
    if not np.isfinite(far).any():
        return np.ones(len(far))
    greatest = float(far[free].max()) if free.any() else 0.0
    return far / greatest if greatest > 0 else np.zeros(len(far))
