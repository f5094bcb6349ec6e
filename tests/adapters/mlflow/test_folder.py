"""A folder of MLflow in which files are damaged: what can be read is read, and the rest is counted."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trimtab.adapters.mlflow.importing import open_store
from trimtab.experiments.importing import ImportingError, take_in
from trimtab.records.blobs import Blobs
from trimtab.records.imported import RunImported
from trimtab.records.ledger import Ledger

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def written(home: Path, run: str, metric: str = "1700000000000 0.5 0\n1700000000001 0.25 1\n") -> Path:
    """A run in the form of MLflow's files."""
    folder = home / "1" / run
    for name, text in {
        "meta.yaml": f"run_id: {run}\nrun_name: it's\nstatus: 3\nlifecycle_stage: active\nstart_time: 1700000000000\n"
        "end_time: 1700000001000\nartifact_uri: /gone\n",
        "params/a/b": "1",
        "tags/mlflow.user": "ann",
        "tags/team": "x\ny",
        "metrics/loss": metric,
        "artifacts/notes.txt": "hello",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (home / "1" / "meta.yaml").write_text("experiment_id: '1'\nname: flights\nlifecycle_stage: active\n")
    return folder


def test_damaged_runs_are_counted_and_the_others_taken(tmp_path: Path) -> None:
    home = tmp_path / "mlruns"
    written(home, "a" * 32)
    (written(home, "b" * 32) / "meta.yaml").write_text("")
    (written(home, "c" * 32) / "meta.yaml").write_text("run_id: [")
    written(home, "d" * 32, "1700000000000 half\n")
    (written(home, "e" * 32) / "params" / "bytes").write_bytes(b"\xff\xfe")
    with closing(open_store(str(home), tmp_path)) as store, Ledger.open(tmp_path / "ledger.db") as ledger:
        taken = take_in(store, ledger, Blobs(tmp_path / "blobs"), experiment="flights", copied="all", now=NOW)
        (entry,) = ledger.entries()
    assert (taken.new, taken.left_out) == (1, {"damaged runs": 4})
    assert isinstance(entry.fact, RunImported)
    fact = entry.fact
    assert (fact.params, fact.tags, fact.metrics) == ({"a/b": "1"}, {"team": "x\ny"}, {"loss": 0.25})
    assert [(file.path, file.size, bool(file.digest)) for file in fact.files] == [("notes.txt", 5, True)]


def test_a_link_that_leads_out_of_the_store_is_not_followed(tmp_path: Path) -> None:
    run = written(tmp_path / "mlruns", "a" * 32)
    (tmp_path / "secret").write_text("secret")
    (run / "artifacts" / "link").symlink_to(tmp_path / "secret")
    with closing(open_store("mlruns", tmp_path)) as store:
        (found,) = store.runs("")
        assert [file.path for file in store.files(found) or ()] == ["notes.txt"]


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    run = written(tmp_path / "mlruns", "a" * 32)
    (run / "meta.yaml").write_text(f"!!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with closing(open_store("mlruns", tmp_path)) as store:
        assert [found.outcome for found in store.runs("")] == ["damaged"]
    assert not (tmp_path / "made").exists()


def test_a_folder_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImportingError, match="is no folder of MLflow"):
        open_store(".", tmp_path)
