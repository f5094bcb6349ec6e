"""What a killed training left is there for the next one, and not for ever."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import numpy as np
import pytest
from tests.training.outcomes import Job, Real, trained

from trimtab import fit_module
from trimtab.errors import PermanentError
from trimtab.training.checkpoints import Checkpoints
from trimtab.training.trainer import Trainer

COUNTING = """
import os
from pathlib import Path
from sklearn.tree import DecisionTreeClassifier
def train(train, valid, params):
    steps = Path(train.checkpoints) / "steps"
    steps.parent.mkdir(parents=True, exist_ok=True)
    while not steps.exists() or steps.stat().st_size < 4:
        with steps.open("a") as file:
            file.write("x")
        with Path(params["tally"]).open("a") as file:
            file.write("x")
        if steps.stat().st_size == 2:
            os.kill(os.getpid(), 9)
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(train.x, train.y)
"""


def test_a_killed_training_finds_what_it_left(trainer: Trainer, job: Job, real: Real, tmp_path: Path) -> None:
    asked = job(COUNTING, params={"tally": str(tmp_path / "tally")})
    trained(trainer.train(asked, *real("binary_classification")))
    assert (tmp_path / "tally").stat().st_size == 4, "a step was done twice"
    assert not list((tmp_path / "work").iterdir())


def test_what_was_broken_off_stays_and_what_ended_goes(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyboardInterrupt), checkpoints.of("one") as folder:
        folder.mkdir(parents=True)
        raise KeyboardInterrupt
    assert folder.is_dir()
    with checkpoints.of("two") as other:
        other.mkdir()
    assert folder.is_dir()
    assert not other.exists()
    with checkpoints.of("one"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_nobody_comes_back_for_is_swept(tmp_path: Path) -> None:
    for name in ("kept", "old", "new"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    week = time.time() - 8 * 86400
    os.utime(tmp_path / "checkpoints" / "old", (week, week))
    Checkpoints(tmp_path).sweep(lambda identity: identity == "kept")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["new"]


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here")
def test_without_pytorch_it_says_what_to_install() -> None:
    with pytest.raises(PermanentError, match="PyTorch is not installed") as told:
        fit_module(None, type("Rows", (), {"x": np.zeros((1, 1), np.float32), "y": np.zeros(1)})())
    assert "trimtab[torch]" in told.value.hint
