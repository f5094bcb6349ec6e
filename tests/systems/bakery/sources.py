"""What was baked, and the weather: made with a fixed seed, so that every process sees the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

FIRST = datetime(2024, 1, 1, 7, tzinfo=UTC)
DAYS = 52
SHOPS = ("abbey", "bridge", "corner", "dock")
A_DAY = 10


def batches(since: datetime | None, until: datetime) -> pl.DataFrame:
    """One row a shop and batch; since < baked <= until."""
    return _between(_batches(), "baked", since, until)


def weather(since: datetime | None, until: datetime) -> pl.DataFrame:
    """A report every three hours, on most days; since < observed <= until."""
    return _between(_weather(), "observed", since, until)


def _between(rows: pl.DataFrame, time: str, since: datetime | None, until: datetime) -> pl.DataFrame:
    kept = pl.col(time) <= until
    return rows.filter(kept if since is None else kept & (pl.col(time) > since))


def _sun(hours: np.ndarray) -> np.ndarray:
    return np.sin(hours / 24 * 2 * np.pi) + np.sin(hours / 170)


def _weather() -> pl.DataFrame:
    hours = np.array([h for h in range(0, DAYS * 24, 3) if h // 24 % 9 != 4], dtype=float)
    observed = [FIRST + timedelta(hours=h - 6) for h in hours.tolist()]
    return pl.DataFrame({"observed": observed, "town": ["mill"] * len(hours), "sun": _sun(hours).round(3)})


def _batches() -> pl.DataFrame:
    dice = np.random.default_rng(20240101)
    count = DAYS * A_DAY * len(SHOPS)
    hour = np.repeat([day * 24 + batch for day in range(DAYS) for batch in range(A_DAY)], len(SHOPS)).astype(float)
    shop = np.tile(np.arange(len(SHOPS)), DAYS * A_DAY)
    flour, price = dice.uniform(0, 100, count), dice.normal(3, 0.5, count)
    wish = 0.05 * (flour - 50) - 2.5 * (price - 3) + 0.8 * _sun(hour + 4) + 0.4 * (shop - 1.5)
    sold_out = dice.random(count) < 1 / (1 + np.exp(-1.5 * wish))
    return pl.DataFrame(
        {
            "shop": [SHOPS[number] for number in shop],
            "baked": [FIRST + timedelta(hours=h) for h in hour.tolist()],
            "town": ["mill"] * count,
            "flour": np.where(dice.random(count) < 0.01, -1.0, flour.round(2)),  # a scale that was not set to zero
            "price": price.round(2),
            "sold_out": pl.Series(sold_out).set(pl.Series(dice.random(count) < 0.02), None),
        }
    )
