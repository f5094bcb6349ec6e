"""A whole system whose declaration names an MLflow server: trained, released, shown there, and served from there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.adapters.mlflow.server import Mlflow
from tests.adapters.mlflow.test_registry import names
from tests.cli.conftest import Cli, Place, is_live, real

pytestmark = pytest.mark.component

_ASK = """
import json, mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/pump-alarm@champion")
features = model.metadata.metadata["trimtab"]["features"]
rows = np.zeros((1, len(features)), dtype="float32")
print(json.dumps([features, model.predict({"input": rows})["scores"].tolist()]))
"""


def track(place: Place, url: str) -> None:
    """Have the system's trainings written to a server."""
    declaration = (place.folder / "trimtab.toml").read_text("utf-8")
    place.write("trimtab.toml", f'{declaration}\n[tracking]\nto = ["mlflow:{url}"]\n')


def test_what_is_live_here_is_the_champion_there(
    mlflow: Mlflow, cli: Cli, fresh: Place, tmp_path: Path, free_port: int
) -> None:
    track(fresh, mlflow.url)
    ran = real("run", fresh, timeout=100.0)
    assert ran.code == 0, ran.said
    is_live(cli, fresh)
    live = cli("status", fresh, "--json").json["live"]["model"]
    assert names(mlflow, "pump-alarm") == {"champion": live, "live": live}
    features, scores = mlflow.client(_ASK)
    assert "load" in features
    assert len(scores) == 1
    runs = mlflow.rows("select count(*) from tags where key = 'trimtab.training' and value = ?", live)
    assert runs == [(1,)]
    stands = cli("models", "track", fresh, "--json").json
    assert [(each["waiting"], each["trouble"]) for each in stands] == [(0, "")]
    assert mlflow.rows("select count(*) from tags where key = 'trimtab.training' and value = ?", live) == runs

    # what Trimtab itself wrote there is taken over by another system like anybody's runs, and served
    at = ("--state", tmp_path / "other", "--json")
    taken = cli("models", "import", fresh, f"mlflow:{mlflow.url}", "--experiment", "pump-alarm", *at)
    assert taken.json["new"] == 1
    (run,) = cli("models", "imported", fresh, *at).json
    assert run["registered"] == ["pump-alarm 1 (champion, live)"]
    told = cli("models", "fetch", fresh, run["run"], "--to", tmp_path / "files", *at).json
    (model,) = told["models"]
    Path(model).with_suffix(".toml").write_text(f"[serve]\nport = {free_port}\n")
    assert "scores" in [output["name"] for output in _serve(model, free_port, tmp_path)["outputs"]]


def test_a_server_that_is_down_holds_up_no_training_and_gets_it_later(mlflow: Mlflow, cli: Cli, fresh: Place) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{taken.getsockname()[1]}"
        fresh.edit("trimtab.toml", 'name    = "pump-alarm"', 'name    = "pump-later"')
        track(fresh, down)
        ran = real("run", fresh, timeout=100.0)
        assert ran.code == 0, ran.said
        is_live(cli, fresh)
        stands = cli("models", "track", fresh, "--json")
        assert stands.code == 1
        assert "cannot be reached" in stands.json[0]["trouble"]
    fresh.edit("trimtab.toml", down, mlflow.url)
    assert cli("models", "track", fresh).code == 0
    live = cli("status", fresh, "--json").json["live"]["model"]
    assert names(mlflow, "pump-later") == {"champion": live, "live": live}


def _serve(model: str, port: int, folder: Path) -> dict[str, Any]:
    """The metadata that a server of that model file answers with."""
    with (folder / "served.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "trimtab.cli.main", "serve", model], stdout=log, stderr=log)
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                assert process.poll() is None, (folder / "served.log").read_text()
                with suppress(httpx.TransportError):
                    told = httpx.get(f"http://127.0.0.1:{port}/v2/models/model")
                    if told.status_code == 200:
                        found: dict[str, Any] = told.json()
                        return found
                time.sleep(0.1)
            raise TimeoutError((folder / "served.log").read_text())
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(30)
