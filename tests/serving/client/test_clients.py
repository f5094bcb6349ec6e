"""Both clients against a real server: every call, many callers at once, a server that dies under them."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.serving import models, pictures
from tests.serving.client.scripted import Scripted
from tests.serving.conftest import Make
from tests.serving.running import Running, several, until
from tests.serving.test_explaining import of_task

import trimtab
from trimtab import AsyncClient, Client, Truth
from trimtab.errors import PermanentError, TrimtabError
from trimtab.records.metric import Task
from trimtab.serving.client import calls, tensors

ROWS = [{"distance": 1000.0, "carrier": "DL"}, {"distance": None, "carrier": None}, {"distance": -3, "carrier": "x"}]
FRAME = pl.DataFrame(ROWS, strict=False)
MATRIX = np.array([[1000.0, 1.0], [np.nan, -1.0], [-3.0, -1.0]])

SLOW = """
import time
def features(rows):
    time.sleep(0.4 if (rows["distance"] > 5).any() else 0)
    return rows
"""


class Waiting:
    """The asynchronous client as a synchronous one, on a loop of its own."""

    def __init__(self, url: str, **settings: Any) -> None:
        self._runner = asyncio.Runner()
        self._runner.get_loop()
        self._client = AsyncClient(url, **settings)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self._runner.run(self._call(name, *args, **kwargs))

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        called: Coroutine[Any, Any, Any] = getattr(self._client, name)(*args, **kwargs)
        return called


both = pytest.mark.parametrize("kind", [Client, Waiting])


@both
def test_rows_frames_and_matrices_are_predicted_alike(shared: Running, kind: Any) -> None:
    with kind(shared.url) as client:
        plain, frame, matrix = (client.predict(rows) for rows in (ROWS, FRAME, MATRIX))
    assert [one.score for one in frame] == [one.score for one in plain]
    assert [one.score for one in matrix] == pytest.approx([one.score for one in plain], abs=1e-7)
    assert [one.label for one in plain] == [one.label for one in frame] == [one.label for one in matrix]
    assert {one.model for one in (*plain, *matrix)} == {"model-r1"}
    assert len({one.id for one in (*plain, *frame, *matrix)}) == 9


@both
def test_ids_and_moments_are_kept(running: Running, kind: Any) -> None:
    at = datetime(2013, 3, 1, 12, tzinfo=UTC)
    with kind(running.url) as client:
        client.predict(ROWS[:1], ["one"], at)
        client.predict(MATRIX[:2], ["two", "three"], [at, at])
        assert client.feedback([Truth("one", "late"), Truth("never", True, at)]) == ["never"]
    told = running.reader().predictions()
    assert set(told["id"]) == {"one", "two", "three"}
    assert set(told["at"]) == {at}
    assert told.filter(id="one")["label"].to_list() == [1.0]


@both
def test_tensors_go_in_and_come_out(shared: Running, kind: Any) -> None:
    inputs = {"distance": np.array([1000, -3], np.int32), "carrier": ["DL", "é"]}
    with kind(shared.url) as client:
        found = client.infer(inputs, ["i", "j"] if kind is Client else None)
        pinned = client.infer({"input": np.float32(MATRIX)}, model="r1")
        told = client.metadata()
        version = client.metadata("model-r1")
        with pytest.raises(TrimtabError, match="column 'carrier' is missing"):
            client.infer({"distance": [1.0]})
        with pytest.raises(PermanentError, match="no tensors of complex128"):
            client.infer({"distance": [1j]})
        with pytest.raises(PermanentError, match="'carrier': expected strings or bytes, got None"):
            client.infer({"carrier": np.array([None], object)})
    assert found.outputs["score"].dtype == np.float32
    assert found.outputs["score"].tolist() == pytest.approx([one.score for one in predictions(shared)], abs=1e-7)
    assert found.outputs["label"].tolist() == ["late", "on time"]
    assert found.outputs["prediction_id"].tolist() == found.ids
    assert (found.releases, found.model) == (["r1", "r1"], "model-r1")
    assert pinned.outputs["score"].shape == (3,)
    assert [one["name"] for one in told["inputs"]] == ["distance", "carrier"]
    assert version["versions"] == ["model-r1"]


def predictions(server: Running) -> list[trimtab.Prediction]:
    with server.client() as client:
        return client.predict([ROWS[0], ROWS[2]])


@both
def test_several_classes_and_canaries(make: Make, kind: Any) -> None:
    server = make()
    sig = models.signature("multiclass_classification", classes=("early", "on time", "late"))
    live, canary = (
        models.bundle(server.blobs, models.softmax([[0.0, 0.0, weight], [0.0, 1.0, 0.0]]), sig) for weight in (1.0, 2.0)
    )
    server.route(models.route("r1", live), models.route("r2", canary, "canary", 0.4))
    with kind(server.url) as client:
        found = client.predict(np.float32([[1.0, 0.0]] * 200))
        plain = client.predict([{"distance": 1.0, "carrier": "AA"}], [found[0].id])
    assert {one.release for one in found} == {"r1", "r2"}
    for one in found:
        assert one.label == "late"
        assert one.score[2] == pytest.approx(np.exp(2.0 if one.release == "r2" else 1.0) * one.score[0], rel=1e-5)
    assert plain[0].release == found[0].release


def test_a_server_that_is_killed_again_and_again_loses_no_request(running: Running) -> None:
    asked, errors = [], []

    def ask(kind: Any) -> None:
        with kind(running.url) as client:
            while not over.is_set():
                try:
                    asked.extend(one.id for one in client.predict(ROWS))
                except TrimtabError as error:
                    errors.append(error)

    over = threading.Event()
    callers = [threading.Thread(target=ask, args=(kind,)) for kind in (Client, Waiting) for _ in range(2)]
    for one in callers:
        one.start()
    for _ in range(3):
        wait_for_more(asked)
        running.kill()
        running.start()
    wait_for_more(asked)
    over.set()
    for one in callers:
        one.join()
    assert errors == []
    kept = running.reader().predictions()
    assert kept["id"].is_unique().all()
    assert set(asked) <= set(kept["id"])


def wait_for_more(asked: list[str]) -> None:
    enough = len(asked) + 30
    until(lambda: len(asked) > enough)


def test_threads_share_a_client(shared: Running) -> None:
    found: dict[int, list[float]] = {}
    with Client(shared.url, connections=4) as client:

        def ask(number: int) -> None:
            for _ in range(30):
                rows = [{"distance": float(number * 100), "carrier": "AA"}]
                found.setdefault(number, []).append(client.predict(rows)[0].score)  # type: ignore[arg-type]

        callers = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for one in callers:
            one.start()
        for one in callers:
            one.join()
        assert len(client._idle) <= 4
    assert all(len(set(scores)) == 1 and len(scores) == 30 for scores in found.values())
    assert len({scores[0] for scores in found.values()}) == 12


def test_many_at_once_on_few_connections(shared: Running) -> None:
    async def ask() -> list[list[trimtab.Prediction]]:
        async with AsyncClient(shared.url, connections=3) as client:
            rows = [[{"distance": float(number), "carrier": "AA"}] for number in range(300)]
            found = await asyncio.gather(*(client.predict(one) for one in rows))
            assert len(client._idle) <= 3
            return found

    scores = [one[0].score for one in asyncio.run(ask())]
    assert scores == sorted(scores)
    assert len(set(scores)) == 300


def test_who_gives_up_leaves_the_client_sound(shared: Running) -> None:
    async def ask() -> None:
        async with AsyncClient(shared.url, connections=2) as client:
            for _ in range(20):
                tasks = [asyncio.create_task(client.predict(ROWS)) for _ in range(6)]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                for one in tasks[::2]:
                    one.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
                assert all(len(one) == 3 for one in done[1::2])  # type: ignore[arg-type]

    asyncio.run(ask())


def test_the_token_comes_from_the_environment_unless_given(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    server = make("right", token_digest=hashlib.sha256(b"right").hexdigest())
    monkeypatch.setenv("TRIMTAB_TOKEN", "right\n")
    with Client(server.url) as client:
        assert client.status().system == models.SYSTEM
    with Client(server.url, "") as client, pytest.raises(TrimtabError, match="bearer token is required"):
        client.status()
    monkeypatch.delenv("TRIMTAB_TOKEN")
    with Client(server.url, "right") as client:
        assert "trimtab_requests_total" in client.metrics()


def test_rows_that_json_cannot_hold_are_named(shared: Running) -> None:
    with Client(shared.url) as client, pytest.raises(PermanentError, match="cannot be put into JSON"):
        client.predict([{"distance": 1.0, "carrier": object()}])


def test_what_is_exported_is_there_and_costs_nothing_before() -> None:
    assert {*trimtab.__all__} <= {*dir(trimtab)}
    for name in trimtab.__all__:
        assert getattr(trimtab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'client'"):
        trimtab.client  # noqa: B018
    code = (
        "import sys, trimtab.serving.client.sync; print(sorted({'numpy', 'polars', 'asyncio', 'ssl'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("task", ["binary_classification", "multiclass_classification", "regression"])
def test_answers_are_explained_when_that_is_asked(make: Make, task: Task) -> None:
    server = make(explain_time=5.0)
    server.route(models.route("r1", of_task(server.blobs, task)))
    for kind in (Client, Waiting):
        with kind(server.url) as client:
            plain = client.predict(ROWS[:2], explain=True)
            matrix = client.predict(np.float32([[1000.0, 1.0], [np.nan, -1.0]]), explain=True)
            found = client.infer({"input": np.float32([[1000.0, 1.0]])}, explain=True)
            assert client.predict(ROWS[:1])[0].explanation is None
        for one, other in zip(plain, matrix, strict=True):
            assert one.explanation == other.explanation
            assert one.explanation.method == "tree_shap"
        assert found.outputs["feature"].tolist() == ["distance", "carrier"]
        assert found.parameters["explanation_unit"] == plain[0].explanation.unit


def test_a_key_meets_one_release(make: Make) -> None:
    server = make()
    made = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))
    server.route(models.route("r1", made), models.route("r2", made, "canary", 0.5))
    for kind in (Client, Waiting):
        with kind(server.url) as client:
            for key in map(str, range(6)):
                met = [client.predict(rows, sticky=key) for rows in (ROWS, MATRIX, ROWS)]
                assert len({one.release for those in met for one in those}) == 1
                assert client.infer({"input": np.float32(MATRIX)}, sticky=key).releases[0] == met[0][0].release


def test_the_server_lets_go_what_nobody_waits_for(make: Make) -> None:
    server = make()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]), code=SLOW)))
    for kind in (Client, Waiting):
        with kind(server.url, timeout=0.2, patience=0.0) as client, pytest.raises(TrimtabError):
            client.predict([{"distance": 9.0, "carrier": "AA"}])
    with Client(server.url) as client:
        until(lambda: sum(not_run(client.metrics())) == 2)


def not_run(metrics: str) -> list[int]:
    found = re.findall(r'trimtab_requests_not_run_total{.*reason="(?:expired|cancelled)"} (\d+)', metrics)
    return [int(one) for one in found]


def test_one_of_several_systems_is_asked_by_its_name(tmp_path: Path) -> None:
    systems = {"flights": 1.0, "trains": -1.0}
    with several(tmp_path, {name: models.sigmoid([weight, 0.0]) for name, weight in systems.items()}) as url:
        for kind in (Client, Waiting):
            for name, weight in systems.items():
                with kind(url, system=name) as client:
                    (plain,) = client.predict([{"distance": 3.0, "carrier": "AA"}])
                    (matrix,) = client.predict(np.float32([[3.0, 0.0]]))
                    assert plain.release == matrix.release == f"{name}-1"
                    assert [plain.score, matrix.score] == pytest.approx([1 / (1 + np.exp(-3.0 * weight))] * 2)
                    assert client.feedback([Truth(plain.id, "late")]) == []
                    assert client.status().system == name
            with kind(url) as client:
                with pytest.raises(PermanentError, match="has several systems: flights, trains"):
                    client.metadata()
                with pytest.raises(TrimtabError, match="ask /predict/<system>") as caught:
                    client.predict(ROWS)
                assert "flights, trains" in str(caught.value)


def test_pictures_are_sent_as_they_are(make: Make) -> None:
    server = make()
    server.route(pictures.route("p1", pictures.colours(server.blobs)))
    png = pictures.PNG + b"\0\0"  # what follows a picture does no harm, and must not be lost either
    for kind in (Client, Waiting):
        with kind(server.url) as client:
            (row,) = client.predict([{"image": png}])
            files = client.infer({"image": [png, pictures.PNG]})
            pixels = client.infer({"image": pictures.TENSOR})
            with pytest.raises(PermanentError, match="predict takes rows, or a matrix"):
                client.predict(pictures.TENSOR)
        assert row.score == pytest.approx(pictures.chances(), abs=1e-4)
        assert row.outputs == {"pixels": 3 * 32 * 48}
        assert row.label == pixels.outputs["label"][0]
        assert files.outputs["score"].tolist() == [pytest.approx(row.score, abs=1e-6)] * 2
        assert pixels.outputs["score"][0].tolist() == pytest.approx(row.score, abs=1e-6)
        assert pixels.outputs["pixels"].tolist() == [3 * 32 * 48]


def test_zeros_at_the_end_of_bytes_are_kept() -> None:
    call = tensors.infer("s", {"x": [b"a\0\0", "b\0"]}, None, None, calls.Terms(1.0))
    assert call.body.endswith(b"\x03\0\0\0a\0\0\x02\0\0\0b\0")


@both
def test_what_is_sent_again_is_answered_alike_and_counted_once(running: Running, kind: Any) -> None:
    """The server answers, the connection breaks before the answer is through, the client asks again."""
    lost = iter((True, True, False))

    def passes(sock: socket.socket, request: bytes) -> bool:
        with running.connect() as behind:
            behind.sendall(request)
            answer = behind.recv(65_536)
        if next(lost):
            return False
        sock.sendall(answer)
        return True

    with Scripted(passes) as between, kind(between.url) as client:
        answers = client.predict(ROWS)
    assert len(between.asked) == 3
    with Client(running.url) as client:
        (release,) = client.status().releases
        assert release.answered == 3
        assert "trimtab_repeated_rows_total 6" in client.metrics()
        assert client.predict(ROWS, [one.id for one in answers]) == answers
    reader = running.reader()
    assert reader.duplicates == 0
    kept = reader.predictions()
    assert dict(zip(kept["id"], kept["score"], strict=True)) == pytest.approx({one.id: one.score for one in answers})
