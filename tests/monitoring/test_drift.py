"""Profiles and drift of whole windows."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.errors import PermanentError
from trimtab.monitoring.drift import EffectThresholds, drift
from trimtab.monitoring.profile import Profile, build, read_profile
from trimtab.records.facts import ColumnDrift
from trimtab.records.model import Feature, Signature

NUMBERS, CATEGORIES = 5, 3
SIGNATURE = Signature(
    task="binary_classification",
    inputs=(),
    features=(
        *(Feature(name=f"n{i}", kind="number") for i in range(NUMBERS)),
        *(Feature(name=f"c{i}", kind="category", vocabulary=tuple("abcdefgh")) for i in range(CATEGORIES)),
    ),
    classes=("no", "yes"),
)
SHARES = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.05, 0.02])


def rows(r: np.random.Generator, n: int) -> np.ndarray:
    """Normal, skewed and whole numbers, categories, and nulls."""
    matrix = np.empty((n, NUMBERS + CATEGORIES), dtype=np.float32)
    matrix[:, :3] = r.normal(size=(n, 3))
    matrix[:, 3] = r.lognormal(0, 1, n)
    matrix[:, 4] = r.integers(0, 24, n)
    for place in range(NUMBERS, NUMBERS + CATEGORIES):
        matrix[:, place] = r.choice(8, n, p=SHARES)
    matrix[r.random(matrix.shape) < 0.02] = np.nan
    return matrix


def by_name(found: tuple[ColumnDrift, ...]) -> dict[tuple[str, str], ColumnDrift]:
    return {(column.column, column.statistic): column for column in found}


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return rows(np.random.default_rng(0), 40_000)


@pytest.fixture(scope="module")
def profile(reference: np.ndarray) -> Profile:
    return build(reference, SIGNATURE)


def test_the_profile_tells_what_the_columns_hold(reference: np.ndarray, profile: Profile) -> None:
    for place, feature in enumerate(profile.features):
        column = reference[:, place]
        assert feature.rows == 40_000
        assert feature.nulls == int(np.isnan(column).sum())
        assert sum(feature.counts) + feature.nulls == 40_000
        if feature.kind == "category":
            assert feature.counts == tuple(int((column == code).sum()) for code in range(8))
        else:
            known = column[~np.isnan(column)].astype(np.float64)
            assert feature.mean == pytest.approx(known.mean())
            assert feature.std == pytest.approx(known.std())
            assert (feature.low, feature.high) == (known.min(), known.max())
            assert feature.grid[-1] == known.max()
            below = np.cumsum(feature.counts)
            for step in range(0, len(feature.grid), 37):
                assert below[step] == int((known <= feature.grid[step]).sum())


def test_a_profile_is_read_back_as_it_was(profile: Profile) -> None:
    assert read_profile(profile.to_bytes()) == profile
    with pytest.raises(PermanentError, match="not a profile"):
        read_profile(b"\x00nonsense")


def test_the_same_rows_have_no_drift_at_all(reference: np.ndarray, profile: Profile) -> None:
    for column in drift(profile, reference):
        assert (column.effect, column.low, column.drifted) == (0, 0, False)
        assert column.rows == 40_000


def test_no_false_alarm_in_200_windows_without_drift(profile: Profile) -> None:
    r = np.random.default_rng(1)
    alarms = 0
    for size in (150, 600, 1500, 3000):
        for _ in range(50):
            alarms += sum(column.drifted for column in drift(profile, rows(r, size)))
    assert alarms == 0


def test_days_that_differ_are_no_drift_when_they_are_told() -> None:
    r = np.random.default_rng(4)
    signature = Signature(task="regression", inputs=(), features=(Feature(name="wind", kind="number"),))

    def weather(days: int) -> tuple[np.ndarray, np.ndarray]:
        day = np.repeat(np.arange(days), 200)
        return (r.normal(size=days)[day] + 0.3 * r.normal(size=day.size)).astype(np.float32)[:, None], day

    matrix, day = weather(60)
    unaware, profile = build(matrix, signature), build(matrix, signature, blocks=day)
    assert profile.features[0].effective < 400 < unaware.features[0].effective
    blind = told = 0
    for _ in range(100):
        window, days = weather(7)
        blind += any(c.drifted for c in drift(unaware, window))
        told += any(c.drifted for c in drift(profile, window, blocks=days))
    assert blind > 80
    assert told <= 5
    storm, days = weather(7)
    assert all(c.drifted for c in drift(profile, storm + 4, blocks=days))


def test_every_real_shift_is_found_and_nothing_else(profile: Profile) -> None:
    r = np.random.default_rng(2)
    window = rows(r, 6500)
    window[:, 0] += 0.5
    window[:, 1] *= 2.0
    window[r.random(6500) < 0.2, 2] = np.nan
    moved = r.random(6500) < 0.25
    window[moved, NUMBERS] = 7
    window[r.random(6500) < 0.3, NUMBERS + 1] = -1  # values that training never saw
    found = by_name(drift(profile, window))
    assert {name for (name, statistic), c in found.items() if c.drifted and statistic in ("ks", "tv")} == {
        "n0",
        "n1",
        "n2",
        "c0",
        "c1",
    }
    assert not any(found[name, "psi"].drifted for name in ("n3", "n4", "c2"))
    assert found["n0", "psi"].drifted
    assert found["c0", "psi"].drifted


@settings(max_examples=25)
@given(seed=st.integers(0, 100), shifts=st.lists(st.floats(0.2, 3), min_size=2, max_size=5))
def test_the_effect_grows_with_the_shift(profile: Profile, seed: int, shifts: list[float]) -> None:
    window = rows(np.random.default_rng(seed), 2000)
    window = window[~np.isnan(window[:, 0])]
    effects = []
    for shift in sorted(shifts):
        moved = window.copy()
        moved[:, 0] += np.float32(shift)
        found = by_name(drift(profile, moved))
        effects.append((found["n0", "ks"].effect, found["n0", "psi"].effect))
        assert 0 <= found["n0", "ks"].low <= found["n0", "ks"].effect <= found["n0", "ks"].high <= 1
    # beyond the noise of 2,000 rows (a shift of 0.2 deviations is), but for what the noise taken off varies by
    assert [effect for effect, _ in effects] == pytest.approx(sorted(effect for effect, _ in effects), abs=1e-3)
    assert [effect for _, effect in effects] == pytest.approx(sorted(effect for _, effect in effects), abs=0.05)


def test_scores_and_labels_are_compared_with_the_holdout() -> None:
    r = np.random.default_rng(3)
    matrix, score = rows(r, 5000), r.beta(2, 5, 5000).astype(np.float32)
    label = (r.random(5000) < 0.2).astype(np.float64)
    profile = read_profile(build(matrix, SIGNATURE, scores=score, labels=label).to_bytes())
    assert profile.label is not None
    assert profile.label.counts == (int((label == 0).sum()), int((label == 1).sum()))
    still = by_name(drift(profile, matrix[:2000], scores=score[:2000], labels=label[:2000]))
    assert not still["score", "ks"].drifted
    assert not still["label", "tv"].drifted
    moved = by_name(drift(profile, matrix[:2000], scores=score[:2000] * 2, labels=np.ones(2000)))
    assert moved["score", "ks"].drifted
    assert moved["label", "tv"].effect == pytest.approx(0.8, abs=0.03)


def test_thresholds_are_the_callers(profile: Profile) -> None:
    window = rows(np.random.default_rng(7), 6500)
    window[:, 0] += 0.2
    usual = by_name(drift(profile, window))["n0", "ks"]
    strict = by_name(drift(profile, window, thresholds=EffectThresholds(ks=0.03)))["n0", "ks"]
    assert (usual.drifted, strict.drifted) == (False, True)


def test_odd_windows() -> None:
    signature = Signature(
        task="regression",
        inputs=(),
        features=(Feature(name="x", kind="number"), Feature(name="k", kind="category", vocabulary=())),
    )
    empty = np.full((100, 2), np.nan, dtype=np.float32)
    profile = build(empty, signature)
    assert profile.features[0].mean is None
    assert not any(c.drifted for c in drift(profile, empty))
    filled = by_name(drift(profile, np.ones((100, 2), dtype=np.float32)))
    assert filled["x", "ks"].drifted
    assert drift(profile, empty[:0]) == ()
    assert drift(build(empty[:0], signature), empty) == ()
    constant = build(np.ones((100, 2), dtype=np.float32), signature)
    assert not any(c.drifted for c in drift(constant, np.ones((30, 2), dtype=np.float32)))
    infinite = np.array([[np.inf, 0], [-np.inf, 0], [1, 0]], dtype=np.float32)
    assert build(infinite, signature).features[0].mean == 1.0
    with pytest.raises(PermanentError, match="2 features"):
        drift(profile, np.ones((3, 5), dtype=np.float32))
    with pytest.raises(PermanentError, match="names 2 features"):
        build(np.ones((3, 5), dtype=np.float32), signature)
    with pytest.raises(PermanentError, match="3 rows but 2 blocks"):
        build(np.ones((3, 2), dtype=np.float32), signature, blocks=np.arange(2))


def test_the_order_of_rows_does_not_matter(profile: Profile) -> None:
    r = np.random.default_rng(8)
    window, days = rows(r, 700), np.repeat(np.arange(7), 100)
    mixed = r.permutation(700)
    assert drift(profile, window, blocks=days) == drift(profile, window[mixed], blocks=days[mixed])


def test_a_window_is_measured_in_milliseconds(profile: Profile) -> None:
    window, days = rows(np.random.default_rng(9), 6500), np.repeat(np.arange(7), 6500 // 7 + 1)[:6500]
    spent = []
    for _ in range(5):
        start = time.process_time()
        drift(profile, window, blocks=days)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.05
