"""A linear model on scaled numbers."""

from scaling import scaler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def train(train, valid, params):
    """Fit on `train`; the newest rows in `valid` only measure."""
    model = make_pipeline(scaler(), LogisticRegression(C=params["C"], max_iter=300))
    return model.fit(train.x, train.y)
