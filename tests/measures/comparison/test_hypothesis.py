"""Effects of two ways of training, what a look may conclude from them, and how often it is wrong."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.measures.comparison.hypothesis import Effect, Fold, effect_of, look
from trimtab.measures.comparison.spending import shared, spent

DAYS, A_DAY = 16, 20


def simulated(generator: np.random.Generator, *, seeds: int, lift: float = 0.0, spread: float = 0.3) -> Fold:
    """Rows whose days move together, and for each seed two models that see the truth through noise of their own; the
    changed one sees it `lift` clearer."""
    day = np.repeat(np.arange(DAYS), A_DAY)
    truth = generator.normal(size=day.size) + generator.normal(size=DAYS)[day]
    y = (generator.random(day.size) < 1 / (1 + np.exp(-truth))).astype(float)

    def scores(strength: float) -> np.ndarray:
        luck = generator.normal(scale=0.05)
        noise = generator.normal(scale=spread, size=day.size) + generator.normal(scale=spread, size=DAYS)[day]
        return np.asarray(1 / (1 + np.exp(-(strength + luck) * truth - noise)))

    return Fold(
        y=y,
        blocks=day,
        reference=[scores(1.0) for _ in range(seeds)],
        changed=[scores(1.0 + lift) for _ in range(seeds)],
    )


@pytest.mark.parametrize("metric", ["quality.roc_auc", "quality.log_loss"])
def test_two_hundred_pairs_of_equals_are_told_apart_no_more_often_than_declared(metric: str) -> None:
    level, looks = 0.05, 2
    levels = spent(level, looks)
    wrong = 0
    for number in range(200):
        generator = np.random.default_rng(number)
        folds = [simulated(generator, seeds=2) for _ in range(looks)]
        told = False
        for k in range(1, looks + 1):
            effect = effect_of(metric, folds[:k], value=None, task="binary_classification", resamples=100)
            found = look(effect, at_least=0.0, level=levels[k - 1])
            told |= not found.low <= 0.0 <= found.high
        wrong += told
    assert wrong <= 200 * level + 2 * sqrt(200 * level * (1 - level))


def test_a_large_effect_is_found_and_its_size_refuted_where_it_is_smaller() -> None:
    generator = np.random.default_rng(5)
    folds = [simulated(generator, seeds=2, lift=1.0, spread=1.0) for _ in range(4)]
    effect = effect_of("quality.roc_auc", folds, value=None, task="binary_classification")
    assert effect.difference > 0.03
    assert effect.blocks == 4 * DAYS
    assert effect.changed - effect.reference == pytest.approx(effect.difference)
    assert look(effect, at_least=0.0, level=0.05).answer == "supported"
    assert look(effect, at_least=0.5, level=0.05).answer == "refuted"
    assert look(effect, at_least=effect.difference, level=0.05).answer == "inconclusive"
    assert look(effect, at_most=0.5, level=0.05).answer == "supported"
    assert look(effect, at_most=0.0, level=0.05).answer == "refuted"


def test_the_same_scores_have_no_effect_and_no_error() -> None:
    fold = simulated(np.random.default_rng(1), seeds=1)
    effect = effect_of(
        "quality.roc_auc",
        [Fold(y=fold.y, blocks=fold.blocks, reference=fold.reference, changed=fold.reference)],
        value=None,
        task="binary_classification",
    )
    assert (effect.difference, effect.error) == (0.0, 0.0)
    assert look(effect, at_least=0.0, level=0.05).answer == "supported"
    assert look(effect, at_least=0.01, level=0.05).answer == "refuted"


def test_one_block_or_one_class_concludes_nothing() -> None:
    fold = simulated(np.random.default_rng(1), seeds=1)
    whole = Fold(y=fold.y, blocks=np.zeros(len(fold.y)), reference=fold.reference, changed=fold.changed)
    for bad in (whole, Fold(np.zeros_like(fold.y), fold.blocks, fold.reference, fold.changed)):
        effect = effect_of("quality.roc_auc", [bad], value=None, task="binary_classification")
        assert effect.reason
        found = look(effect, at_least=-1.0, level=0.05)
        assert (found.answer, found.smallest_detectable) == ("inconclusive", None)


def test_seeds_that_differ_widen_the_error() -> None:
    generator = np.random.default_rng(3)
    fold = simulated(generator, seeds=2)
    noisy = Fold(fold.y, fold.blocks, fold.reference, [fold.changed[0], generator.random(len(fold.y))])
    calm = effect_of("quality.roc_auc", [fold], value=None, task="binary_classification")
    wild = effect_of("quality.roc_auc", [noisy], value=None, task="binary_classification")
    assert wild.seed_error > 10 * calm.seed_error


@given(st.floats(0.001, 0.2), st.integers(1, 12))
def test_looks_spend_the_level_and_no_more(level: float, looks: int) -> None:
    levels = spent(level, looks)
    assert len(levels) == looks
    assert sum(levels) == pytest.approx(level)
    assert levels[0] == min(levels)
    assert all(x >= 0 for x in levels)
    assert shared(level, looks) * looks == pytest.approx(level)


@given(st.floats(-1, 1), st.floats(1e-6, 1), st.floats(1, 500), st.floats(-1, 1), st.floats(0.001, 0.2))
def test_a_look_answers_by_its_interval(
    difference: float, error: float, df: float, margin: float, level: float
) -> None:
    effect = Effect(
        difference=difference, row_error=error, seed_error=0, df=df, rows=9, blocks=9, folds=1, reference=0, changed=0
    )
    up, down = look(effect, at_least=margin, level=level), look(effect, at_most=margin, level=level)
    assert up.low <= difference <= up.high
    assert (up.answer == "supported") == (up.low >= margin)
    assert (up.answer == "refuted") == (up.high < margin)
    assert not (up.answer == "supported" and down.answer == "supported")
    stricter = look(effect, at_least=margin, level=level / 10)
    assert stricter.low <= up.low
    assert stricter.high >= up.high
