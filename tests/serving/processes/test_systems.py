"""Several systems in one server: told apart by name, each with its own state, and no trouble of one is another's."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.callers import Load
from tests.serving.processes.company import ROW
from tests.serving.running import Running, until

from trimtab.errors import PermanentError, TemporaryError
from trimtab.records.model import ModelBundle, Routes
from trimtab.records.server import ServerConfig
from trimtab.serving.client.answers import AnswerError, Truth
from trimtab.serving.client.sync import Client
from trimtab.serving.config import write_config

Serve = Callable[..., "Pair"]


class Pair:
    """One server for two systems, `flights` and `trains`."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.flights, self.trains = (
            Running(
                root / name,
                ServerConfig(**({"system": name, "port": 0} | settings)),  # type: ignore[arg-type]
            )
            for name in ("flights", "trains")
        )
        for one in self.both:
            write_config(one.layout.serve_config, one.local.config)
        self.process: subprocess.Popen[bytes]

    @property
    def both(self) -> tuple[Running, Running]:
        return self.flights, self.trains

    def start(self) -> Pair:
        roots = [word for one in self.both for word in ("--state", str(one.layout.root))]
        log = self.flights.local.log
        with log.open("ab") as file:
            command = [sys.executable, "-m", "trimtab.serving", *roots]
            self.process = subprocess.Popen(command, stderr=file, start_new_session=True)
        until(lambda: self.flights.local.pid == self.process.pid or self.process.poll() is not None)
        return self

    def route(self, one: Running, release: str, bundle: ModelBundle) -> None:
        one.generation += 1
        system = one.local.config.system
        made = models.routes(one.generation, models.route(release, bundle))
        one.local.apply(Routes(generation=made.generation, system=system, routes=made.routes, written=made.written))

    def client(self, one: Running, **more: object) -> Client:
        return Client(self.flights.url, system=one.local.config.system, **more)  # type: ignore[arg-type]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    made: list[Pair] = []

    def one(**settings: object) -> Pair:
        made.append(Pair(tmp_path / f"pair-{len(made)}", **settings).start())
        for place, weight in zip(made[-1].both, (0.001, 0.002), strict=True):
            made[-1].route(place, "r1", models.bundle(place.blobs, models.sigmoid([weight, 0.5])))
        return made[-1]

    yield one
    for pair in made:
        pair.stop()


@pytest.mark.parametrize("processes", [1, 2])
def test_each_answers_under_its_name(serve: Serve, processes: int) -> None:
    pair = serve(processes=processes)
    scores = {}
    for one in pair.both:
        name = one.local.config.system
        with pair.client(one) as client:
            told = client.predict([ROW] * 2, ["a", "b"])  # ids are each system's own
            scores[name] = told[0].score
            assert client.feedback([Truth("a", "late"), Truth("nobody", "late")]) == ["nobody"]
            assert (client.status().system, client.status().known) == (name, 2)
            assert client.metadata()["name"] == name
            client.settle()
        assert pair.flights.ask("GET", f"/v2/models/{name}/ready")[0] == 200
        assert one.reader().predictions()["id"].to_list() == ["a", "b"]
    assert scores["flights"] != scores["trains"]
    status, told = pair.flights.ask("POST", "/predict", [ROW])
    assert status == 404
    assert told["hint"] == "this server has several systems: ask /predict/<system>, of flights, trains"
    for path, error, hint in (
        ("/predict/ships", "no such system: 'ships'", "this server serves flights, trains"),
        ("/ships", "no such address: /ships", "`GET /openapi.json/<system>` lists them all, of flights, trains"),
    ):
        status, told = pair.flights.ask("POST", path, [ROW])
        assert (status, told["error"], told["hint"]) == (404, error, hint)
    assert pair.flights.ask("POST", "/v2/models/ships/infer", {})[0] == 404
    assert pair.flights.ask("GET", "/v2/health/ready")[0] == 200
    assert pair.flights.ask("GET", "/v2")[1]["systems"] == ["flights", "trains"]
    names = [one["name"] for one in pair.flights.ask("POST", "/v2/repository/index", {})[1]]  # type: ignore[index]
    assert names == ["flights", "trains"]
    counts = {
        one["name"]: one["inference_count"] for one in pair.flights.ask("GET", "/v2/models/stats")[1]["model_stats"]
    }
    assert counts == {"flights": 2, "trains": 2}
    with pair.client(pair.flights) as client:
        text = client.metrics()
    for name in scores:
        assert re.search(rf'^trimtab_rows_total{{release="r1",stage="live",system="{name}"}} 2$', text, re.MULTILINE)
    assert len(re.findall(r"^trimtab_connections", text, re.MULTILINE)) == processes
    with Client(pair.flights.url) as client, pytest.raises(PermanentError, match="several systems: flights, trains"):
        client.infer({"distance": [1.0]})


