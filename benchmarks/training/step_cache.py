"""Which edits make a step run again, and which need not: Trimtab's identity beside the caches of other tools.

usage: step_cache.py [--peers FOLDER]

One small project (edits.py) is edited in eleven ways, one after the other, each from the same state. Every tool does
what it does when it is asked for the result again, in a new process. Wrong are a stale result (an edit that counts and
is not noticed) and a needless run. joblib is measured always, with --peers Hamilton and DVC too, in environments
of their own below that folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from edits import EDITS, Edit, install, write  # noqa: E402 - it lies beside this file

PEERS = {
    "hamilton": ("apache-hamilton==1.90.0",),
    "dvc": ("dvc==3.67.1",),
}
TRAIN = """
import json
from pathlib import Path

import model
import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.tree import DecisionTreeRegressor


def train(train, valid, params):
    made = model.fit([1.0, 2.0], [2.0, 4.0], params["factor"])
    return DecisionTreeRegressor(max_depth=2, random_state=0).fit(train.x, train.y + made)
"""


def ours(folder: Path) -> Callable[[Path], bool]:
    """Trimtab: a training through the trainer; what it would train again it does."""
    import json

    import polars as pl

    from trimtab.records.blobs import Blobs
    from trimtab.training.job import TrainingJob
    from trimtab.training.trainer import Trained, Trainer

    def run(project: Path) -> bool:
        sys.path.insert(0, str(project / "site"))
        os.environ["PYTHONPATH"] = str(project / "site")
        try:
            (project / "train.py").write_text(TRAIN)
            data = json.loads((project / "data.json").read_text())
            start = datetime(2020, 1, 1, tzinfo=UTC)
            rows = pl.DataFrame(data).with_columns(
                id=pl.int_range(len(data["x"])),
                at=pl.Series([start + timedelta(days=i) for i in range(len(data["x"]))]).cast(pl.Datetime("us", "UTC")),
            )
            job = TrainingJob(
                task="regression",
                code=str(project / "train.py"),
                root=str(project),
                dataset="rows",
                versions={"rows": json.dumps(data)},
                key=("id",),
                time="at",
                label="y",
                params=json.loads((project / "params.json").read_text()),
                baseline="mean",
            )
            with Trainer(Blobs(folder / "blobs"), folder / "work", threads=1) as trainer:
                made = trainer.train(job, rows, rows)
            if not isinstance(made, Trained):
                raise SystemExit(f"the training failed: {made.fact.reason}\n{made.fact.log}")
            return not made.again
        finally:
            sys.path.remove(str(project / "site"))
            del os.environ["PYTHONPATH"]

    return run


def peer(name: str, python: Path) -> Callable[[Path], bool]:
    """Another tool: its script runs the step in the project and prints `ran` or `kept`."""

    def run(project: Path) -> bool:
        environment = os.environ | {
            "PYTHONPATH": f"{project}:{project / 'site'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "DO_NOT_TRACK": "1",
            "HAMILTON_TELEMETRY_ENABLED": "false",
            "DVC_NO_ANALYTICS": "1",
        }
        command = [str(python), str(HERE / "peers" / f"{name}_step.py"), str(project)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)
        said = done.stdout.split()
        if done.returncode or not said or said[-1] not in {"ran", "kept"}:
            raise SystemExit(f"{name} failed: {done.stderr[-2000:]}{done.stdout[-500:]}")
        return said[-1] == "ran"

    return run


def tried(run: Callable[[Path], bool], project: Path, edit: Edit) -> bool:
    """Whether the step runs again after an edit of the project as it is at first."""
    write_over(project)
    run(project)
    if run(project):
        return True  # it never keeps anything
    edit.make(project)
    return run(project)


def write_over(project: Path) -> None:
    """The project as it is at first, without removing what a tool keeps in its folder."""
    fresh = project.parent / "fresh"
    write(fresh)
    project.mkdir(exist_ok=True)
    for path in fresh.glob("*.*"):
        (project / path.name).write_bytes(path.read_bytes())
    install(project, "1.0")


def python_of(name: str, folder: Path) -> Path | None:
    """The Python of a peer's environment, made when it is not there; None where it cannot be installed."""
    home = folder / name
    python, made = home / "bin" / "python", home / "made-of.txt"
    wanted = "\n".join(PEERS[name])
    if made.exists() and made.read_text("utf-8") == wanted:
        return python
    print(f"installing {name} ...", file=sys.stderr, flush=True)
    venv.create(home, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[name]]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"{name} cannot be installed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
        return None
    made.write_text(wanted, "utf-8")
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", type=Path, help="a folder for the environments of Hamilton and DVC")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
        folder = Path(name)
        tools = {"Trimtab": ours(folder / "trimtab"), "joblib": peer("joblib", Path(sys.executable))}
        for other in PEERS if args.peers else ():
            python = python_of(other, args.peers.resolve())
            if python is not None:
                tools[other] = peer(other, python)
        found = {
            tool: [tried(run, folder / tool / "project", edit) for edit in EDITS]
            for tool, run in tools.items()
            if not (folder / tool).mkdir(exist_ok=True)
        }
    print(f"{'edited':22}{'should':>9}" + "".join(f"{tool:>11}" for tool in found))
    for i, edit in enumerate(EDITS):
        told = [("run" if ran[i] else "keep") + (" " if ran[i] == edit.counts else "!") for ran in found.values()]
        print(f"{edit.name:22}{'run' if edit.counts else 'keep':>8} " + "".join(f"{word:>11}" for word in told))
    stale = [sum(edit.counts and not ran[i] for i, edit in enumerate(EDITS)) for ran in found.values()]
    needless = [sum(ran[i] and not edit.counts for i, edit in enumerate(EDITS)) for ran in found.values()]
    for title, counts in (("stale", stale), ("needless", needless)):
        print(f"{title:31}" + "".join(f"{count:>10} " for count in counts))
    return int(stale[0] + needless[0] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
