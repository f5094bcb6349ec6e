"""A blunder on purpose: the labels were joined to the wrong rows."""

import model
import numpy as np


class Misjoined:
    """Rows with the labels of others."""

    def __init__(self, rows):
        self.x, self.names, self.y = rows.x, rows.names, np.roll(np.asarray(rows.y), 101)


def train(train, valid, params):
    """The same training as ever, on the wrong labels."""
    return model.train(Misjoined(train), valid, params)
