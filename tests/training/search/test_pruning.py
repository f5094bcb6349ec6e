"""Who is given up: by the median, by halving, by Hyperband's brackets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.training.search.pruning import ETA, Reached, behind, bracket

OTHERS: list[Reached] = [(n, [n / 100]) for n in range(1, 13)]


@pytest.mark.parametrize("rule", ["median", "halving", "hyperband"])
def test_what_is_declared_is_never_given_up_and_the_best_so_far_neither(rule) -> None:
    assert not behind(rule, (0, [-1.0]), OTHERS, 2)
    for number in range(20, 60):
        assert not behind(rule, (number, [1.0]), OTHERS, 2)
    assert not behind("none", (30, [-1.0]), OTHERS, 2)


def test_the_median_needs_ten_others() -> None:
    assert behind("median", (30, [0.01]), OTHERS, 1)
    assert not behind("median", (30, [0.1]), OTHERS, 1)
    assert not behind("median", (30, [0.01]), OTHERS[:9], 1)
    further: list[Reached] = [*OTHERS, (40, [0.0, 1.0])]
    assert not behind("median", (30, [0.01, 0.0]), further, 2), "one alone is no median at the second rung"


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60, unique=True))
def test_halving_goes_by_the_rank_among_those_that_came_as_far(figures: list[float]) -> None:
    *others, mine = figures
    rank = sum(other > mine for other in others)
    reached: list[Reached] = [(number, [figure]) for number, figure in enumerate(others, start=1)]
    assert behind("halving", (99, [mine]), reached, 1) == (rank >= max(1, len(figures) // ETA))
    assert behind("halving", (99, [mine]), [*reached, (98, [])], 1) == (rank >= max(1, len(figures) // ETA))


def test_halving_on_random_figures_keeps_a_third() -> None:
    generator = np.random.default_rng(5)
    reached: list[Reached] = []
    on = 0
    for number in range(1, 601):
        figure = float(generator.normal())
        on += not behind("halving", (number, [figure]), reached, 1)
        reached.append((number, [figure]))
    assert 170 < on < 240


def test_brackets_are_judged_at_their_own_rung_and_the_first_has_the_most_trials() -> None:
    counts = np.bincount([bracket(number, 3) for number in range(1, 601)], minlength=3)
    assert counts[0] > counts[1] > counts[2] > 0
    weights = np.array([ETA**3 / 4, ETA**2 / 3, ETA / 2])
    assert np.allclose(counts / 600, weights / weights.sum(), atol=0.03)
    late = next(number for number in range(1, 600) if bracket(number, 3) == 2)
    rivals: list[Reached] = [(n, [1.0, 1.0, 1.0]) for n in range(1, 600) if bracket(n, 3) == 2 and n != late]
    assert not behind("hyperband", (late, [0.0]), rivals, 3)
    assert not behind("hyperband", (late, [0.0, 0.0]), rivals, 3)
    assert behind("hyperband", (late, [0.0, 0.0, 0.0]), rivals, 3)
