"""Open-set figures against their definitions and against scikit-learn's ROC curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from trimtab.measures.metrics.answered.families import estimate_of_answers, statistic_of_answers
from trimtab.measures.metrics.answered.recognition import Probes, judge_probes
from trimtab.measures.metrics.resample import resampled
from trimtab.records.requirement import Value

RATES = ("quality.equal_error_rate", "quality.tar_at_far")
NAMES = [f"p{number}" for number in range(6)]


def probes(seed: int, count: int, *, apart: float = 2.0, people: int = 6) -> Probes:
    """Similarities of `count` probes, a third of them of strangers."""
    draw = np.random.default_rng(seed)
    names = [f"p{number}" for number in range(people)]
    truths = draw.choice([*names, *["somebody else"] * (people // 2)], count).tolist()
    similarity = draw.normal(0, 1, (count, people))
    for row, name in enumerate(truths):
        if name in names:
            similarity[row, names.index(name)] += apart
    return judge_probes(truths, similarity, names, 1.5)


@given(seed=st.integers(0, 2**31), count=st.integers(3, 60))
def test_rates_are_read_off_the_curve_that_scikit_learn_draws(seed: int, count: int) -> None:
    found = probes(seed, count)
    if not (found.own >= 0).any():
        return
    genuine = np.zeros(found.similarity.shape, dtype=int)
    known = np.flatnonzero(found.own >= 0)
    genuine[known, found.own[known]] = 1
    false, true, _ = roc_curve(genuine.ravel(), found.similarity.ravel(), drop_intermediate=False)
    equal = brentq(lambda x: 1.0 - x - float(np.interp(x, false, true)), 0.0, 1.0)
    assert estimate_of_answers(RATES[0], found).figure == pytest.approx(equal, abs=1e-6)
    at = estimate_of_answers(RATES[1], found).figure
    assert at is not None
    # On a vertical step of the curve interpolation may read any point of it: the highest is ours.
    below, above = (float(np.interp(0.01 + slip, false, true)) for slip in (-1e-9, 1e-9))
    assert below - 1e-6 <= at <= above + 1e-6


@given(seed=st.integers(0, 2**31), count=st.integers(3, 60))
def test_counts_are_what_their_definitions_say(seed: int, count: int) -> None:
    found = probes(seed, count)
    best, top = found.similarity.argmax(axis=1), found.similarity.max(axis=1)
    pairs = list(zip(found.own, best, top, strict=True))
    shares = {
        "quality.rank_1": [own == b for own, b, _ in pairs if own >= 0],
        "quality.true_accept": [own == b and s >= 1.5 for own, b, s in pairs if own >= 0],
        "quality.false_accept": [s >= 1.5 for own, _, s in pairs if own < 0],
        "quality.accuracy": [(own == b and s >= 1.5) if own >= 0 else s < 1.5 for own, b, s in pairs],
    }
    for metric, right in shares.items():
        figure = estimate_of_answers(metric, found).figure
        assert figure == (pytest.approx(np.mean(right)) if right else None), metric


@pytest.mark.parametrize("metric", RATES)
def test_a_resample_of_sums_is_the_figure_of_the_probes_drawn(metric: str) -> None:
    found = probes(5, 80)
    statistic = statistic_of_answers(metric, found, None)
    draw = np.random.default_rng(1)
    for _ in range(10):
        places = draw.integers(0, 80, 80)
        weights = np.bincount(places, minlength=80).astype(float)
        assert statistic.combine is not None
        assert statistic.columns is not None
        whole = statistic_of_answers(metric, Probes(found.own[places], found.similarity[places], 1.5), None)
        assert float(statistic.combine((weights @ statistic.columns)[None])[0]) == pytest.approx(whole.figure, abs=1e-9)


@pytest.mark.parametrize("metric", RATES)
def test_where_similarities_are_many_the_sums_are_coarser_and_hardly_another_figure(metric: str) -> None:
    found = probes(7, 1500, people=20)
    statistic = statistic_of_answers(metric, found, None)
    assert statistic.columns is not None
    assert statistic.combine is not None
    assert statistic.columns.shape[1] < 2100
    assert float(statistic.combine(statistic.columns.sum(axis=0)[None])[0]) == pytest.approx(statistic.figure, abs=2e-3)
    figures = resampled(statistic, None, 1500, 200, 0)
    spread = np.sqrt(np.square(statistic.influence).sum())
    assert figures.std() == pytest.approx(spread, rel=0.15)


def test_an_answer_has_a_worth() -> None:
    found = judge_probes(["p0", "p0", "p0", "x", "x"], [[2, 0], [0, 2], [1, 0], [2, 0], [0, 0]], ["p0", "p1"], 1.5)
    worth = found.worth(Value(correct=1.0, wrong=-10.0, missed=-2.0))
    assert worth.tolist() == [1.0, -10.0, -2.0, -10.0, 1.0]


def test_a_perfect_figure_is_only_as_sure_as_probes_are_many() -> None:
    found = judge_probes(["p0", "p1", "x"] * 10, [[9, 0], [0, 9], [0, 0]] * 10, ["p0", "p1"], 5)
    for metric, perfect in (("quality.rank_1", 1.0), ("quality.equal_error_rate", 0.0), ("quality.tar_at_far", 1.0)):
        for bootstrap in (0, 100):
            told = estimate_of_answers(metric, found, bootstrap=bootstrap)
            assert told.figure == perfect
            assert told.low is not None
            assert told.high is not None
            assert 0.1 < told.high - told.low < 0.25, metric


def test_what_cannot_be_told_says_why() -> None:
    nobody = judge_probes(["x", "y"], [[0.1], [0.2]], ["p0"], 0.5)
    assert estimate_of_answers("quality.rank_1", nobody).reason == "no probe is of somebody enrolled"
    alone = judge_probes(["p0"], [[0.9]], ["p0"], 0.5)
    assert estimate_of_answers(RATES[0], alone).reason == "nobody is compared with somebody else"
    assert estimate_of_answers("quality.false_accept", alone).reason == "no probe is of a stranger"
