"""Runs that MLflow's own client tracked, taken over from its server, its database and its folder."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from tests.adapters.conftest import absent
from tests.adapters.mlflow.server import PYTHON, QUIET, Mlflow
from tests.cli.conftest import Cli, Place, one_line

from trimtab.adapters.mlflow.importing import open_store
from trimtab.errors import TrimtabError
from trimtab.experiments.importing import ImportingError, imported, take_in
from trimtab.records.blobs import Blobs
from trimtab.records.imported import Points, RunImported
from trimtab.records.ledger import Ledger

pytestmark = pytest.mark.component
NOW = datetime(2026, 3, 1, tzinfo=UTC)

_TRACK = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import mlflow, numpy, onnx, pandas
from mlflow import MlflowClient
from onnx import TensorProto, helper

place, experiment = sys.argv[1:]
mlflow.set_tracking_uri(place)
mlflow.set_experiment(experiment)
graph = helper.make_graph(
    [helper.make_node("Add", ["input", "input"], ["scores"])], "doubling",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
client, runs = MlflowClient(), []
for i in range(4):
    run = mlflow.start_run(run_name=f"try-{i}")
    runs.append(run.info.run_id)
    mlflow.log_params({"learning_rate": 0.1 * (i + 1), "kind": "gbdt"})
    mlflow.set_tag("mlflow.source.git.repoURL", "https://ann:token@git.example.org/x.git")
    for step in range(6):
        mlflow.log_metric("loss", float("nan") if step == 3 else 1 / (1 + step + i), step=step)
    mlflow.log_metric("deep/roc_auc", 0.7 + i / 100)
    mlflow.log_metric("never", float("nan"))
    mlflow.log_text("hello", "notes/read me.txt")
    if i == 0:
        rows = mlflow.data.from_pandas(pandas.DataFrame({"a": [1]}), name="rows")
        mlflow.log_input(rows, context="training")
        mlflow.onnx.log_model(model, name="model", registered_model_name=experiment, pip_requirements=["onnx"])
        client.set_registered_model_alias(experiment, "champion", "1")
    if i < 3:
        mlflow.end_run("FAILED" if i == 1 else "FINISHED")
    else:
        client.set_terminated(runs[-1], "RUNNING")
client.delete_run(runs[2])
print(json.dumps(runs), flush=True)
os._exit(0)  # a run that is under way would be ended at exit
"""


