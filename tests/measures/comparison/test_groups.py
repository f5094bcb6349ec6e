"""Groups against the others: what is told apart, what is not, and how often chance is taken for a difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.measures.comparison.groups import LEAST_ROWS, MEAN_ERROR, Compared, compare_groups, criteria

DAYS = 20


def compared(seed: int, *, more: float = 0.0, rows: int = 600, metric: str = "selected") -> tuple[Compared, ...]:
    """Three groups with the same scores, but those of `a` are higher by `more`; a shared shock for each day."""
    dice = np.random.default_rng(seed)
    groups = dice.choice(["a", "b", "c"], rows)
    day = dice.integers(0, DAYS, rows)
    score = dice.random(rows) + 0.2 * dice.normal(size=DAYS)[day] + more * (groups == "a")
    y = (dice.random(rows) < np.clip(score, 0.05, 0.95)).astype(float)
    return compare_groups(
        metric, groups, y=y, score=score, threshold=0.5, value=None, task="binary_classification", blocks=day
    )


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_group_and_the_others_make_up_all_rows(seed: int) -> None:
    found = compared(seed)
    for one in found:
        assert one.low <= one.difference <= one.high
        assert one.difference == pytest.approx(one.figure - one.others)
        assert one.ratio is None or one.ratio == pytest.approx(one.figure / one.others)
    whole = sum(one.rows * one.figure for one in found) / sum(one.rows for one in found)
    for one in found:
        rest = 600 - one.rows
        assert (one.rows * one.figure + rest * one.others) / 600 == pytest.approx(whole)


def test_what_is_far_apart_is_told_and_what_is_alike_is_not() -> None:
    far = {one.group: one for one in compared(1, more=0.5, rows=3000)}
    assert far["a"].apart
    assert far["a"].low > 0.2
    assert far["a"].ratio_low is not None
    assert far["a"].ratio_low > 1.2
    assert far["b"].high < 0


@pytest.mark.parametrize("metric", ["selected", "true_positive_rate", "quality.accuracy"])
def test_alike_groups_are_rarely_told_apart(metric: str) -> None:
    """All groups of a column together in at most one of twenty columns, within what 80 draws can tell."""
    wrong = sum(any(one.apart for one in compared(seed, metric=metric)) for seed in range(80))
    assert wrong <= 10


def test_too_few_rows_or_days_say_nothing() -> None:
    y = np.array([0.0, 1.0] * 50)
    groups = np.array(["a"] * (LEAST_ROWS - 1) + ["b"] * (101 - LEAST_ROWS))

    def of(days: np.ndarray) -> tuple[Compared, ...]:
        return compare_groups(
            "selected", groups, y=y, score=y, threshold=0.5, value=None, task="binary_classification", blocks=days
        )

    assert [one.group for one in of(np.arange(100) % 10)] == ["b"]
    assert of(np.zeros(100, dtype=int)) == ()


def test_regression_is_judged_by_which_way_it_errs() -> None:
    assert criteria("regression", ["quality.rmse"]) == (MEAN_ERROR, "quality.mae", "quality.rmse")
    dice = np.random.default_rng(3)
    groups = np.repeat(["x", "y"], 200)
    y = dice.normal(size=400)
    found = compare_groups(
        MEAN_ERROR, groups, y=y, score=y + (groups == "x"), threshold=0.5, value=None, task="regression",
        blocks=np.arange(400) % 20,
    )  # fmt: skip
    assert [(one.group, one.difference, one.ratio) for one in found] == [
        ("x", pytest.approx(1.0), None),
        ("y", pytest.approx(-1.0), None),
    ]


def test_a_group_without_an_error_is_not_taken_for_perfect() -> None:
    """Eighty of eighty right, and 156 of 160 elsewhere: nothing that chance would not do."""
    right = np.r_[np.ones(80), np.ones(156), np.zeros(4)]
    found = compare_groups(
        "quality.accuracy", np.repeat(["a", "b"], [80, 160]), y=np.ones(240), score=right, threshold=0.5, value=None,
        task="binary_classification", blocks=np.arange(240) % 20,
    )  # fmt: skip
    assert found[0].figure == 1.0
    assert not any(one.apart for one in found)
