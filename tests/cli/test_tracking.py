"""What `trimtab models` tells of a training: show, metrics, artifacts, list --best, and the trackers it went to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Place, one_line, real

LOGGED = '''
import math
import trimtab
from scaling import scaler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def train(train, valid, params):
    """Fit on `train`; the newest rows in `valid` only measure."""
    for step in range(40):
        trimtab.log_metrics({"loss": math.exp(-step / 10), "steep": math.inf if step == 3 else step}, step=step)
    trimtab.log_artifact(b"hello", "plots/hello.txt")
    return make_pipeline(scaler(), LogisticRegression(C=params["C"], max_iter=300)).fit(train.x, train.y)
'''


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, _first_model: Path) -> Place:
    """The minimal system with a second model that logs, and a tracker."""
    import shutil

    folder = tmp_path_factory.mktemp("logged") / "system"
    shutil.copytree(_first_model, folder)
    place = Place(folder)
    place.write("model.py", LOGGED)
    place.write("trimtab.toml", (folder / "trimtab.toml").read_text("utf-8") + '\n[tracking]\nto = "folder:out"\n')
    shutil.rmtree(folder / ".trimtab")
    ran = real("run", folder)
    assert ran.code == 0, ran.said
    assert "1 trainings written to folder:out" in ran.out
    return place


def test_show_tells_what_the_training_ran_on_and_left(cli: Cli, logged: Place) -> None:
    ran = cli("models", "show", logged, "r-001")
    titles = {line.split()[0]: line for line in ran.out.splitlines() if line}
    assert "cores" in titles["on"]
    assert "at most" in titles["used"]
    assert "an estimate: " in titles["energy"]
    assert titles["commit"].endswith(("none: not in a git repository", "nothing was committed yet"))
    assert "loss, steep" in titles["logged"]
    told = cli("models", "show", logged, "r-001", "--json").json["training"]
    assert told["environment"]["libraries"]["numpy"]
    assert told["load"]["cpu_seconds"] > 0


def test_metrics_are_drawn_within_eighty_columns(cli: Cli, logged: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = cli("models", "metrics", logged, "r-001")
    lines = ran.out.splitlines()
    assert lines[0].startswith("loss  0.0202 at step 39")
    assert lines[1].lstrip().startswith("1 │⠑")
    assert "1 not finite" in next(line for line in lines if line.startswith("steep"))
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("memory ") for line in lines)
    assert "--metric shipped/loss" in ran.out


def test_metrics_as_json_hold_every_point(cli: Cli, logged: Place) -> None:
    found = cli("models", "metrics", logged, "r-001", "--metric", "steep", "--json").json
    first, second = found["curves"]
    assert (first["fit"], second["fit"]) == ("evaluated", "shipped")
    assert first["steps"] == list(range(40))
    assert first["values"][3] is None
    assert first["values"][4] == 4


def test_a_metric_that_was_not_logged_is_told(cli: Cli, logged: Place) -> None:
    ran = cli("models", "metrics", logged, "r-001", "--metric", "los")
    assert ran.code == 2
    one_line(ran, 'did you mean "loss"?')
    one_line(cli("models", "metrics", logged, "ffffffff"), "no training or release is called")


def test_artifacts_are_listed_and_copied(cli: Cli, logged: Place, tmp_path: Path) -> None:
    ran = cli("models", "artifacts", logged, "r-001", "--to", tmp_path / "x")
    assert "plots/hello.txt" in ran.out
    assert (tmp_path / "x" / "plots" / "hello.txt").read_bytes() == b"hello"
    (tmp_path / "file").write_text("")
    assert cli("models", "artifacts", logged, "r-001", "--to", tmp_path / "file").code == 1


def test_the_best_comes_first(cli: Cli, logged: Place) -> None:
    (found,) = cli("models", "list", logged, "--best", "quality.roc_auc", "--json").json
    shown = cli("models", "show", logged, "r-001", "--json").json["model"]
    assert found["id"] == shown["identity"]["id"]
    assert found["figure"] == shown["metrics"]["quality.roc_auc"]["figure"]
    ran = cli("models", "list", logged, "--best", "quality.rocauc")
    assert ran.code == 2
    one_line(ran, 'did you mean "quality.roc_auc"?')


def test_a_tracker_that_cannot_be_written_fails_no_run_and_is_shown(cli: Cli, lived: Place) -> None:
    (lived.folder / "out").write_text("a file in the way")
    lived.write(
        "trimtab.toml", (lived.folder / "trimtab.toml").read_text("utf-8") + '\n[tracking]\nto = "folder:out"\n'
    )
    ran = cli("run", lived)
    assert ran.code == 0
    assert "1 trainings wait for folder:out: " in ran.out
    assert "? 1 trainings wait for folder:out: " in cli("status", lived).out
    (line,) = cli("status", lived, "--json").json["trouble"]["trackers"]
    assert line.startswith("1 trainings wait for folder:out: ")
    stands = cli("models", "track", lived, "--json")
    assert stands.code == 1
    assert stands.json[0]["waiting"] == 1
    (lived.folder / "out").unlink()
    assert cli("models", "track", lived).code == 0
    assert "wait for" not in cli("status", lived).out
    (folder,) = (path for path in (lived.folder / "out" / "pump-alarm").iterdir() if path.is_dir())
    assert json.loads((folder / "training.json").read_text())["group"] == "loop"


def test_a_training_that_failed_is_looked_at_by_its_id(cli: Cli, fresh: Place) -> None:
    failing = LOGGED.replace("    return make_pipeline", '    raise ValueError("bad luck")\n    return make_pipeline')
    fresh.write("model.py", failing)
    assert cli("run", fresh).code == 1
    (entry,) = cli("log", fresh, "--kind", "training_failed", "--json").json
    ran = cli("models", "metrics", fresh, entry["fact"]["identity"]["id"][:8])
    assert ran.out.startswith("it came to no model: train() raised ValueError: bad luck")
    assert "loss  0.0202 at step 39" in ran.out


SLOW = LOGGED.replace("    trimtab.log_artifact", "        import time; time.sleep(0.5)\n    trimtab.log_artifact")


def test_a_training_that_is_under_way_is_drawn(cli: Cli, fresh: Place) -> None:
    fresh.write("model.py", SLOW)
    words = [sys.executable, "-m", "trimtab.cli.main", "run", str(fresh)]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 40
        while not (fresh.folder / ".trimtab" / "ledger.db").exists() or not (
            found := cli("models", "metrics", fresh, "--json").json
        ):
            assert running.poll() is None, "it trained nothing"
            assert time.monotonic() < until, "nothing was logged"
            time.sleep(0.2)
        assert found[0]["running"]
        assert "is under way" in cli("models", "metrics", fresh).out
    finally:
        running.kill()
        running.wait()
    (told,) = cli("models", "metrics", fresh, "--metric", "loss", "--json").json
    (loss,) = told["curves"]
    assert loss["steps"] == list(range(len(loss["steps"])))
    assert "broken off" in cli("models", "metrics", fresh).out


def test_an_unknown_tracker_is_one_line(cli: Cli, lived: Place) -> None:
    lived.write("trimtab.toml", (lived.folder / "trimtab.toml").read_text("utf-8") + '\n[tracking]\nto = "foldr:out"\n')
    ran = cli("status", lived)
    assert ran.code == 2
    one_line(ran, 'tracker "foldr"')
