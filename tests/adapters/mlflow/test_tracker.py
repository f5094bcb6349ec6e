"""Trainings written to a real MLflow server hold what they must, as its database and its own client tell them."""

from __future__ import annotations

import itertools
import math
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.adapters.mlflow.server import Mlflow

from trimtab.adapters.mlflow.calls import Calls
from trimtab.adapters.mlflow.experiments import MlflowTracker, open_tracker
from trimtab.errors import TemporaryError
from trimtab.experiments.port import Curve, Tracker, TrackerError
from trimtab.experiments.shown import figures_of
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.tracking import Training
from trimtab.testing.trackers import SECRET, SYSTEM, Shown, TrackerSuite, Written, example

pytestmark = pytest.mark.component


class TestMlflow(TrackerSuite):
    kills = (0.01, 0.05, 0.2)

    @pytest.fixture(autouse=True)
    def _server(self, mlflow: Mlflow) -> Iterator[None]:
        self.server = mlflow
        yield
        for (number,) in mlflow.rows("select experiment_id from experiments where name = ?", SYSTEM):
            mlflow.ask("experiments/update", {"experiment_id": str(number), "new_name": secrets.token_hex(8)})

    def open(self, place: Path) -> Tracker:
        return open_tracker(TrackerSpec(tool="mlflow", place=self.server.url), place)

    def shown(self, place: Path, system: str) -> dict[str, Shown]:
        runs = self.server.rows(
            "select run_uuid, status, start_time, artifact_uri from runs join experiments using (experiment_id) "
            "where experiments.name = ? and runs.lifecycle_stage = 'active'",
            system,
        )
        found: dict[str, Shown] = {}
        for run, status, started, uri in runs:
            tags = dict(self.server.rows("select key, value from tags where run_uuid = ?", run))
            assert tags["trimtab.training"] not in found
            curves: dict[str, list[tuple[int, float]]] = {}
            for key, step, value, nan in self.server.rows(
                "select key, step, value, is_nan from metrics where run_uuid = ? order by step", run
            ):
                curves.setdefault(key, []).append((step, math.nan if nan else value))
            folder = self.server.artifacts / uri.removeprefix("mlflow-artifacts:/")
            files = [path for path in folder.rglob("*") if path.is_file()]
            found[tags["trimtab.training"]] = Shown(
                outcome={"FINISHED": "trained", "FAILED": "failed"}[status],
                params=dict(self.server.rows("select key, value from params where run_uuid = ?", run)),
                figures={name: points[-1][1] for name, points in curves.items()},
                curves=curves,
                artifacts={str(path.relative_to(folder)): path.read_bytes() for path in files},
                started=datetime.fromtimestamp(started / 1000, UTC),
            )
        return found

    def everything(self, place: Path) -> bytes:
        held: list[Any] = [path.read_bytes() for path in self.server.artifacts.rglob("*") if path.is_file()]
        return b"\n".join([self.server.database.read_bytes(), *held])


def test_a_server_that_is_down_is_tried_again_later(tmp_path: Path) -> None:
    told, contents = example(tmp_path)
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        tracker = open_tracker(TrackerSpec(tool="mlflow", place=f"http://127.0.0.1:{taken.getsockname()[1]}"), tmp_path)
        with pytest.raises(TemporaryError, match="cannot be reached"):
            tracker.write(told, contents)


def test_a_write_that_broke_off_is_not_shown_twice(mlflow: Mlflow, tmp_path: Path) -> None:
    """At every request that it makes."""
    told, contents = example(tmp_path, points=10)
    told = msgspec.structs.replace(told, system="broken-off")
    for last in range(2, 12):
        calls = Calls(mlflow.url, {})
        asked = itertools.count()
        send = calls._sent

        def breaks(*given: Any, until: int = last, asked: Any = asked, send: Any = send, **more: Any) -> bytes:
            if next(asked) >= until:
                raise TemporaryError("the line is cut")
            return bytes(send(*given, **more))

        calls._sent = breaks  # type: ignore[method-assign]
        with pytest.raises(TemporaryError):
            MlflowTracker(calls).write(told, contents)
    with Calls(mlflow.url, {}) as whole:
        for _ in range(2):
            MlflowTracker(whole).write(told, contents)
    runs = mlflow.rows(
        "select status, count(*) from runs join experiments using (experiment_id) where experiments.name = ? "
        "and runs.lifecycle_stage = 'active' group by status",
        told.system,
    )
    assert runs == [("FINISHED", 1)]


def test_more_than_one_batch_takes(mlflow: Mlflow, tmp_path: Path) -> None:
    """Of metrics, hyper-parameters and long values; names that MLflow refuses become such that it takes."""
    steps = np.arange(2500)
    curves = [Curve("evaluated", name, steps, steps * 0.5, steps) for name in ("loss|é", "../loss", "loss|è")]
    told, _ = example(tmp_path)
    params = {f"p{i}": i for i in range(250)} | {"long": "x" * 20_000, "empty": "", "a b=c": 1}
    training = msgspec.structs.replace(told.training, params=params, artifacts=())
    told = msgspec.structs.replace(told, system="much", training=training)
    with Calls(mlflow.url, {}) as calls:
        MlflowTracker(calls).write(told, Written(tmp_path, curves, {}, None))
    found = mlflow.rows(
        "select count(*), count(distinct key) from metrics where run_uuid in "
        "(select run_uuid from tags where key = 'trimtab.system' and value = 'much')"
    )
    figures = len(figures_of(told))
    assert found == [(7500 + figures, 3 + figures)]
    params = dict(
        mlflow.rows(
            "select key, value from params where run_uuid in "
            "(select run_uuid from tags where key = 'trimtab.system' and value = 'much')"
        )
    )
    assert len(params) == 253
    assert params["p17"] == "17"
    assert "20,000 characters" in params["long"]
    assert params["empty"] == ""


def test_wrong_keys_are_told_in_a_line_without_them(
    tmp_path: Path, mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Mlflow(tmp_path, password="only-for-tests-1")
    try:
        whole, _ = example(tmp_path / "contents")
        training = Training(id=whole.training.id, outcome="trained", started=whole.training.started, seconds=1.0)
        told, contents = msgspec.structs.replace(whole, training=training), Written(tmp_path / "contents", (), {}, None)
        for user, password, hint in (
            ("", "", "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
            ("admin", "wrong-" + SECRET, "look at what MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD holds"),
        ):
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
            with pytest.raises(TrackerError, match="refuses these keys") as refused:
                open_tracker(TrackerSpec(tool="mlflow", place=server.url), tmp_path).write(told, contents)
            assert refused.value.hint == hint
            assert SECRET not in refused.value.in_one_line()
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "only-for-tests-1")
        open_tracker(TrackerSpec(tool="mlflow", place=server.url), tmp_path).write(told, contents)
        assert server.rows("select count(*) from runs where status = 'FINISHED'") == [(1,)]
    finally:
        server.stop()
