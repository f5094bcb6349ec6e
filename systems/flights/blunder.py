"""A blunder on purpose: the label is read the wrong way round, so the model warns those who will be on time.

The replay makes this model live past the gates on one day, as a person in a hurry might, to show how the loop
undoes it.
"""

from __future__ import annotations

from typing import Any

import model
import numpy as np
from lightgbm import LGBMClassifier


class Inverted:
    """Rows whose truth says the opposite."""

    def __init__(self, rows: model.Rows) -> None:
        self.x = rows.x
        self.names = rows.names
        self.y = 1 - np.asarray(rows.y)


def train(train: model.Rows, valid: model.Rows, params: dict[str, Any]) -> LGBMClassifier:
    """The same training as ever, on rows that say the opposite."""
    return model.train(Inverted(train), valid, params)
