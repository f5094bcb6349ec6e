"""Tracking one training and finding the best of a thousand, beside SQLite by hand and other trackers, in one run.

usage: tracking.py [--steps 5000] [--trainings 1000] [--peers FOLDER]

One training: 100 hyper-parameters, 10 metrics at each step, 20 files of 4 KiB, until all of it is on disk to stay.
With --peers the same is written by MLflow, W&B, Comet and trackio, each offline, as its documentation says to do it in
bulk, in an environment of its own below the folder. Imports are not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from trimtab.experiments.index import Index
from trimtab.experiments.trainings import curves_of, training_of
from trimtab.loop.tracking import refresh
from trimtab.records.blobs import Blobs
from trimtab.records.ledger import Draft, Ledger
from trimtab.records.studies import TrialFinished
from trimtab.records.tracking import Training, ref_of
from trimtab.training.identity import CodeIdentity
from trimtab.training.job import TrainingJob
from trimtab.training.tracking.environment import environment
from trimtab.training.tracking.keep import keep_training
from trimtab.training.tracking.log import log_artifact, log_metrics, record_with
from trimtab.training.tracking.meter import Meter
from trimtab.training.tracking.recorder import Recorder

PEERS = {
    "mlflow": ("mlflow==3.17.2",),
    "wandb": ("wandb==0.31.0",),
    "comet": ("comet-ml==3.58.8",),
    "trackio": ("trackio==0.43.0",),
}
METRICS = [f"m{i}" for i in range(10)]
PARAMS = {f"p{i}": i * 0.5 for i in range(100)}
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def bound(folder: Path, files: Path, steps: int) -> None:
    """SQLite by hand: one transaction a kind, the files beside it."""
    database = sqlite3.connect(folder / "bound.db", isolation_level=None)
    database.executescript(
        "pragma journal_mode=wal; pragma synchronous=normal;"
        "create table param(k text, v text, primary key(k)) without rowid;"
        "create table metric(k int, step int, v real, t real, primary key(k, step)) without rowid;"
    )
    database.execute("begin")
    database.executemany("insert into param values(?, ?)", [(k, str(v)) for k, v in PARAMS.items()])
    points = ((k, s, s * 0.1, time.time()) for k in range(len(METRICS)) for s in range(steps))
    database.executemany("insert into metric values(?, ?, ?, ?)", points)
    database.execute("commit")
    for file in files.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    database.close()


def ours(folder: Path, files: Path, steps: int) -> None:
    """What a worker and its trainer do: log, then keep."""
    recorder = Recorder(folder / "tracked")
    meter = Meter(None)
    record_with(recorder)
    for step in range(steps):
        log_metrics(dict.fromkeys(METRICS, step * 0.1), step=step)
    for file in files.iterdir():
        log_artifact(file)
    record_with(None)
    recorder.close()
    job = TrainingJob(task="regression", code="model.py", root=str(folder), dataset="d", versions={}, key=("id",),
                      time="at", label="y", params=PARAMS)  # fmt: skip
    code = CodeIdentity("", {}, {}, "model.py", {"model.py": b"def train(): ...\n"}, False, False)
    blobs = Blobs(folder / "blobs")
    keep_training(blobs, job=job, identity="0" * 16, code=code, used=meter.end(), figures={"m0": 1.0}, reason="",
                  environment=environment(1, None), folder=folder / "tracked")  # fmt: skip


def check(folder: Path, steps: int) -> None:
    """That all of it is there."""
    blobs = Blobs(folder / "blobs")
    training = training_of(blobs, "0" * 16)
    curves = {curve.name: curve for curve in curves_of(blobs, training, ["evaluated"])}
    assert sorted(curves) == sorted(METRICS)
    assert all(len(curve.steps) == steps for curve in curves.values())
    assert len(training.artifacts) == 20
    assert len(training.params) == 100


def best_of(count: int) -> tuple[float, float]:
    """Seconds to bring so many trainings from the ledger into the index, and to find the best of them."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        blobs, draw, facts = Blobs(folder / "blobs"), random.Random(0), []
        for number in range(count):
            identity = f"{number:016x}"
            figures = {"quality.roc_auc": draw.random(), "quality.log_loss": draw.random(), "resources.train_time": 1.0}
            training = Training(id=identity, outcome="trained", started=NOW, seconds=1.0, params={"p": number},
                                figures=figures)  # fmt: skip
            blobs.set_ref(ref_of(identity), blobs.put(msgspec.json.encode(training)))
            fact = TrialFinished(search="s", number=number, params={"p": number}, model=identity, figures=figures,
                                 broken={}, given_up=False, why="")  # fmt: skip
            facts.append(Draft(key=f"trial:s:{number}", fact=fact, at=NOW + timedelta(seconds=number)))
        with Ledger.open(folder / "ledger.db") as ledger, Index(folder / "trainings.db") as index:
            ledger.append_all(facts)
            begin = time.perf_counter()
            refresh(index, ledger, blobs)
            told = time.perf_counter() - begin
            asked = []
            for _ in range(21):
                begin = time.perf_counter()
                refresh(index, ledger, blobs)
                (best,) = index.best("quality.roc_auc", highest=True, limit=1)
                asked.append(time.perf_counter() - begin)
            assert best.figure == max(draft.fact.figures["quality.roc_auc"] for draft in facts)
    return told, statistics.median(asked)


