"""Value in money over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from trimtab.errors import PermanentError
from trimtab.monitoring.business import value_difference


def series(values: np.ndarray, start: datetime = datetime(2013, 3, 1, tzinfo=UTC)) -> list[tuple[str, int, float]]:
    return [((start + timedelta(days=i)).date().isoformat(), 900, float(v)) for i, v in enumerate(values)]


def weekly(r: np.random.Generator, days: int, spread: float) -> np.ndarray:
    """Daily values whose neighbours move together."""
    noise = np.zeros(days)
    for day in range(1, days):
        noise[day] = 0.5 * noise[day - 1] + r.normal(0, spread)
    return noise + 100 + 20 * np.sin(np.arange(days) * 2 * np.pi / 7)


def test_the_interval_holds_the_true_difference() -> None:
    r = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        a, b = weekly(r, 120, 15.0) + 2.0, weekly(r, 120, 15.0)
        got = value_difference(series(a), series(b), resamples=400)
        assert got.low is not None and got.high is not None
        assert got.figure == pytest.approx((a - b).sum())
        inside += got.low <= 240.0 <= got.high
    assert 176 <= inside <= 199  # days that move together leave the bootstrap a little short of 95%


def test_a_policy_that_earns_more_is_above_beyond_its_interval() -> None:
    r = np.random.default_rng(2)
    a, b = weekly(r, 300, 15.0) + 12.0, weekly(r, 300, 15.0)
    got = value_difference(series(a), series(b))
    assert got.low is not None and got.low > 0
    assert got == value_difference(series(a), series(b))
    back = value_difference(series(b), series(a))
    assert back.high is not None and back.high < 0


def test_days_that_only_one_has_are_left_out_and_counted() -> None:
    a, b = series(np.full(60, 5.0)), series(np.full(50, 3.0))
    got = value_difference(a, b)
    assert (got.figure, got.rows, got.low, got.high) == (100.0, 50, 100.0, 100.0)
    assert "10 days that only one of them has" in got.reason


def test_too_little_has_no_interval() -> None:
    few = value_difference(series(np.full(20, 5.0)), series(np.full(20, 3.0)))
    assert (few.figure, few.low) == (40.0, None)
    assert "too few" in few.reason
    assert value_difference([], []).figure is None
    with pytest.raises(PermanentError, match="a day occurs twice"):
        value_difference([("2013-01-01", 1, 1.0)] * 2, series(np.ones(3)))
