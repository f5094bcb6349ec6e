"""What a trial of a search costs beside its training: Trimtab, with every trial durable in its ledger, and Optuna.

    python benchmarks/training/search.py [--trials 200] [--sampler tpe] [--folder DIR] [--json]

The same function of four hyper-parameters is searched by each with the same sampler of Optuna (TPE by default): by
Trimtab, whose trainer gives the figure at once; by Optuna in memory; and by Optuna with its own storage in SQLite. Of
Trimtab it is the sampler, the rungs, the requirements, the choice and a ledger on disk that outlives a power cut, which
Optuna's storage is not made for; and not what any training does for itself (telling the identity of its code, 1 to 5
ms). Each gets an interpreter of its own, the rounds interleave, and the least of them counts. Milliseconds a trial, by
the wall clock and by the processor.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROUNDS = 3
CONTENDERS = ("trimtab", "optuna in memory", "optuna in sqlite")
NAMES = ("a", "b", "c", "d")


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description="what a trial of a search costs")
    parser.add_argument("--trials", type=int, default=200, help="trials of each search (default: 200)")
    parser.add_argument("--sampler", default="tpe", choices=("tpe", "random"), help="default: tpe")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--alone", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            json.dump(measured(args.alone, args.trials, args.sampler, Path(name)), sys.stdout)
        return
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for name in CONTENDERS:
            command = [
                sys.executable,
                __file__,
                "--alone",
                name,
                "--trials",
                str(args.trials),
                "--sampler",
                args.sampler,
            ]
            command += ["--folder", str(args.folder)] if args.folder else []
            wall, cpu = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            least = best.get(name, (math.inf, math.inf))
            best[name] = min(wall, least[0]), min(cpu, least[1])
    if args.json:
        json.dump({name: {"wall_ms": wall, "cpu_ms": cpu} for name, (wall, cpu) in best.items()}, sys.stdout, indent=1)
        return
    print(f"{args.trials} trials, {args.sampler}       ms a trial      cpu ms a trial")
    for name, (wall, cpu) in best.items():
        print(f"{name:<24} {wall:>12.2f} {cpu:>18.2f}")


def figure(params: dict[str, float]) -> float:
    """What is searched: a smooth hill."""
    return math.exp(-sum((params[name] - 0.2 * (i + 1)) ** 2 for i, name in enumerate(NAMES)))


def measured(contender: str, trials: int, sampler: str, folder: Path) -> tuple[float, float]:
    """Wall and processor milliseconds a trial, imports and opening left out."""
    search: dict[str, Callable[[], Callable[[], object]]] = {
        "trimtab": lambda: ours(trials, sampler, folder),
        "optuna in memory": lambda: optunas(trials, sampler, None),
        "optuna in sqlite": lambda: optunas(trials, sampler, folder / "optuna.db"),
    }
    run = search[contender]()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - wall) * 1000 / trials, (time.process_time() - cpu) * 1000 / trials


def optunas(trials: int, sampler: str, path: Path | None) -> Callable[[], object]:
    """A study of Optuna."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    storage = f"sqlite:///{path}" if path is not None else None
    study = optuna.create_study(direction="maximize", sampler=kinds[sampler](seed=0), storage=storage)
    return lambda: study.optimize(
        lambda trial: figure({name: trial.suggest_float(name, 0.0, 1.0) for name in NAMES}), n_trials=trials
    )


def ours(trials: int, sampler: str, folder: Path) -> Callable[[], object]:
    """A search of Trimtab's, with a trainer that needs no time."""
    import msgspec
    import polars as pl

    from trimtab.declaration.load import load
    from trimtab.loop.trials.search import run_search
    from trimtab.records.blobs import Blobs
    from trimtab.records.facts import ModelTrained
    from trimtab.records.ledger import Ledger
    from trimtab.records.model import ModelBundle, ModelIdentity, Signature
    from trimtab.records.requirement import Estimate
    from trimtab.training.spec import Dimension, SearchSpec
    from trimtab.training.trainer import Trained, Trainer

    (folder / "model.py").write_text("def train(train, valid, params):\n    return None\n")
    (folder / "sources.py").write_text("def rows():\n    return []\n")
    (folder / "trimtab.toml").write_text(DECLARED)
    spec = SearchSpec(
        space=tuple(Dimension(name=name, low=0.0, high=1.0) for name in NAMES),
        objectives=("quality.roc_auc",),
        trials=trials,
        sampler=sampler,  # type: ignore[arg-type]
    )
    system = load(folder)
    system = msgspec.structs.replace(system, model=msgspec.structs.replace(system.model, search=spec))
    start = datetime(2024, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=i) for i in range(2000)]
    rows = pl.DataFrame(
        {"key": range(2000), "at": moments, "x": [i * 0.01 for i in range(2000)], "y": [i % 2 for i in range(2000)]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    bundle = ModelBundle(onnx="0" * 64, signature=Signature(task="binary_classification", inputs=(), features=()))

    class Datasets:
        def labelled(self, _: datetime) -> pl.DataFrame:
            return rows

        def version(self, _: datetime) -> str:
            return "v"

    class Quick(Trainer):
        def train(self, job: Any, train: Any, valid: Any, **_: Any) -> Any:
            name = f"{hash(tuple(job.params.values())) % 2**64:016x}"
            metrics = {"quality.roc_auc": Estimate(figure=figure(job.params), low=0.0, high=1.0, rows=valid.height)}
            fact = ModelTrained(
                identity=ModelIdentity(id=name, code=name, params=name, data=name),
                bundle=bundle,
                dataset="rows",
                dataset_version="v",
                rows=train.height,
                train_from=start,
                train_to=start,
                valid_from=start,
                valid_to=start,
                params=job.params,
                code_files={},
                libraries={},
                metrics=metrics,
                baseline={},
                slices={},
                profile="",
                parity=0.0,
            )
            return Trained(fact=fact, measured={"resources.train_time": 0.001})

    ledger = Ledger.open(folder / "ledger.db")

    def no_bench() -> Any:
        raise AssertionError("nothing is required of a server")

    return lambda: run_search(
        system,
        datasets=Datasets(),  # type: ignore[arg-type]
        now=moments[-1] + timedelta(hours=1),
        ledger=ledger,
        blobs=Blobs(folder / "blobs"),
        trainer=lambda: Quick(Blobs(folder / "blobs"), folder / "work"),
        bench=no_bench,
        tell=lambda *_: None,
    )


DECLARED = """
[system]
name = "bench"
problem = "none"
task = "binary_classification"

[requirements]
"quality.roc_auc" = ">= 0.1"

[[data]]
name = "rows"
source = "python:sources:rows"
key = "key"
time = "at"
label = "y"

[model]
code = "model.py"
params = { a = 0.5, b = 0.5, c = 0.5, d = 0.5 }
holdout = "7 d"
"""


if __name__ == "__main__":
    main()
