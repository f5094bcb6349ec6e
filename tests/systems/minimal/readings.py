"""Writes `readings.csv`: one reading of three pumps every half hour, up to a moment; one seed gives the same rows."""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from pathlib import Path

HEADER = "reading,at,pump,load,outside,age,hot"
STEP = timedelta(minutes=30)


def lines(first: int, count: int, last: datetime, seed: int = 7) -> list[str]:
    """Rows `first` .. `first + count - 1`; the newest of them was read at `last`."""
    found = []
    for number in range(first, first + count):
        dice = random.Random(seed * 1_000_003 + number)
        at = last - STEP * (first + count - 1 - number)
        pump, load = dice.choice(["north", "south", "east"]), dice.uniform(5, 95)
        outside, age = 15 + 10 * math.sin(number / 48 * math.tau) + dice.gauss(0, 2), dice.uniform(0, 12)
        heat = 0.06 * (load - 50) + 0.12 * (outside - 15) + 0.15 * (age - 6) + (0.8 if pump == "north" else 0.0)
        hot = int(dice.random() < 1 / (1 + math.exp(-heat)))
        found.append(f"p-{number:05d},{at:%Y-%m-%dT%H:%M:%SZ},{pump},{load:.2f},{outside:.2f},{age:.2f},{hot}")
    return found


def write(path: Path, last: datetime, count: int = 1500) -> None:
    """A whole file."""
    path.write_text("\n".join([HEADER, *lines(0, count, last)]) + "\n", "utf-8")
