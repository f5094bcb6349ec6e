"""Trainings written to a real MLflow server hold what they must, as its database and its own client tell them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.mlflow.server import Mlflow

from trimtab.adapters.mlflow.experiments import open_tracker
from trimtab.experiments.port import Tracker
from trimtab.experiments.spec import TrackerSpec
from trimtab.testing.trackers import SYSTEM, Shown, TrackerSuite

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
