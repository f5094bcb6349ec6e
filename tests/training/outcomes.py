"""What the tests of the trainer share: the smallest model, and what a training came to."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from trimtab.training.job import TrainingJob
from trimtab.training.trainer import Refused, Trained

Job = Callable[..., TrainingJob]
Real = Callable[[str], tuple[pl.DataFrame, pl.DataFrame]]

QUICK = """
from sklearn.tree import DecisionTreeClassifier
def train(train, valid, params):
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(train.x, train.y)
"""


def trained(result: Trained | Refused) -> Trained:
    assert isinstance(result, Trained), f"{result.fact.reason}\n{result.fact.log}"
    return result


def refused(result: Trained | Refused) -> str:
    assert isinstance(result, Refused)
    return result.fact.reason
