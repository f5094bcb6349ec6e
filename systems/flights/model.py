"""How a model is trained: gradient-boosted trees on plain numbers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray


class Rows(Protocol):
    """A feature matrix, one label per row, and the names of the features."""

    x: NDArray[np.float32]
    y: NDArray[Any]
    names: list[str]


DEFAULTS: dict[str, Any] = {
    "n_estimators": 100,
    "learning_rate": 0.12,
    "num_leaves": 31,
    "min_child_samples": 200,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "reg_lambda": 5.0,
    "max_bin": 127,
    "subsample_for_bin": 50_000,
}


def train(train: Rows, valid: Rows, params: dict[str, Any]) -> LGBMClassifier:
    """Fit on `train`. The number of trees is fixed, so `valid` only measures the result.

    A missing value (no weather report, no departure yet) stays NaN: the trees send it down
    a branch of its own. The same rows, parameters and seed give the same model.
    """
    # One thread: training shares the machine with what serves, and threads that wait for each other cost more than they
    # bring. The model is the same.
    settings = {"random_state": 0, "n_jobs": 1, **DEFAULTS, **params}
    model = LGBMClassifier(objective="binary", deterministic=True, force_row_wise=True, verbose=-1, **settings)
    return model.fit(train.x, np.asarray(train.y), feature_name=list(train.names))