@pytest.fixture(scope="module")
def tracked(mlflow: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, list[str]]]:
    """The same four runs in three kinds of stores: where, and the runs' ids."""
    if not PYTHON.exists():
        absent("MLflow", "tools/component mlflow")
    home = tmp_path_factory.mktemp("stores")
    places = {
        "server": (mlflow.url, mlflow.url),
        "database": (f"sqlite:///{home}/mlflow.db", f"sqlite:///{home}/mlflow.db"),
        "folder": (f"file://{home}/kept", f"{home}/kept"),
    }

    def track(place: str) -> list[str]:
        ran = subprocess.run(
            [str(PYTHON), "-c", _TRACK, place, "imported"],
            env=os.environ | QUIET | {"MLFLOW_ALLOW_FILE_STORE": "true"},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        runs: list[str] = json.loads(ran.stdout.splitlines()[-1])
        return runs

    with ThreadPoolExecutor() as pool:
        runs = dict(zip(places, pool.map(track, [written for written, _ in places.values()]), strict=True))
    found = {kind: (read, runs[kind]) for kind, (_, read) in places.items()}
    shutil.move(home / "kept", home / "moved")  # its files tell absolute paths, which are then no longer true
    found["folder"] = (f"{home}/moved", found["folder"][1])
    return found


def take(
    place: str, home: Path, copied: Literal["none", "models", "all"] = "none"
) -> tuple[Any, list[RunImported], Blobs]:
    """What an import came to, and what the ledger holds then."""
    blobs = Blobs(home / "blobs")
    with closing(open_store(place, home)) as store, Ledger.open(home / "ledger.db") as ledger:
        taken = take_in(store, ledger, blobs, experiment="imported", copied=copied, now=NOW)
        return taken, imported(ledger), blobs


@pytest.mark.parametrize("kind", ["server", "database", "folder"])
def test_runs_are_taken_over_once(tracked: dict[str, tuple[str, list[str]]], tmp_path: Path, kind: str) -> None:
    place, runs = tracked[kind]
    taken, found, blobs = take(place, tmp_path, "models")
    assert (taken.new, taken.changed, taken.known, taken.copied) == (2, 0, 0, 1)
    assert taken.left_out == {
        "deleted runs": 1,
        "running runs": 1,
        "points that are no finite numbers (kept as holes)": 4,
        "metrics whose last value is no finite number": 2,
    }
    first, second = found
    assert [first.run, second.run] == runs[:2]
    assert (first.tool, first.name, first.experiment) == ("mlflow", "try-0", "imported")
    assert [first.outcome, second.outcome] == ["finished", "failed"]
    assert first.params == {"learning_rate": "0.1", "kind": "gbdt"}
    assert first.metrics == {"loss": 1 / 6, "deep/roc_auc": 0.7}
    assert first.tags["mlflow.source.git.repoURL"] == "https://git.example.org/x.git"
    assert "mlflow.user" not in first.tags
    assert [name.partition(" ")[0] for name in first.datasets] == ["rows"]
    assert first.registered == ("imported 1 (champion)",)
    assert second.registered == ()
    points = msgspec.json.decode(blobs.get(first.history), type=dict[str, Points])
    assert points["loss"].steps == (0, 1, 2, 3, 4, 5)
    assert points["loss"].values == (1.0, 0.5, 1 / 3, None, 0.2, 1 / 6)
    assert first.points == 8
    files = {file.path: file for file in first.files}
    assert {"notes/read me.txt", "model/MLmodel", "model/model.onnx"} <= files.keys()
    assert files["notes/read me.txt"].size == 5
    assert [path for path, file in files.items() if file.digest] == ["model/model.onnx"]
    again, same, _ = take(place, tmp_path, "models")
    assert (again.new, again.changed, again.known) == (0, 0, 2)
    assert same == found


def test_what_the_three_kinds_tell_is_the_same(tracked: dict[str, tuple[str, list[str]]], tmp_path: Path) -> None:
    told = []
    for kind, (place, _) in tracked.items():
        found = take(place, tmp_path / kind, "all")[1]
        told.append(
            [
                msgspec.structs.replace(
                    run, store="", run="", started=NOW, ended=NOW, files_at="", history="", datasets=run.datasets[:0],
                    files=tuple(f for f in run.files if f.path.startswith("notes/")),
                )
                for run in found
            ]
        )  # fmt: skip
    assert told[0] == told[1] == told[2]


def test_a_run_that_changed_there_is_taken_over_anew(
    mlflow: Mlflow, tracked: dict[str, tuple[str, list[str]]], tmp_path: Path
) -> None:
    place, runs = tracked["server"]
    take(place, tmp_path)
    mlflow.ask("runs/set-tag", {"run_id": runs[1], "key": "note", "value": "looked at"})
    try:
        taken, found, _ = take(place, tmp_path)
        assert (taken.new, taken.changed, taken.known) == (0, 1, 1)
        assert [run.run for run in found] == runs[:2]
        assert found[1].tags["note"] == "looked at"
    finally:
        mlflow.ask("runs/delete-tag", {"run_id": runs[1], "key": "note"})


def test_an_experiment_that_is_not_there_is_told_with_those_that_are(
    tracked: dict[str, tuple[str, list[str]]], tmp_path: Path
) -> None:
    for place, _ in tracked.values():
        with closing(open_store(place, tmp_path)) as store, pytest.raises(ImportingError, match="'nothing'") as refused:
            list(store.runs("nothing"))
        assert "imported" in refused.value.hint


def test_on_the_command_line(
    tracked: dict[str, tuple[str, list[str]]], cli: Cli, fresh: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(fresh.folder)
    place, runs = tracked["server"]
    ran = cli("models", "import", f"mlflow:{place}", "--experiment", "imported")
    assert ran.code == 0, ran.err
    assert "2 runs taken over" in ran.out
    assert "left out: 1 deleted runs" in ran.out
    assert "0 runs taken over" in cli("models", "import", f"mlflow:{place}", "--experiment", "imported").out
    listed = cli("models", "list").out
    assert "imported / try-0" in listed
    assert "imported 1 (champion)" in listed
    whole = cli("models", "imported", "try-0").out
    assert "learning_rate = 0.1" in whole
    told = json.loads(cli("models", "diff", runs[0][:8], "try-1", "--json").out)
    assert told["params"] == {"learning_rate": ["0.1", "0.2"]}
    assert told["metrics"]["deep/roc_auc"] == [0.7, 0.71]
    assert "as each was told" in cli("models", "diff", "try-0", "try-1").out
    fetched = json.loads(cli("models", "fetch", "try-0", "--to", str(tmp_path / "files"), "--json").out)
    (model,) = fetched["models"]
    assert (tmp_path / "files" / "notes" / "read me.txt").read_text() == "hello"
    assert model == str(tmp_path / "files" / "model" / "model.onnx")
    assert Path(model).stat().st_size > 0
    one_line(cli("models", "imported", "nobody"), "no imported run is called 'nobody'")
    one_line(cli("models", "import", "mlflow:/nowhere"), "is no MLflow store")
    one_line(cli("models", "import", "aim:/nowhere"), "names no store of runs", "mlflow:PLACE")


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no database")
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("create table experiments (a)")
    for place in ("empty", "text", "other.db", "nothing"):
        with pytest.raises(TrimtabError) as refused:
            open_store(place, tmp_path)
        assert place in str(refused.value)
