"""A small boosted model of the quays."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier


def train(train, valid, params):
    """Fit on `train`; the newest rows in `valid` only measure."""
    model = HistGradientBoostingClassifier(
        max_depth=params["depth"], max_iter=40, learning_rate=0.15, early_stopping=False, random_state=0
    )
    return model.fit(train.x, np.asarray(train.y))