def timed(work: Callable[[Path, Path, int], None], files: Path, steps: int) -> float:
    """The median of five, each in a folder of its own."""
    seconds = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            work(Path(folder), files, steps)
            seconds.append(time.perf_counter() - begin)
            if work is ours:
                check(Path(folder), steps)
    return statistics.median(seconds)


def peer(name: str, home: Path, *, files: Path, steps: int, count: int) -> dict[str, float] | None:
    """What a peer's script tells: seconds of `log`, and of `best` where it has such a question; None without it."""
    python = _environment(home / name, PEERS[name])
    if python is None:
        return None
    script = Path(__file__).with_name("peers") / f"{name}_tracking.py"
    with tempfile.TemporaryDirectory() as folder:
        words = [str(python), "-W", "ignore", str(script), folder, str(files), str(steps), str(count)]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=900)
    if done.returncode:
        print(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _environment(home: Path, packages: Sequence[str]) -> Path | None:
    """The Python of an environment with these packages, made when it is not there; None where it cannot be had."""
    python, made = home / "bin" / "python", home / "made-of.txt"
    wanted = "\n".join(packages)
    if not made.exists() or made.read_text("utf-8") != wanted:
        print(f"installing {home.name} ...", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            print(f"{home.name} cannot be installed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        made.write_text(wanted, "utf-8")
    return python


def main() -> None:
    """Print seconds of all, and ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--trainings", type=int, default=1000)
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="measure other tools too, installed below this")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        files = Path(home)
        for number in range(20):
            (files / f"a{number}.bin").write_bytes(random.Random(number).randbytes(4096))
        hand, mine = timed(bound, files, asked.steps), timed(ours, files, asked.steps)
        told, best = best_of(asked.trainings)
        print(f"100 hyper-parameters, {10 * asked.steps:,} points, 20 files; best of {asked.trainings:,} trainings")
        print(f"{'':<18}{'one training':>14}{'to ours':>9}{'best of all':>14}{'to ours':>9}")
        print(f"{'SQLite by hand':<18}{hand:12.3f} s{hand / mine:9.2f}")
        print(f"{'trimtab':<18}{mine:12.3f} s{1:9.2f}{1000 * best:11.2f} ms{1:9.2f}")
        print(f"{'':<18}the index told from the ledger anew: {told:.2f} s")
        for name in PEERS if asked.peers is not None else ():
            found = peer(name, asked.peers, files=files, steps=asked.steps, count=asked.trainings)
            if found is None:
                continue
            line = f"{name:<18}{found['log']:12.3f} s{found['log'] / mine:9.1f}"
            if "best" in found:
                line += f"{1000 * found['best']:11.2f} ms{found['best'] / best:9.0f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
