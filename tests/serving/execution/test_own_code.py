"""The user's own code: on micro-batches, in threads, its time counted, its failures with the row they are about."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.serving import models
from tests.serving.running import Running

from trimtab.errors import TrimtabError

CODE = """
import threading, time
import polars as pl

def features(rows):
    if threading.current_thread() is threading.main_thread():
        raise RuntimeError("on the event loop")
    time.sleep(0.02)
    if (rows["distance"] < 0).any():
        raise ValueError("a negative distance")
    if (rows["distance"] == 666).sum() == 1 and rows.height == 4:
        raise ValueError("only together")
    return rows.with_columns(pl.col("distance") + (rows.height - rows.height))
"""


@pytest.fixture
def server(make) -> Running:
    running: Running = make()
    running.route(models.route("r1", models.bundle(running.blobs, models.sigmoid([0.001, 0.5]), code=CODE)))
    return running


def statistics(server: Running) -> dict[str, dict[str, int]]:
    _, told = server.ask("GET", f"/v2/models/{models.SYSTEM}/stats")
    stats: dict[str, dict[str, int]] = told["model_stats"][0]
    return stats


def test_it_runs_on_batches_in_threads_and_its_time_is_counted(server):
    assert server.ask("POST", "/predict", [{"distance": 1.0, "carrier": "AA"}])[0] == 200
    before = statistics(server)
    with ThreadPoolExecutor(24) as pool:
        answers = list(
            pool.map(lambda n: server.ask("POST", "/predict", [{"distance": float(n), "carrier": "AA"}]), range(96))
        )
    assert [status for status, _ in answers] == [200] * 96
    after = statistics(server)
    runs = after["execution_count"] - before["execution_count"]
    assert after["inference_count"] - before["inference_count"] == 96
    assert runs < 60  # several requests shared one
    spent = after["inference_stats"]["compute_input"]["ns"] - before["inference_stats"]["compute_input"]["ns"]
    assert 0.02e9 * runs <= spent <= 0.2e9 * runs
    model = after["inference_stats"]["compute_infer"]["ns"] - before["inference_stats"]["compute_infer"]["ns"]
    assert 0 < model < spent / 5


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_the_row_it_fails_for_is_named(server, bad):
    rows = [{"distance": -1.0 if place == bad else 1.0, "carrier": "AA"} for place in range(7)]
    status, told = server.ask("POST", "/predict", rows)
    assert status == 500
    assert f"row {bad}: features(rows) raised ValueError: a negative distance" in told["error"]


def test_a_failure_of_no_single_row_names_none(server):
    rows = [{"distance": 666.0 if place == 1 else 1.0, "carrier": "AA"} for place in range(4)]
    status, told = server.ask("POST", "/predict", rows)
    assert status == 500
    assert "could not answer: features(rows) raised ValueError: only together" in told["error"]


def test_one_request_that_fails_spoils_nothing_for_others(server):
    def ask(number: int) -> int:
        distance = -1.0 if number % 5 == 0 else 1.0
        return server.ask("POST", "/predict", [{"distance": distance, "carrier": "AA"}])[0]

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(ask, range(40)))
    assert statuses == [500 if number % 5 == 0 else 200 for number in range(40)]


ENDS = {
    "sys.exit": "import sys; sys.exit(3)",
    "a panic": "import polars as pl; raise pl.exceptions.PanicException('out of bounds')",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_code_that_would_end_the_process_fails_and_nothing_more(server, end):
    """As it is imported, as it is warmed up, and for a row of a caller: the server goes on, and no thread is lost."""
    pid = server.local.pid
    for code in (end + "\ndef features(rows):\n    return rows", "def features(rows):\n    return rows\n" + end):
        made = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]), code=code)
        with pytest.raises(TrimtabError, match="release r2: model cannot be imported"):
            server.route(models.route("r2", made))
    code = f"def features(rows):\n    if (rows['distance'] > 5).any():\n        {end}\n    return rows"
    made = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]), code=code)
    server.route(models.route("r3", made), models.route("r4", made, "shadow"))
    for _ in range(6):
        status, told = server.ask("POST", "/predict", [{"distance": 9.0, "carrier": "AA"}])
        assert (status, "features(rows) raised" in told["error"]) == (500, True), told
        assert server.ask("POST", "/predict", [{"distance": 1.0, "carrier": "AA"}])[0] == 200
    assert server.local.pid == pid


def test_what_costs_the_same_for_one_row_and_for_many_is_asked_for_many(make):
    """Also after a while of single requests; a model that answers 20 rows a second by themselves answers far more."""
    server = make(max_wait=0.5)
    code = "import time\ndef features(rows):\n    time.sleep(0.06)\n    return rows"
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]), code=code)))
    rows = [{"distance": 1.0, "carrier": "AA"}]
    assert [server.ask("POST", "/predict", rows)[0] for _ in range(25)] == [200] * 25
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: server.ask("POST", "/predict", rows)[0], range(160)))
    assert answers == [200] * 160
    assert server.status().releases[0].execution.largest >= 64
