"""A model that cannot be made again is told why: its libraries, its rows, its machine, or that it never is the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.training.outcomes import Job, Real, trained

from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.training.again.otherwise import code_changes, environment_changes, environment_then, row_changes
from trimtab.training.again.reproduce import reproduce
from trimtab.training.identity import code_digest
from trimtab.training.trainer import Trainer

UNSEEDED = """
import numpy
from sklearn.linear_model import LogisticRegression
def train(train, valid, params):
    chosen = numpy.random.default_rng().random(len(train)) < 0.5
    x = numpy.nan_to_num(train.x)
    return LogisticRegression(C=1e-3, max_iter=20).fit(x[chosen], train.y[chosen])
"""
OUTSIDE = """
from pathlib import Path
from sklearn.tree import DecisionTreeClassifier
def train(train, valid, params):
    depth = int((Path(params["folder"]) / "depth").read_text())
    return DecisionTreeClassifier(max_depth=depth, random_state=0).fit(train.x, train.y)
"""
DRAWING = """
from lightgbm import LGBMClassifier
def train(train, valid, params):
    model = LGBMClassifier(n_estimators=20, subsample=0.5, subsample_freq=1, colsample_bytree=0.5, verbose=-1)
    return model.fit(train.x, train.y, categorical_feature=train.categorical)
"""


def _kept(trainer: Trainer, job: Job, real: Real, source: str, **params: str) -> ModelTrained:
    return trained(trainer.train(job(source, params=params), *real("binary_classification"))).fact


def test_what_draws_at_random_is_identical_though_nothing_was_seeded_by_hand(
    trainer: Trainer, blobs: Blobs, job: Job, real: Real
) -> None:
    fact = _kept(trainer, job, real, DRAWING)
    found = reproduce(trainer, blobs, fact, *real("binary_classification"))
    assert (found.outcome, found.why, found.steady) == ("identical", (), None)


def test_a_training_that_never_gives_the_same_says_so(trainer: Trainer, blobs: Blobs, job: Job, real: Real) -> None:
    fact = _kept(trainer, job, real, UNSEEDED)
    found = reproduce(trainer, blobs, fact, *real("binary_classification"))
    assert (found.outcome, found.steady) == ("different", False)
    assert found.difference is not None
    assert found.difference > 1e-6
    assert "two trainings one after the other differ here as well" in found.why[0]
    assert "default_rng() needs a seed" in found.why[1]
    assert "random_state in every estimator" in found.why[1]


def test_what_lies_outside_and_what_it_ran_on(
    trainer: Trainer, blobs: Blobs, job: Job, real: Real, tmp_path: Path
) -> None:
    (tmp_path / "depth").write_text("3")
    fact = _kept(trainer, job, real, OUTSIDE, folder=str(tmp_path))
    (tmp_path / "depth").write_text("2")
    found = reproduce(trainer, blobs, fact, *real("binary_classification"))
    assert (found.outcome, found.steady) == ("different", True)
    assert "something outside of the code's folder has changed" in found.why[0]

    now, code = trainer.environment(), code_digest(tmp_path / "system" / "model.py", tmp_path / "system")
    assert environment_then(blobs, fact.identity.id) == now
    assert environment_changes(now, now, code) == []
    others = {**now.libraries, "threadpoolctl": "0.1", "scikit-learn": "0.1"}
    then = msgspec.structs.replace(now, processor="Another CPU", threads=16, libraries=others)
    assert environment_changes(then, now, code) == [
        f"machine: processor was Another CPU, is {now.processor}",
        "machine: threads was 16, is 1",
        f"libraries that the code does not name: threadpoolctl was 0.1, is {now.libraries['threadpoolctl']}",
    ]
    assert environment_changes(None, now, code) == ["machine: what it was trained on was not kept"]

    older = msgspec.structs.replace(fact, libraries={**fact.libraries, "scikit-learn": "0.1"})
    assert code_changes(fact, code) == []
    assert code_changes(older, code) == [f"libraries: scikit-learn was 0.1, is {fact.libraries['scikit-learn']}"]
    train, valid = (fact.rows, fact.train_from, fact.train_to), (143, fact.valid_from, fact.valid_to)
    assert row_changes(fact, train, valid) == []
    assert row_changes(fact, (200, *train[1:]), valid) == [f"data: {fact.rows:,} training rows then, 200 now"]
    assert row_changes(fact, train, (9, *valid[1:])) == ["data: 143 validation rows then, 9 now"]
    (moved,) = row_changes(fact, train, (143, fact.train_from, fact.valid_to))
    assert moved.startswith("data: the validation rows were from 2013-01-18 18:00 to ")
