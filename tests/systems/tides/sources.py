"""What the harbour measured: made by a generator with a fixed seed, so that every process sees the same rows.

On 9 February the sea wall is opened to the west: from then on a west wind floods the quays that it used to spare.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

FIRST = datetime(2024, 1, 22, tzinfo=UTC)
DAYS = 36
OPENED = datetime(2024, 2, 9, tzinfo=UTC)
QUAYS = ("corn", "fish", "salt", "timber", "wine")
EVERY = 2
"""Hours between two readings of a quay."""


def readings(since: datetime | None, until: datetime) -> pl.DataFrame:
    """One row a quay and reading, with the label `flooded`; since < hour <= until."""
    return _between(_readings(), "hour", since, until)


def buoy(since: datetime | None, until: datetime) -> pl.DataFrame:
    """The swell outside, every three hours; since < sent <= until."""
    return _between(_buoy(), "sent", since, until)


def _between(rows: pl.DataFrame, time: str, since: datetime | None, until: datetime) -> pl.DataFrame:
    kept = pl.col(time) <= until
    return rows.filter(kept if since is None else kept & (pl.col(time) > since))


def _hours(every: int, offset: timedelta) -> list[datetime]:
    return [FIRST + offset + timedelta(hours=every * n) for n in range(DAYS * 24 // every)]


def _swell(hours: np.ndarray) -> np.ndarray:
    return 1.5 + np.sin(hours / 31.0) + 0.5 * np.sin(hours / 7.3)


def _buoy() -> pl.DataFrame:
    sent = _hours(3, timedelta(minutes=30))
    swell = _swell(np.array([(at - FIRST).total_seconds() / 3600 for at in sent]))
    return pl.DataFrame({"sent": sent, "basin": ["outer"] * len(sent), "swell": swell.round(3)})


def _readings() -> pl.DataFrame:
    dice = np.random.default_rng(20240209)
    hours = _hours(EVERY, timedelta(minutes=10))
    count = len(hours) * len(QUAYS)
    when = np.repeat(np.array([(at - FIRST).total_seconds() / 3600 for at in hours]), len(QUAYS))
    quay = np.tile(np.arange(len(QUAYS)), len(hours))
    tide = 3 + 1.6 * np.sin(when * 2 * np.pi / 12.42) + dice.normal(0, 0.3, count)
    wind = dice.normal(0, 1, count)  # above zero from the west
    pressure = 1013 + 8 * np.sin(when / 50) + dice.normal(0, 2, count)
    swell = _swell(when)
    west = np.where(when >= (OPENED - FIRST).total_seconds() / 3600, 2.2, -1.4)
    height = 1.5 * (tide - 3.4) + west * wind + 0.6 * (swell - 1.5) - 0.06 * (pressure - 1013) + 0.25 * (quay - 2)
    flooded = dice.random(count) < 1 / (1 + np.exp(-1.6 * height))
    bad = dice.random(count) < 0.004  # a sensor that sends nonsense now and then: for the quarantine
    return pl.DataFrame(
        {
            "quay": [QUAYS[number] for number in quay],
            "hour": np.repeat(np.array(hours, dtype=object), len(QUAYS)).tolist(),
            "basin": ["outer"] * count,
            "tide": np.where(bad, -99.0, tide.round(3)),
            "wind": wind.round(3),
            "pressure": pressure.round(1),
            "flooded": flooded,
        }
    )
