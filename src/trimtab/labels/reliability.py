"""How reliable each annotator is, and what is true, worked out together.

Dawid & Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied Statistics
28(1): every annotator has a matrix of P(says k | truth j); expectation gives each item's truth as probabilities,
maximisation the matrices and the shares of the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.measures.arrays import Floats, Ints

_ITERATIONS = 100
_ENOUGH = 1e-7
_TINY = 1e-12
_PRIOR = 0.01
"""Added to every count: an annotator who never confused two classes may still do so."""


@dataclass(frozen=True)
class Reliability:
    """`truth` [items, classes] are probabilities; `confusion` [annotators, classes, classes] is P(says | truth);
    `right` [annotators] is the share of answers that are expected to be right."""

    truth: Floats
    confusion: Floats
    right: Floats


def dawid_skene(items: Ints, annotators: Ints, said: Ints, shape: tuple[int, int, int]) -> Reliability:
    """Estimate from answers: item, annotator and class of each [n]; `shape` is (items, annotators, classes).

    Begins at each item's votes, which settles which class is which. Every item needs an answer at least.
    """
    count, people, classes = shape
    truth = np.zeros((count, classes))
    np.add.at(truth, (items, said), 1.0)
    truth /= truth.sum(axis=1, keepdims=True)
    confusion = np.zeros((people, classes, classes))
    for _ in range(_ITERATIONS):
        confusion = np.full((people, classes, classes), _PRIOR)
        np.add.at(confusion.transpose(0, 2, 1), (annotators, said), truth[items])
        confusion /= confusion.sum(axis=2, keepdims=True)
        share = truth.mean(axis=0) + _TINY
        log = np.tile(np.log(share / share.sum()), (count, 1))
        np.add.at(log, items, np.log(confusion[annotators, :, said]))
        after = np.exp(log - log.max(axis=1, keepdims=True))
        after /= after.sum(axis=1, keepdims=True)
        moved = float(np.abs(after - truth).max())
        truth = after
        if moved < _ENOUGH:
            break
    answers = np.bincount(annotators, minlength=people)
    right = np.bincount(annotators, weights=truth[items, said], minlength=people)
    return Reliability(truth, confusion, np.divide(right, answers, out=np.zeros(people), where=answers > 0))
