"""What a training leaves beside its model, by the real worker."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest

from trimtab.experiments.trainings import KeptContents, curves_of, find_training, training_of
from trimtab.training.trainer import Refused, Trained

MODEL = """
import math
import trimtab
from pathlib import Path
from sklearn.tree import DecisionTreeClassifier

def train(train, valid, params):
    for depth in range(1, 4):
        model = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(train.x, train.y)
        trimtab.log_metrics({"accuracy": model.score(valid.x, valid.y), "depth": depth}, step=depth)
    trimtab.log_metric("odd", math.nan)
    trimtab.log_metric("odd", 2)
    Path("plot.txt").write_text("*")
    trimtab.log_artifact("plot.txt", "plots/plot.txt")
    trimtab.log_table(train.frame.head(2), "head.csv")
    return model
"""


def rows(real):
    return real("binary_classification")


def test_what_the_code_logs_is_kept_by_step_and_fit(trainer, job, real, blobs):
    before = datetime.now(UTC)
    result = trainer.train(job(MODEL, refit=True, params={"a": 1}), *rows(real))
    assert isinstance(result, Trained), result.fact.reason
    training = training_of(blobs, result.fact.identity.id)
    assert training.outcome == "trained"
    assert before <= training.started <= datetime.now(UTC)
    assert training.params == {"a": 1}
    assert training.figures["quality.roc_auc"] == result.fact.metrics["quality.roc_auc"].figure
    curves = {(curve.fit, curve.name): curve for curve in curves_of(blobs, training)}
    for fit in ("evaluated", "shipped"):
        assert curves[fit, "depth"].steps.tolist() == [1, 2, 3]
        assert curves[fit, "depth"].values.tolist() == [1.0, 2.0, 3.0]
        assert str(curves[fit, "odd"].values.tolist()) == "[nan, 2.0]"
        assert curves[fit, "odd"].steps.tolist() == [0, 1]
    assert curves["shipped", "depth"].title == "shipped/depth"
    short = next(s for s in training.series if (s.fit, s.name) == ("evaluated", "odd"))
    assert (short.points, short.last, short.least, short.greatest) == (2, 2.0, 2.0, 2.0)
    assert [a.name for a in training.artifacts] == [
        "head.csv", "plots/plot.txt", "shipped/head.csv", "shipped/plots/plot.txt",
    ]  # fmt: skip
    contents = KeptContents(blobs, training, result.fact)
    assert contents.artifact(training.artifacts[1]).read_bytes() == b"*"
    assert contents.model() == blobs.get(result.fact.bundle.onnx)
    assert not list(trainer._work.iterdir())


def test_what_it_ran_on_and_used_is_kept(trainer, job, real, blobs):
    result = trainer.train(job(MODEL), *rows(real))
    training = training_of(blobs, result.fact.identity.id)
    there = training.environment
    assert there.libraries["numpy"] == result.fact.libraries["numpy"]
    assert there.cores >= 1
    assert there.memory > 2**28
    assert 0.05 < training.load.cpu_seconds < 60
    assert training.load.memory_peak >= training.load.memory_mean > 2**24
    assert training.energy.joules > 0.1
    assert "GB of memory" in training.energy.basis
    names = {curve.name for curve in curves_of(blobs, training, ["system"])}
    assert {"cpu", "memory"} <= names


def test_people_s_files_and_names_are_not_kept(trainer, job, real, blobs):
    source = MODEL.replace(
        "    return model", '    trimtab.log_metric("recall/" + train.names[0].upper(), 1.0)\n    return model'
    )
    result = trainer.train(job(source, private=True), *rows(real))
    training = training_of(blobs, result.fact.identity.id)
    assert training.artifacts == ()
    assert "2 artifacts: the rows are of people" in training.dropped[0]
    assert "1 metrics: the rows are of people" in training.dropped[1]
    assert {each.name for each in training.series if each.fit != "system"} == {"accuracy", "depth", "odd"}


FAILING = """
import os, trimtab
from pathlib import Path
def train(train, valid, params):
    first = Path(params["folder"]) / "first"
    again = first.exists()
    first.touch()
    for step in range(2 if again else 0, 10):
        trimtab.log_metric("loss", 10.0 - step + (100 if again else 0), step=step)
        if step == 4 and not again:
            import time; time.sleep(1.1)
    trimtab.log_metric("last", 1.0)
    if not again:
        os.kill(os.getpid(), 9)
    raise ValueError("broken")
