"""Agreement against published examples, scikit-learn, and what must hold of any ratings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import cohen_kappa_score

from trimtab.measures.agreement import (
    bootstrap,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    mean_of_figures,
    mean_of_items,
)

X = float("nan")
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, twelve units.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    ]
).T
# Fleiss' kappa of fourteen raters, ten subjects, five categories, as counts.
FLEISS = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip


def whole(figure: object, items: int) -> float:
    return float(figure(np.ones(items)))  # type: ignore[operator]


@pytest.mark.parametrize(("level", "wanted"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_the_published_one(level: str, wanted: float) -> None:
    assert whole(krippendorff_alpha(PUBLISHED, level), 12) == pytest.approx(wanted, abs=5e-4)  # type: ignore[arg-type]


def test_two_observers_and_ten_units_give_the_published_alpha() -> None:
    """The same paper, part A: two observers, ten units, two values: 0.095."""
    first, second = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    rated = np.array([first, second], dtype=float).T
    assert whole(krippendorff_alpha(rated), 10) == pytest.approx(0.095, abs=5e-4)


def test_fleiss_is_the_published_one() -> None:
    rated = np.array([[code for code, n in enumerate(row) for _ in range(n)] for row in FLEISS], dtype=float)
    assert whole(fleiss_kappa(rated), 10) == pytest.approx(0.210, abs=5e-4)


codes = arrays.arrays(np.float64, st.tuples(st.integers(2, 40), st.just(2)), elements=st.sampled_from([0.0, 1.0, 2.0]))
gappy = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=st.sampled_from([0.0, 1.0, 2.0, 5.5, X])
)


@given(codes)
def test_cohen_is_scikit_learns(rated: np.ndarray) -> None:
    found = whole(cohen_kappa(rated), len(rated))
    if (rated[:, 0] == rated[:, 1]).all():
        assert found == 1.0
    else:
        assert found == pytest.approx(cohen_kappa_score(rated[:, 0].astype(int), rated[:, 1].astype(int)))


@given(gappy)
def test_interval_alpha_by_sums_is_the_one_by_pairs(rated: np.ndarray) -> None:
    found = whole(krippendorff_alpha(rated, "interval"), len(rated))
    kept = [row[~np.isnan(row)] for row in rated if (~np.isnan(row)).sum() >= 2]
    if not kept:
        assert np.isnan(found)
        return
    values = np.concatenate(kept)
    observed = sum(((row[:, None] - row[None, :]) ** 2).sum() / (len(row) - 1) for row in kept)
    expected = ((values[:, None] - values[None, :]) ** 2).sum() / (len(values) - 1)
    assert found == pytest.approx(1.0 if observed == 0 else 1 - observed / expected, abs=1e-9)


@given(gappy, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_minds_neither_who_nor_in_which_order_and_never_exceeds_one(rated: np.ndarray, level: str) -> None:
    found = whole(krippendorff_alpha(rated, level), len(rated))  # type: ignore[arg-type]
    mixed = rated[::-1, ::-1].copy()
    assert whole(krippendorff_alpha(mixed, level), len(rated)) == pytest.approx(found, nan_ok=True)  # type: ignore[arg-type]
    assert np.isnan(found) or found <= 1.0


@given(gappy, st.integers(0, 2**32 - 1))
def test_weights_are_items_drawn_so_often(rated: np.ndarray, seed: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, len(rated), len(rated))
    weights = np.bincount(drawn, minlength=len(rated)).astype(float)
    for measure in (
        fleiss_kappa,
        krippendorff_alpha,
        lambda r: krippendorff_alpha(r, "ordinal"),
        lambda r: krippendorff_alpha(r, "interval"),
    ):
        assert measure(rated)(weights) == pytest.approx(whole(measure(rated[drawn]), len(drawn)), nan_ok=True)


@given(arrays.arrays(np.float64, st.tuples(st.integers(2, 30), st.just(1)), elements=st.sampled_from([0.0, 1.0, 3.0])))
def test_annotators_who_never_differ_agree_perfectly(said: np.ndarray) -> None:
    rated = np.repeat(said, 3, axis=1)
    for measure in (fleiss_kappa, krippendorff_alpha):
        assert whole(measure(rated), len(rated)) == 1.0
    assert whole(cohen_kappa(rated[:, :2]), len(rated)) == 1.0


def test_random_ratings_agree_by_chance_only_and_the_interval_knows() -> None:
    rated = np.random.default_rng(5).integers(0, 3, (600, 3)).astype(float)
    found = bootstrap(krippendorff_alpha(rated), 600, rows=600)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.12


def test_the_interval_covers_what_more_items_tell() -> None:
    """Items drawn from one large pile: nearly all intervals hold the alpha of the pile."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 40_000)
    noisy = np.where(generator.random((40_000, 2)) < 0.15, 1 - truth[:, None], truth[:, None]).astype(float)
    pile = whole(krippendorff_alpha(noisy), len(noisy))
    held = 0
    for _ in range(60):
        sample = noisy[generator.integers(0, len(noisy), 150)]
        found = bootstrap(krippendorff_alpha(sample), 150, rows=150, resamples=300)
        held += bool(found.low is not None and found.high is not None and found.low <= pile <= found.high)
    assert held >= 51  # 57 expected


def test_without_a_second_opinion_there_is_no_figure() -> None:
    alone = np.array([[0.0, X], [X, 1.0]])
    for measure in (cohen_kappa, fleiss_kappa, krippendorff_alpha, lambda r: krippendorff_alpha(r, "interval")):
        assert np.isnan(whole(measure(alone), 2))
    assert bootstrap(krippendorff_alpha(alone), 2, rows=0).figure is None
    assert bootstrap(krippendorff_alpha(np.empty((0, 2))), 0, rows=0).figure is None


def test_cohen_compares_two() -> None:
    with pytest.raises(ValueError, match="two annotators, not 3"):
        cohen_kappa(np.zeros((4, 3)))


def test_means_leave_out_what_does_not_exist() -> None:
    assert mean_of_items([1.0, X, 0.5])(np.array([1.0, 5.0, 1.0])) == 0.75
    assert np.isnan(mean_of_items([X])(np.ones(1)))
    assert mean_of_figures([lambda w: 0.5, lambda w: X])(np.ones(1)) == 0.5
