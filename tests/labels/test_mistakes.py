"""Likely wrong labels, on planted ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from trimtab.labels.mistakes import likely_wrong


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_errors_are_found(seed: int) -> None:
    """One label in ten turned at random: most are among the suspects, the likeliest are such; their share is told."""
    x, truth = make_classification(
        2000, 12, n_informative=8, n_classes=3, n_clusters_per_class=1, class_sep=2.5, flip_y=0.0, random_state=seed
    )
    generator = np.random.default_rng(seed)
    turned = generator.random(2000) < 0.1
    labels = np.where(turned, (truth + generator.integers(1, 3, 2000)) % 3, truth)
    probabilities = cross_val_predict(LogisticRegression(max_iter=500), x, labels, cv=5, method="predict_proba")
    found = likely_wrong(labels, probabilities)
    hits = turned[found.rows].sum()
    assert hits / turned.sum() > 0.75
    assert turned[found.rows[:100]].mean() > 0.85, "the likeliest come first"
    assert (np.diff(found.margin) <= 0).all()
    assert (found.truth != labels[found.rows]).all()
    assert (found.truth == truth[found.rows])[turned[found.rows]].mean() > 0.9
    assert found.joint.sum() == pytest.approx(2000)
    assert 0.05 < found.error_rate < 0.25


def test_right_labels_are_left_alone() -> None:
    labels = np.tile([0, 1], 200)
    sure = np.where(labels[:, None] == np.arange(2), 0.95, 0.05)
    found = likely_wrong(labels, sure)
    assert len(found.rows) == 0
    assert found.error_rate == pytest.approx(0.0)


def test_nothing_to_look_at_is_no_error() -> None:
    found = likely_wrong(np.empty(0, dtype=np.intp), np.empty((0, 2)))
    assert found.checked == 0
    assert np.isnan(found.error_rate)
