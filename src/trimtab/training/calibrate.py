"""Probabilities put right, and the threshold of the answer chosen, on rows that the model was not fitted on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.model import Model
from trimtab.records.model import Signature
from trimtab.training.export.calibration import Calibrated, log_odds
from trimtab.training.export.export import export, native_scores
from trimtab.training.rows import Rows

_FEWEST = 10
"""Rows of each class that a map is learnt on: with fewer it says more about them than about the model."""
_STEEPEST = 50.0
"""How fast an isotonic map may rise: a step would turn the rounding of a float32 into another answer."""


def calibrate(
    model: Any,
    rows: Rows | None = None,
    method: Literal["none", "sigmoid", "isotonic", "temperature"] = "sigmoid",
    *,
    threshold: float | None = None,
    false_positive_rate: float | None = None,
    recall: float | None = None,
) -> Calibrated:
    """A fitted classifier of any kind that `train` may return, with its probabilities put right on `rows`.

    `sigmoid` is Platt's scaling of the log-odds, `isotonic` a rising line through points, `temperature` one factor on
    the log-probabilities (the only one for several classes), all fitted by scikit-learn; `none` leaves them. The answer
    is yes from the score that `[value]` calls for, which is right for probabilities that are; or from `threshold`; or
    from the lowest score at which at most `false_positive_rate` of the negative `rows` are answered yes (a false accept
    rate); or from the highest at which at least `recall` of the positive ones are.

    The rows must be other ones than the model was fitted on: `train.divided(0.8)` parts them by time. Raises
    PermanentError for a regression, too few rows of a class, or more than one way to choose the threshold.
    """
    targets = [one for one in (threshold, false_positive_rate, recall) if one is not None]
    if len(targets) > 1:
        raise PermanentError("calibrate() takes one of threshold, false_positive_rate and recall")
    if any(not 0.0 <= one <= 1.0 for one in targets):
        raise PermanentError(f"calibrate() was given {targets[0]:g}, which is not between 0 and 1")
    if rows is None:
        if method != "none" or (targets and threshold is None):
            raise PermanentError("calibrate() needs rows to learn from", hint="see train.divided(0.8)")
        return Calibrated(model, "none", threshold=threshold)
    signature = _signature_of(rows, method, targets)
    counts = np.bincount(rows.y.astype(np.int64), minlength=len(signature.classes))
    if counts.min() < _FEWEST:
        scarce = signature.classes[int(counts.argmin())]
        raise PermanentError(
            f"{counts.min()} of {len(rows)} rows to calibrate on are {scarce!r}; {_FEWEST} of each class are needed"
        )
    scores = _scores(model, rows.x, signature)
    found = _fitted(model, scores, rows.y.astype(np.int64), method)
    if false_positive_rate is not None:
        threshold = _at_most(found.apply(scores), rows.y == 1, false_positive_rate)
    if recall is not None:
        threshold = _at_least(found.apply(scores), rows.y == 1, recall)
    return Calibrated(model, found.method, found.slope, found.shift, found.x, found.y, threshold)


def _signature_of(rows: Rows, method: str, targets: list[float]) -> Signature:
    signature = rows.signature
    if signature is None or signature.task == "regression":
        raise PermanentError("calibrate() is for classifiers, on the rows that train() is given or parts of them")
    if signature.task == "multiclass_classification":
        if targets:
            raise PermanentError("a threshold is for two classes; of several the likeliest is answered")
        if method not in {"none", "temperature"}:
            raise PermanentError(f"{method} is for two classes", hint='use method="temperature" for several')
    return signature


def _scores(model: Any, x: NDArray[np.float32], signature: Signature) -> NDArray[np.float64]:
    own = native_scores(model, x, signature)
    if own is None:  # there is nothing but the graph
        return Model.load(export(model, signature), signature).scores(x).astype(np.float64)
    return own


def _fitted(model: Any, scores: NDArray[np.float64], y: NDArray[np.int64], method: str) -> Calibrated:
    if method == "none":
        return Calibrated(model, "none")
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression  # here: only for who asks for it

        line = IsotonicRegression(out_of_bounds="clip").fit(scores, y)
        x, rising = _eased(np.asarray(line.X_thresholds_, np.float64), np.asarray(line.y_thresholds_, np.float64))
        return Calibrated(model, "isotonic", x=x, y=rising)
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    if method == "sigmoid":
        columns = log_odds(scores)[:, None]
    elif scores.ndim == 1:
        columns = np.column_stack([1.0 - scores, scores])
    else:
        columns = scores
    known = FrozenEstimator(_scored(y, margins=method == "sigmoid"))
    fit = CalibratedClassifierCV(known, method=method, cv=2).fit(columns, y)
    (map_,) = fit.calibrated_classifiers_[0].calibrators
    if method == "sigmoid":  # scikit-learn's is 1 / (1 + exp(a * score + b))
        return Calibrated(model, "sigmoid", slope=-float(map_.a_), shift=-float(map_.b_))
    return Calibrated(model, "temperature", slope=float(map_.beta_))


def _scored(y: NDArray[np.int64], *, margins: bool) -> Any:
    """What scikit-learn takes for a fitted classifier: its answers are the columns that it is given."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        def fit(self, _: Any, y: NDArray[Any]) -> Any:
            self.classes_ = np.unique(y)
            return self

        def predict(self, x: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(self.classes_[x.argmax(axis=1)])

    class Margins(Given):
        def decision_function(self, x: NDArray[Any]) -> NDArray[Any]:
            return x[:, 0]

    class Probabilities(Given):
        def predict_proba(self, x: NDArray[Any]) -> NDArray[Any]:
            return x

    return (Margins() if margins else Probabilities()).fit(y, y)


def _eased(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same points, begun earlier where the line between two would be too steep."""
    eased = x.copy()
    for i in range(len(x) - 2, -1, -1):
        eased[i] = min(eased[i], eased[i + 1] - (y[i + 1] - y[i]) / _STEEPEST)
    return eased, y


def _at_most(scores: NDArray[np.float64], positive: NDArray[np.bool_], rate: float) -> float:
    """The lowest threshold that at most `rate` of the negatives reach, halfway between two scores."""
    negatives = np.sort(scores[~positive])[::-1]
    allowed = int(np.floor(rate * len(negatives) + 1e-9))
    if allowed >= len(negatives):
        return 0.0
    below = negatives[allowed]
    above = scores[scores > below]
    # Where nothing is above, what a float32 can tell from it.
    return float((below + above.min()) / 2 if len(above) else np.nextafter(np.float32(below), np.float32(2)))


def _at_least(scores: NDArray[np.float64], positive: NDArray[np.bool_], share: float) -> float:
    """The highest threshold that at least `share` of the positives reach, halfway between two scores."""
    positives = np.sort(scores[positive])[::-1]
    needed = max(1, int(np.ceil(share * len(positives) - 1e-9)))
    above = positives[needed - 1]
    below = scores[scores < above]
    return float((above + (below.max() if len(below) else 0.0)) / 2)
