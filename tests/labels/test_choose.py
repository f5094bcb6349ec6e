"""What to label next: signals, mix, diversity and budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.labels.choose import (
    affordable,
    choose,
    distance_from,
    entropy,
    margin_uncertainty,
    standardised,
)
from trimtab.labels.port import LabelsError


def test_uncertainty_is_greatest_where_classes_are_as_likely() -> None:
    told = np.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
    assert entropy(told) == pytest.approx([1.0, 0.469, 0.0], abs=1e-3)
    assert margin_uncertainty(told) == pytest.approx([1.0, 0.2, 0.0])


def test_what_lies_far_from_all_that_is_labelled_comes_first() -> None:
    known = np.random.default_rng(0).normal(size=(300, 3))
    rows = np.vstack([known[:20] + 0.01, [[9.0, 9.0, 9.0]]])
    far = distance_from(standardised(rows, known), standardised(known))
    assert int(far.argmax()) == 20
    assert far[:20].max() < 0.2
    assert (distance_from(rows, np.empty((0, 3))) == 1.0).all()


def test_a_mix_of_one_signal_is_that_signal() -> None:
    signals = {"uncertainty": np.array([0.1, 0.9, 0.5]), "drift": np.array([3.0, 1.0, 2.0])}
    features = np.zeros((3, 1))
    assert [c.row for c in choose(signals, features, {"uncertainty": 1.0}, 2)] == [1, 2]
    assert [c.row for c in choose(signals, features, {"drift": 1.0}, 2)] == [0, 2]
    with pytest.raises(LabelsError, match="weighs nothing"):
        choose({}, features, {"uncertainty": 1.0}, 2)


def test_diversity_covers_clusters_that_uncertainty_alone_would_buy_over_and_over() -> None:
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(8, 4)) * 10
    cluster = np.repeat(np.arange(8), 50)
    features = standardised(centres[cluster] + generator.normal(size=(400, 4)) * 0.1)
    unsure = np.where(cluster == 3, 0.9, 0.6) + generator.random(400) * 0.05
    plain = choose({"uncertainty": unsure}, features, {"uncertainty": 1.0}, 8)
    mixed = choose({"uncertainty": unsure}, features, {"diversity": 1.0}, 8)
    assert {int(cluster[c.row]) for c in plain} == {3}
    assert len({int(cluster[c.row]) for c in mixed}) == 8


@given(st.integers(1, 60), st.integers(0, 80), st.integers(0, 2**31))
def test_nothing_is_chosen_twice_and_no_more_than_asked(rows: int, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    signals = {"uncertainty": generator.random(rows), "drift": generator.integers(0, 3, rows).astype(float)}
    features = generator.normal(size=(rows, 2))
    found = choose(signals, features, {"uncertainty": 1.0, "drift": 2.0, "diversity": 1.0}, count)
    assert len(found) == min(rows, count) == len({c.row for c in found})
    assert all(0.0 <= c.score <= 1.0 + 1e-9 for c in found)
    assert all(0.0 <= v <= 1.0 for c in found for v in c.signals.values())


def test_a_budget_pays_for_whole_items() -> None:
    assert affordable(range(100), 2, 0.5, 10.0) == 10
    assert affordable(range(100), 2, 0.5, 9.99) == 9
    assert affordable(range(3), 2, 0.5, 1000.0) == 3
    assert affordable(range(3), 2, 0.0, 0.0) == 3
    assert affordable(range(3), 2, 0.5, None) == 3
    assert affordable(range(10), 1, 0.1, 0.3) == 3
