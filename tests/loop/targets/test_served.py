"""The embedded serving of backtests and the real server say the same of the same callers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from tests.serving import models

from trimtab.deployment.local import LocalServer
from trimtab.deployment.port import Target
from trimtab.loop.past.history import ASKED_AT
from trimtab.loop.targets.embedded import EmbeddedServing
from trimtab.loop.targets.served import HttpTraffic, ServedReleases
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.metric import Task
from trimtab.records.model import Routes
from trimtab.records.server import ServerConfig
from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client
from trimtab.serving.telemetry.reading.reader import TelemetryReader

START = datetime(2024, 1, 1, tzinfo=UTC)
LATER = START + timedelta(hours=30)
SAME = ["id", "at", "release", "model", "stage", "label", "truth_at"]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalServer]:
    server = LocalServer(tmp_path, ServerConfig(system=models.SYSTEM, port=0))
    server.start()
    yield server
    server.stop()


def routes(blobs: Blobs, task: Task) -> Routes:
    """One live, one with a third of the traffic, one in shadow, each with scores of its own."""
    classes = {"regression": (), "multiclass_classification": ("early", "late", "never")}.get(task, ("no", "yes"))
    made = {"regression": models.linear, "binary_classification": models.sigmoid}.get(task, models.softmax)
    found = {}
    for number, name in enumerate(("r1", "r2", "r3"), 1):
        flat: Any = [0.3 * number, -0.2 * number]
        steep: Any = [[0.3 * number, 0.0, -0.1], [0.0, 0.2 * number, 0.4]]
        graph = made(steep if task == "multiclass_classification" else flat)
        found[name] = models.bundle(blobs, graph, models.signature(task, classes=classes))
    return models.routes(
        1,
        models.route("r1", found["r1"], "live", 0.7),
        models.route("r2", found["r2"], "canary", 0.3),
        models.route("r3", found["r3"], "shadow"),
    )


@pytest.mark.parametrize("task", ["binary_classification", "regression", "multiclass_classification"])
def test_both_tell_the_same(local: LocalServer, tmp_path: Path, task: Task) -> None:
    wanted = routes(Blobs(Layout(tmp_path).blobs), task)
    several = task == "multiclass_classification"
    served = ServedReleases(local, TelemetryReader(Layout(tmp_path).telemetry), several=several)
    embedded = EmbeddedServing(Blobs(Layout(tmp_path).blobs))
    for each in (served, embedded):
        each.apply(wanted)
        assert each.generation() == 1
    truths = {"regression": [0.5, -1.0, 2.0], "multiclass_classification": ["early", "never", "late"]}.get(
        task, ["no", "yes", "yes"]
    )
    with Client(local.url) as client:
        for hour in range(4):
            at = START + timedelta(hours=hour)
            ids = [f"row-{hour}-{n}" for n in range(25)]
            rows = [{"distance": float(n - hour), "carrier": ("AA", "DL", None)[n % 3]} for n in range(25)]
            frame = pl.DataFrame(rows).with_columns(pl.lit(at).cast(pl.Datetime("us", "UTC")).alias(ASKED_AT))
            client.predict(rows, ids, at)
            embedded.predict(frame, ids)
            told = dict(zip(ids[::2], [truths[n % 3] for n in range(13)], strict=True))
            client.feedback([Truth(name, truth, at + timedelta(hours=9)) for name, truth in told.items()])
            embedded.truth(list(told), list(told.values()), at + timedelta(hours=9))
        client.settle()
    ours, theirs = (each.predictions(START, LATER).sort("at", "id", "release") for each in (embedded, served))
    assert ours.height == 200
    assert sorted(ours["stage"].unique()) == ["canary", "live", "shadow"]
    assert ours.select(SAME).equals(theirs.select(SAME), null_equal=True)
    np.testing.assert_allclose(_numbers(ours["score"]), _numbers(theirs["score"]), rtol=1e-6)
    assert _numbers(ours["score"]).shape == ((200, 3) if several else (200,))
    for release in ("r1", "r2", "r3"):
        (here, ids, moments), (there, their_ids, their_moments) = (
            each.matrix(release, START, LATER) for each in (embedded, served)
        )
        order = np.lexsort((np.array(ids), moments))
        assert [ids[place] for place in order] == their_ids
        np.testing.assert_array_equal(here[order], there)
        np.testing.assert_array_equal(moments[order], their_moments)
    assert served.predictions(LATER, LATER + timedelta(hours=1)).is_empty()


def _numbers(scores: pl.Series) -> np.ndarray:
    return np.array(scores.to_list(), dtype=np.float64)


def test_more_rows_at_one_moment_than_a_request_takes(tmp_path: Path) -> None:
    """A replay asks, and is told the truth of, as many rows at a moment as there were."""
    server = LocalServer(tmp_path, ServerConfig(system=models.SYSTEM, port=0, max_rows=10))
    declared: Any = SimpleNamespace(
        labelled=SimpleNamespace(key=("id",), time="time", label="late"),
        model=SimpleNamespace(inputs=("distance", "carrier")),
        serve=SimpleNamespace(max_rows=10),
    )
    traffic = HttpTraffic(declared, cast(Target, server))
    server.start()
    try:
        made = models.bundle(Blobs(Layout(tmp_path).blobs), models.sigmoid([0.001, 0.5]))
        server.apply(models.routes(1, models.route("r1", made)))
        names = [f"row-{number}" for number in range(95)]
        rows = pl.DataFrame({"distance": [1.0] * 95, "carrier": ["AA"] * 95, ASKED_AT: [START] * 95})
        traffic.predict(rows, names)
        traffic.truth(names, [1] * 95, LATER)
        reader = TelemetryReader(Layout(tmp_path).telemetry, ("on time", "late"))
        reader.refresh()
        assert reader.predictions().filter(pl.col("label") == 1).sort("id")["id"].to_list() == sorted(names)
    finally:
        traffic.close()
        server.stop()
