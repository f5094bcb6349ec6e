"""What a training costs on top of the same fit as a plain script, by wall and by CPU time, alternated in one run.

usage: overhead.py [--rows 20000] [--rounds 5] [--library lightgbm|sklearn|xgboost]

The script reads the same rows with Polars, codes the categories, fits the same model, computes ROC AUC and saves the
model: a whole process. Trimtab does that in a worker of its own, and exports to ONNX, checks the export on real rows,
measures every metric with intervals, makes explanations and keeps it all. It is measured with a worker that is started
for it (cold) and with one that waited (warm), as the loop lets it. Its CPU time is of the trainer and the worker, from
the worker's start.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from trimtab.records.blobs import Blobs
from trimtab.records.requirement import Requirement
from trimtab.training.job import TrainingJob
from trimtab.training.trainer import Trained, Trainer

MODELS = {
    "lightgbm": ("lightgbm", "LGBMClassifier(n_estimators=100, verbose=-1, n_jobs=1)"),
    "sklearn": ("sklearn.ensemble", "HistGradientBoostingClassifier(max_iter=100, early_stopping=False)"),
    "xgboost": ("xgboost", "XGBClassifier(n_estimators=100, n_jobs=1)"),
}
MODEL = """
from {module} import {name}


def train(train, valid, params):
    return {made}.fit(train.{x}, train.y)
"""
SCRIPT = """
import pickle
import sys

import numpy as np
import polars as pl
from {module} import {name}
from sklearn.metrics import roc_auc_score

train, valid = (pl.read_ipc(f"{{sys.argv[1]}}/{{part}}.arrow") for part in ("train", "valid"))
words = sorted(train["kind"].drop_nulls().unique())


def matrix(rows):
    coded = pl.col("kind").replace_strict(words, list(range(len(words))), default=-1, return_dtype=pl.Float32)
    return rows.select(pl.exclude("id", "at", "y", "kind"), coded).to_numpy().astype(np.float32)


model = {made}.fit(matrix(train), train["y"].to_numpy())
print(roc_auc_score(valid["y"].to_numpy(), model.predict_proba(matrix(valid))[:, 1]))
with open(f"{{sys.argv[1]}}/model.pkl", "wb") as file:
    pickle.dump(model, file)
"""
REQUIRED = (Requirement(metric="quality.roc_auc", comparison=">=", limit=0.6),)


def rows(count: int) -> pl.DataFrame:
    """Ten numbers, two of which matter, some of them missing, and a category; an hour apart."""
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 10))
    y = (random.random(count) < 1 / (1 + np.exp(-x[:, 0] - x[:, 1] * x[:, 2]))).astype(np.int64)
    x[random.random(x.shape) < 0.02] = np.nan
    start = datetime(2020, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(x, schema=[f"f{i}" for i in range(10)]).fill_nan(None)
    return frame.with_columns(
        id=pl.int_range(count),
        at=pl.Series([start + timedelta(minutes=i) for i in range(count)], dtype=pl.Datetime("us", "UTC")),
        kind=pl.Series(random.choice(["a", "b", "c", "d"], count)),
        y=pl.Series(y),
    )


def spent() -> float:
    """CPU seconds of this process and of those it has waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    cpu, wall = spent(), time.perf_counter()
    work()
    return time.perf_counter() - wall, spent() - cpu


def one_thread() -> dict[str, str]:
    """What a worker is given too."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "LOKY_MAX_CPU_COUNT")
    return os.environ | dict.fromkeys(names, "1")


def until_it_waits(trainer: Trainer, quiet: float) -> None:
    """Start a worker and let it do its imports: until no process of ours uses the processor any more."""
    trainer.warm()
    time.sleep(quiet)


def compare(
    folder: Path, library: str, count: int, rounds: int
) -> dict[str, list[tuple[float, float, dict[str, float]]]]:
    """Wall and CPU seconds of the script, of a cold and of a warm training, a round of each after another."""
    module, made = MODELS[library]
    words = {"module": module, "name": made.partition("(")[0], "made": made, "x": "x"}
    system = folder / "system"
    system.mkdir()
    (system / "model.py").write_text(MODEL.format(**words))
    (folder / "script.py").write_text(SCRIPT.format(**words))
    frame = rows(count)
    train, valid = frame.head(count * 4 // 5), frame.tail(count - count * 4 // 5)
    train.write_ipc(folder / "train.arrow")
    valid.write_ipc(folder / "valid.arrow")
    command = [sys.executable, str(folder / "script.py"), str(folder)]
    found: dict[str, list[tuple[float, float, dict[str, float]]]] = {"script": [], "cold": [], "warm": []}

    def script() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=one_thread())

    with Trainer(Blobs(folder / "blobs"), folder / "work", threads=1) as trainer:
        number = 0

        def train_one() -> dict[str, float]:
            nonlocal number
            number += 1
            job = TrainingJob(
                task="binary_classification",
                code=str(system / "model.py"),
                root=str(system),
                dataset="rows",
                versions={"rows": "v1"},
                key=("id",),
                time="at",
                label="y",
                params={"number": number},  # another model each time, though the same fit
                requirements=REQUIRED,
            )
            made = trainer.train(job, train, valid)
            if not isinstance(made, Trained):
                raise SystemExit(f"the training failed: {made.fact.reason}\n{made.fact.log}")
            return made.measured

        script()
        train_one()
        for _ in range(rounds):
            wall, cpu = measured(script)
            found["script"].append((wall, cpu, {}))
            trainer.close()  # so that none waits
            for name in ("cold", "warm"):
                before = spent()
                if name == "warm":
                    until_it_waits(trainer, 3 * wall)
                phases: dict[str, float] = {}
                took, _ = measured(lambda phases=phases: phases.update(train_one()))
                found[name].append((took, spent() - before, phases))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--library", choices=MODELS, default="lightgbm")
    parser.add_argument("--limit", type=float, help="end with 1 when a warm training takes so many seconds more")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
    try:
        found = compare(folder, args.library, args.rows, args.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    wall = {name: statistics.median(times[0] for times in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(times[1] for times in runs) for name, runs in found.items()}
    print(f"{args.rows:,} rows, {args.library}, medians of {args.rounds} rounds")
    print(f"{'':26}{'wall s':>9}{'more':>9}{'CPU s':>9}{'more':>9}")
    for name, told in (
        ("script", "plain script"),
        ("cold", "training, worker started"),
        ("warm", "training, worker waited"),
    ):
        more = [f"{times[name] - times['script']:+.2f}" if name != "script" else "" for times in (wall, cpu)]
        print(f"{told:26}{wall[name]:9.2f}{more[0]:>9}{cpu[name]:9.2f}{more[1]:>9}")
    phases = {name for _, _, told in found["warm"] for name in told if name.startswith("seconds.")}
    medians = {name: statistics.median(told[name] for _, _, told in found["warm"]) for name in phases}
    print("in the worker, wall s: ", end="")
    print(", ".join(f"{name.removeprefix('seconds.')} {took:.2f}" for name, took in medians.items() if took >= 0.005))
    return int(args.limit is not None and wall["warm"] - wall["script"] > args.limit)


if __name__ == "__main__":
    raise SystemExit(main())
