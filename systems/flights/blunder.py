"""A blunder on purpose: the truth was joined to the wrong rows, so the model learns nothing.

The replay makes this model live past the gates on one day, as a person in a hurry might, to show how the loop
undoes it.
"""

from __future__ import annotations

from typing import Any

import model
import numpy as np
from lightgbm import LGBMClassifier


class Misjoined:
    """Rows whose labels are those of a flight a thousand departures earlier."""

    def __init__(self, rows: model.Rows) -> None:
        self.x = rows.x
        self.names = rows.names
        self.y = np.roll(np.asarray(rows.y), 1000)


def train(train: model.Rows, valid: model.Rows, params: dict[str, Any]) -> LGBMClassifier:
    """The same training as ever, on rows that were joined wrongly."""
    return model.train(Misjoined(train), valid, params)
