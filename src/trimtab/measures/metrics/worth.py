"""What answers are worth, and the decision threshold that earns the most."""

from __future__ import annotations

import numpy as np

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.records.metric import Task
from trimtab.records.requirement import Value


def value_of(y: np.ndarray, score: np.ndarray, threshold: float, value: Value, task: Task) -> Floats:
    """Worth of each answer, in `value.currency`: shape [n].

    `y` [n] is 0/1, a class index or a number; `score` is [n], or [n, K] for several classes (the answer is the
    highest). Binary: `true_positive` ... `false_negative` by the answer `score >= threshold`, plus `correct` or
    `wrong`. Several classes: `correct` or `wrong`. Regression: `absolute_error` per unit of |y - score|.
    `per_prediction` is added to each; training is not counted here.
    """
    if task == "regression":
        error = np.abs(np.asarray(y, dtype=np.float64) - np.asarray(score, dtype=np.float64))
        return value.absolute_error * error + value.per_prediction
    if task == "multiclass_classification":
        right = np.argmax(score, axis=1) == np.asarray(y)
        return np.where(right, value.correct, value.wrong) + value.per_prediction
    if task == "binary_classification":
        worth = _outcomes(value)
        cell = 2 * (np.asarray(y) > 0.5).astype(np.intp) + (np.asarray(score) >= threshold)
        return worth[cell]
    raise PermanentError(f"the worth of an answer is not defined for the task {task!r}")


def decision_threshold(value: Value) -> float:
    """The threshold t that earns the most in a binary task when the score is the probability: warn where score >= t.

    With p the probability of the positive class, answering "yes" is worth p*TP + (1-p)*FP and "no" p*FN + (1-p)*TN
    (`correct` and `wrong` added to each). "Yes" pays where p * ((TP-FN) + (TN-FP)) >= TN-FP
    (Elkan 2001, "The foundations of cost-sensitive learning", eq. 2).
    Degenerate values: "yes" always at least as good gives 0; "no" always better gives a threshold above 1 that no
    probability reaches; no difference at all gives 0.5. Where only *low* probabilities would pay for a "yes" (values
    that reward being wrong), no threshold of this form is right: the better of always and never at p = 0.5 is taken.
    """
    tn, fp, fn, tp = _outcomes(value).tolist()
    gain_positive = tp - fn
    loss_negative = tn - fp
    if gain_positive == 0 and loss_negative == 0:
        return 0.5
    if gain_positive >= 0 and loss_negative >= 0:
        return float(loss_negative / (gain_positive + loss_negative))
    never = float(np.nextafter(1.0, 2.0, dtype=np.float32))
    if gain_positive <= 0 and loss_negative >= 0:
        return never
    if gain_positive >= 0:
        return 0.0
    return 0.0 if gain_positive >= loss_negative else never


def _outcomes(value: Value) -> Floats:
    """Worth of [true negative, false positive, false negative, true positive], each prediction's cost included."""
    return value.per_prediction + np.array(
        [
            value.true_negative + value.correct,
            value.false_positive + value.wrong,
            value.false_negative + value.wrong,
            value.true_positive + value.correct,
        ]
    )