"""


def test_what_a_killed_worker_had_flushed_stays_and_what_was_done_over_is_replaced(trainer, job, real, blobs, tmp_path):
    result = trainer.train(job(FAILING, params={"folder": str(tmp_path)}), *rows(real))
    assert isinstance(result, Refused)
    training = training_of(blobs, result.fact.identity.id)
    assert training.outcome == "failed"
    assert "broken" in training.reason
    (loss,) = [curve for curve in curves_of(blobs, training, ["evaluated"]) if curve.name == "loss"]
    assert loss.steps.tolist() == list(range(10))
    assert loss.values.tolist() == [10.0, 9.0, *[110.0 - step for step in range(2, 10)]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('trimtab.log_metric("loss", "low")', "is a text"),
        ('trimtab.log_metric("loss", [1, 2])', "is no number but list"),
        ('trimtab.log_metric("loss", 1, step=1.5)', "cannot be a step"),
        ('trimtab.log_metric("", 1)', "cannot be the name of a metric"),
        ('trimtab.log_artifact("not-there.png")', "there is no file"),
        ('trimtab.log_artifact(b"x", "../up")', "cannot be the name of an artifact"),
    ],
)
def test_a_mistake_in_logging_is_told_where_it_was_made(call, said, tmp_path):
    import trimtab
    from trimtab.errors import PermanentError
    from trimtab.training.tracking.log import record_with
    from trimtab.training.tracking.recorder import Recorder

    record_with(Recorder(tmp_path / "tracked"))
    try:
        with pytest.raises(PermanentError, match=said) as caught:
            eval(call, {"trimtab": trimtab})
        assert caught.value.hint
    finally:
        record_with(None)
    eval(call, {"trimtab": trimtab})  # outside of a training nothing is looked at
    assert not (tmp_path / "up").exists()


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(folder), *arguments],
        check=True, capture_output=True,
    )  # fmt: skip


def test_uncommitted_code_is_told_against_the_commit(trainer, job, real, blobs):
    first = job(MODEL, files={"below/.keep": ""})
    root = first.root
    result = trainer.train(first, *rows(real))
    source = training_of(blobs, result.fact.identity.id).source
    assert (source.commit, source.why) == ("", "not in a git repository")
    git(root, "init", "-b", "trunk")
    changed = job(MODEL.replace("range(1, 4)", "range(1, 3)"))
    git(root, "add", "model.py")
    git(root, "commit", "-m", "first")
    clean = training_of(blobs, trainer.train(changed, *rows(real)).fact.identity.id).source
    assert len(clean.commit) == 40
    assert (clean.branch, clean.uncommitted, clean.patch) == ("trunk", False, "")
    edited = job(MODEL.replace("range(1, 4)", "depths()") + "from own import depths\n",
                 files={"own.py": "def depths():\n    return range(1, 5)\n"})  # fmt: skip
    result = trainer.train(edited, *rows(real))
    assert isinstance(result, Trained), result.fact.reason
    source = training_of(blobs, result.fact.identity.id).source
    assert (source.commit, source.changed, source.untracked) == (clean.commit, ("model.py",), ("own.py",))
    patch = blobs.get(source.patch).decode()
    assert "-    for depth in range(1, 3):\n+    for depth in depths():\n" in patch
    assert "--- /dev/null\n+++ b/own.py\n" in patch


def test_a_model_of_an_earlier_trimtab_has_no_record(blobs):
    assert find_training(blobs, "0" * 16) is None
