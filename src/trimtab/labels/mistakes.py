"""Labels that are likely wrong, by confident learning.

Northcutt, Jiang & Chuang (2021), "Confident learning: estimating uncertainty in dataset labels", Journal of Artificial
Intelligence Research 70. A row counts as truly of class j when its probability of j reaches the mean probability of j
over the rows labelled j (of several such classes, the most probable); the counts of (label, likely truth), scaled to
the rows of each label, are the confident joint. Off its diagonal lie the labels that are likely wrong; they are ranked
by how much more probable the likely truth is than the label (normalised margin).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab.measures.arrays import Floats, Ints


@dataclass(frozen=True)
class Suspects:
    """`rows` are positions of labels that are likely wrong, the likeliest first, with what they likely should be
    (`truth`, class positions) and the `margin` by which that is more probable. `joint` [classes, classes] is the
    estimated number of rows by label and truth, `checked` how many rows were looked at."""

    rows: Ints
    truth: Ints
    margin: Floats
    joint: Floats
    checked: int

    @property
    def error_rate(self) -> float:
        """The estimated share of wrong labels; NaN where nothing was looked at."""
        total = self.joint.sum()
        return float(1.0 - np.trace(self.joint) / total) if total > 0 else float("nan")


def likely_wrong(labels: Ints, probabilities: Floats) -> Suspects:
    """Find labels that are likely wrong; `labels` [n] are class positions, `probabilities` [n, classes] come from
    models that had not learned from the row they are of."""
    rows, classes = probabilities.shape
    threshold = np.full(classes, np.inf)
    for one in range(classes):
        mine = probabilities[labels == one, one]
        if len(mine):
            threshold[one] = mine.mean()
    confident = probabilities >= threshold - 1e-12
    likely = np.where(confident, probabilities, -1.0).argmax(axis=1)
    counted = confident.any(axis=1)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], likely[counted]), 1.0)
    of_label = np.bincount(labels, minlength=classes).astype(np.float64)
    counts = joint.sum(axis=1)
    scale = np.divide(of_label, counts, out=np.zeros(classes), where=counts > 0)
    calibrated = joint * scale[:, None] + np.diag(np.where(counts > 0, 0.0, of_label))
    wrong = np.flatnonzero(counted & (likely != labels))
    margin = probabilities[wrong, likely[wrong]] - probabilities[wrong, labels[wrong]]
    kept = margin > 0
    wrong, margin = wrong[kept], margin[kept]
    order = np.argsort(-margin, kind="stable")
    wrong = wrong[order]
    return Suspects(wrong, likely[wrong], margin[order], calibrated, rows)
