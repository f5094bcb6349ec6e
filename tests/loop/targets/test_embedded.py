"""Serving in the process: the same routing, scores, windows and truth as the server, on known little models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.execution.inside import Inside, told

from trimtab.loop.past.history import ASKED_AT
from trimtab.loop.targets.embedded import EmbeddedServing
from trimtab.records.blobs import Blobs
from trimtab.records.model import Routes
from trimtab.serving.routing.shares import Shares

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Serving = Callable[..., EmbeddedServing]


def asked(numbers: list[int], hours: list[float] | None = None) -> tuple[pl.DataFrame, list[str]]:
    """Rows and ids; each row is asked for at its own hour (its number, where none is given)."""
    when = [START + HOUR * h for h in (hours if hours is not None else numbers)]
    rows = pl.DataFrame(
        {
            "distance": [float(n) / 10 for n in numbers],
            "carrier": ["AA" if n % 3 else None for n in numbers],
            ASKED_AT: pl.Series(when, dtype=pl.Datetime("us", "UTC")),
        }
    )
    return rows, [f"row-{n}" for n in numbers]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """Serves r1 live, and whatever else is named, by models whose scores are known."""
    blobs = Blobs(tmp_path)

    def made(*others: tuple[str, str, float], canary_by: str = "") -> EmbeddedServing:
        weights = {"r1": [0.1, 0.0], "r2": [-0.1, 0.0], "r3": [0.0, 1.0]}
        bundles = {name: models.bundle(blobs, models.sigmoid(w)) for name, w in weights.items()}
        share = 1.0 - sum(weight for *_, weight in others)
        routes = [models.route("r1", bundles["r1"], "live", share)]
        routes += [models.route(name, bundles[name], stage, weight) for name, stage, weight in others]
        built = EmbeddedServing(blobs)
        built.apply(msgspec.structs.replace(models.routes(1, *routes), canary_by=canary_by))
        return built

    return made


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_scores_are_the_models(serving: Serving) -> None:
    there = serving(("r2", "shadow", 0.0))
    there.predict(*asked([0, 10, 20, 30]))
    found = there.predictions(START, START + 40 * HOUR).sort("release", "id")
    assert found["release"].to_list() == ["r1"] * 4 + ["r2"] * 4
    assert found["model"].unique().sort().to_list() == ["model-r1", "model-r2"]
    assert found["stage"].to_list() == ["live"] * 4 + ["shadow"] * 4
    wanted = [sigmoid(sign * n / 100) for sign in (1, -1) for n in (0, 10, 20, 30)]
    np.testing.assert_allclose(found["score"].to_numpy(), wanted, rtol=1e-6)
    assert found["label"].null_count() == found["truth_at"].null_count() == 8


def test_before_routes_nothing_is_answered(tmp_path: Path) -> None:
    empty = EmbeddedServing(Blobs(tmp_path))
    empty.predict(*asked([1, 2]))
    assert empty.generation() == 0
    found = empty.predictions(START, START + 99 * HOUR)
    assert found.is_empty()
    assert set(found.columns) == {
        "id",
        "at",
        "release",
        "model",
        "stage",
        "generation",
        "score",
        "label",
        "truth_at",
        "latency",
    }
    matrix, ids, moments = empty.matrix("r1", START, START + 99 * HOUR)
    assert (matrix.size, ids, len(moments)) == (0, [], 0)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(0, 100_000), unique=True, min_size=1, max_size=40),
    weight=st.sampled_from([0.05, 0.3, 0.5, 0.9]),
    cut=st.integers(0, 40),
)
def test_a_row_is_answered_by_whom_the_server_would_pick(
    serving: Serving, numbers: list[int], weight: float, cut: int
) -> None:
    """However the rows are portioned out, and once each; whoever is in shadow scores them all."""
    there = serving(("r2", "canary", weight), ("r3", "shadow", 0.0))
    for part in (numbers[:cut], numbers[cut:]):
        if part:
            there.predict(*asked(part, [0.0] * len(part)))
    found = there.predictions(START, START + HOUR)
    by = dict(found.filter(pl.col("stage") != "shadow").select("id", "release").rows())
    shares = Shares([weight])
    assert by == {f"row-{n}": ("r2", "r1")[shares.pick(f"row-{n}")] for n in numbers}
    assert sorted(found.filter(pl.col("release") == "r3")["id"].to_list()) == sorted(f"row-{n}" for n in numbers)
    assert found.height == 2 * len(numbers)


@pytest.mark.parametrize("column", ["carrier", "distance"])
def test_a_column_shares_out_the_traffic_as_in_the_server(
    serving: Serving, column: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same rows, ids and routes through a real server's batcher."""
    numbers = list(range(60))
    there = serving(("r2", "canary", 0.4), canary_by=column)
    rows, ids = asked(numbers, [0.0] * len(numbers))
    there.predict(rows, ids)
    offline = dict(there.predictions(START, START + HOUR).select("id", "release").rows())

    async def online() -> list[str]:
        inside = Inside(tmp_path_factory.mktemp("inside"))
        made = models.bundle(inside.blobs, models.sigmoid([0.1, 0.0]))
        inside.route(models.route("r1", made), models.route("r2", made, "canary", 0.4), canary_by=column)
        caller = inside.ask(rows.drop(ASKED_AT).to_dicts(), ids)
        await told([caller])
        inside.close()
        return caller.releases

    answered = asyncio.run(online())
    assert offline == dict(zip(ids, answered, strict=True))
    assert set(answered) == {"r1", "r2"}
    known = [(row[column], release) for row, release in zip(rows.to_dicts(), answered, strict=True) if row[column]]
    assert len(set(known)) == len({value for value, _ in known})  # one value, one release


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hours=st.lists(st.integers(0, 30), min_size=1, max_size=30).map(sorted),
    window=st.tuples(st.integers(0, 32), st.integers(0, 32)),
    size=st.integers(1, 7),
)
def test_windows_hold_exactly_what_was_asked_in_them(
    serving: Serving, hours: list[int], window: tuple[int, int], size: int
) -> None:
    """[since, until), whatever the chunks that the rows came in; the matrix is in the order of its ids."""
    there = serving()
    for begin in range(0, len(hours), size):
        part = list(range(begin, min(begin + size, len(hours))))
        there.predict(*asked(part, [float(hours[n]) for n in part]))
    since, until = (START + HOUR * hour for hour in window)
    inside = [n for n, hour in enumerate(hours) if window[0] <= hour < window[1]]
    found = there.predictions(since, until)
    assert found["id"].to_list() == [f"row-{n}" for n in inside]
    assert found["at"].to_list() == [START + HOUR * hours[n] for n in inside]
    matrix, ids, moments = there.matrix("r1", since, until)
    assert ids == [f"row-{n}" for n in inside]
    if inside:
        np.testing.assert_allclose(matrix[:, 0], [n / 10 for n in inside], rtol=1e-6)
        assert matrix[:, 1].tolist() == [0.0 if n % 3 else -1.0 for n in inside]
        assert (moments / 3.6e9).tolist() == [(START.timestamp() / 3600 + hours[n]) for n in inside]
    assert there.matrix("r2", since, until)[1] == []


def test_truth_reaches_everyone_who_scored_the_row_and_no_other(serving: Serving) -> None:
    there = serving(("r2", "shadow", 0.0))
    there.predict(*asked([1, 2, 3]))
    later = START + 9 * HOUR
    there.truth(["row-2", "row-3", "nobody"], [1.0, 0.0, 1.0], later)
    found = there.predictions(START, later).sort("release", "id")
    assert found["label"].to_list() == [None, 1.0, 0.0] * 2
    assert found["truth_at"].to_list() == [None, later, later] * 2


def test_a_swap_is_in_force_from_the_next_row_on(serving: Serving, tmp_path: Path) -> None:
    there = serving()
    there.predict(*asked([1]))
    bundle = models.bundle(Blobs(tmp_path), models.sigmoid([-0.1, 0.0]))
    routes: Routes = models.routes(2, models.route("r9", bundle, "live", 1.0))
    there.apply(routes)
    there.apply(routes)
    there.predict(*asked([2]))
    assert there.generation() == 2
    assert there.predictions(START, START + 9 * HOUR).sort("at")["release"].to_list() == ["r1", "r9"]
