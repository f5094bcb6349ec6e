"""A worker that is killed from outside says nothing about the model: the training is begun again, and not for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from trimtab.training.job import TrainingJob
from trimtab.training.trainer import Refused, Trained, Trainer

Job = Callable[..., TrainingJob]
Real = Callable[..., tuple[pl.DataFrame, pl.DataFrame]]

MODEL = """
import os
from pathlib import Path
from sklearn.tree import DecisionTreeClassifier
def train(train, valid, params):
    seen = Path(params["folder"]) / f"{params['signal']}-{params['kills']}"
    with seen.open("a") as file:
        file.write("x")
    if seen.stat().st_size <= params["kills"]:
        os.kill(os.getpid(), params["signal"])
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(train.x, train.y)
"""


@pytest.mark.parametrize("number", [9, 15])
def test_a_worker_killed_twice_is_started_a_third_time(
    number: int, trainer: Trainer, job: Job, real: Real, tmp_path: Path
) -> None:
    asked = job(MODEL, params={"folder": str(tmp_path), "signal": number, "kills": 2})
    result = trainer.train(asked, *real("binary_classification"))
    assert isinstance(result, Trained), result.fact.reason
    assert not result.again
    assert result.fact.metrics["quality.roc_auc"].figure > 0.8
    assert (tmp_path / f"{number}-2").stat().st_size >= 3
    assert not list(trainer._work.iterdir())


def test_a_worker_killed_time_after_time_is_a_failure(trainer: Trainer, job: Job, real: Real, tmp_path: Path) -> None:
    asked = job(MODEL, params={"folder": str(tmp_path), "signal": 9, "kills": 99})
    result = trainer.train(asked, *real("binary_classification"))
    assert isinstance(result, Refused)
    assert "killed by signal 9 (SIGKILL) 3 times in a row" in result.fact.reason
    assert (tmp_path / "9-99").stat().st_size == 3
    assert not list(trainer._work.iterdir())


def test_a_worker_that_crashes_by_its_own_fault_is_not_started_again(
    trainer: Trainer, job: Job, real: Real, tmp_path: Path
) -> None:
    asked = job(MODEL, params={"folder": str(tmp_path), "signal": 11, "kills": 99})
    result = trainer.train(asked, *real("binary_classification"))
    assert isinstance(result, Refused)
    assert "killed by signal 11 (SIGSEGV)" in result.fact.reason
    assert "in a row" not in result.fact.reason
    assert (tmp_path / "11-99").stat().st_size == 1