def test_each_moves_its_releases_alone(serve: Serve) -> None:
    pair = serve()
    sig = models.signature("regression", classes=())
    with Load(pair.flights, callers=1, system="flights") as load:
        for number in range(5):
            bundle = models.bundle(pair.trains.blobs, models.linear([0.0, 0.0], float(number)), sig)
            pair.route(pair.trains, f"t{number}", bundle)
        missing = ModelBundle(onnx="ab" * 32, signature=sig)
        with pytest.raises(PermanentError, match="release t9"):
            pair.route(pair.trains, "t9", missing)
        pair.trains.layout.routes.write_text("{half")
        until(lambda: "routes.json cannot be read" in (pair.trains.local.status() or pytest.fail("gone")).error)
    assert load.failures == []
    assert len({score for _, _, score in load.answers}) == 1
    with pair.client(pair.trains) as client:
        assert client.predict([ROW])[0].score == 4.0
    assert pair.flights.local.status().error == ""  # type: ignore[union-attr]


def test_the_trouble_of_one_is_not_the_others(serve: Serve) -> None:
    """A model that fails, and a disk that takes nothing more."""
    pair = serve()
    pair.route(pair.trains, "bad", models.bundle(pair.trains.blobs, models.broken(2)))
    heavy = {"distance": 1000.0, "carrier": "AA"}
    with pair.client(pair.trains, patience=0.0) as trains, pair.client(pair.flights, patience=0.0) as flights:
        with pytest.raises(AnswerError, match="release bad could not answer"):
            trains.predict([heavy])
        assert flights.predict([heavy])[0].release == "r1"
    pair.stop()
    for path in (folder := pair.trains.layout.telemetry).iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("no room here")
    pair.start()
    with pair.client(pair.trains, patience=0.0) as trains, pair.client(pair.flights) as flights:
        assert flights.predict([heavy])[0].release == "r1"
        with pytest.raises(TemporaryError, match=r"system 'trains' is not served: .* cannot be used"):
            trains.predict([ROW])
        status, told = pair.flights.ask("GET", "/v2/health/ready")
        assert (status, "trains" in told["error"]) == (503, True)
        folder.unlink()
        trains.patience = 15.0
        assert trains.predict([ROW])[0].release == "bad"  # it was tried again, and goes on
        assert flights.status().ready


def test_each_has_its_own_tokens(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    for one, token in zip(pair.both, ("wings", "rails"), strict=True):
        config = ServerConfig(
            system=one.local.config.system, port=0, token_digest=hashlib.sha256(token.encode()).hexdigest()
        )
        write_config(one.layout.serve_config, config)
    pair.start()
    try:
        for place in pair.both:
            pair.route(place, "r1", models.bundle(place.blobs, models.sigmoid([0.1, 0.5])))
        for one, own, other in ((pair.flights, "wings", "rails"), (pair.trains, "rails", "wings")):
            with pair.client(one, token=own) as client:
                client.predict([ROW])
            with pair.client(one, token=other) as client, pytest.raises(AnswerError, match="not known here"):
                client.predict([ROW])
        with pair.flights.connect() as sock:  # one connection, both systems, each with its own token
            for system, token, expected in (
                ("flights", "wings", b"200"), ("trains", "rails", b"200"), ("trains", "wings", b"401"),
                ("flights", "rails", b"401"), ("flights", "wings", b"200"),
            ):  # fmt: skip
                sock.sendall(
                    b'POST /predict/%b HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: 33\r\n\r\n'
                    b'[{"distance":1.0,"carrier":"AA"}]' % (system.encode(), token.encode())
                )  # fmt: skip
                assert sock.recv(10_000).split(b" ", 2)[1] == expected
    finally:
        pair.stop()


def test_one_that_runs_with_others_is_used_and_left_running(serve: Serve) -> None:
    pair = serve()
    again = Running(pair.trains.layout.root, pair.trains.local.config)
    again.local.start()
    assert again.local.pid == pair.process.pid
    assert (again.local.status() or pytest.fail("gone")).system == "trains"
    again.local.stop()
    assert pair.process.poll() is None
    os.kill(pair.process.pid, 0)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    write_config(pair.trains.layout.serve_config, ServerConfig(system="flights", port=0))
    pair.start()
    assert pair.process.wait(10) == 1
    assert "error: two of the systems are named 'flights'" in pair.flights.local.log.read_text()
