"""New routes while requests are coming: none is dropped, and what cannot be loaded changes nothing."""

from __future__ import annotations

import time

import orjson
import pytest
from tests.serving import models
from tests.serving.callers import ROW, Load
from tests.serving.conftest import Make
from tests.serving.running import Running, receive_all, until

from trimtab.errors import PermanentError

REGRESSION = models.signature("regression", classes=())


def test_swaps_under_load_drop_nothing(make: Make) -> None:
    server = make()
    made = [models.bundle(server.blobs, models.linear([0.0, 0.0], float(number)), REGRESSION) for number in range(15)]
    server.route(models.route("r0", made[0]))
    applied = []
    with Load(server) as load:
        for number in range(1, 15):
            server.route(models.route(f"r{number}", made[number]))
            applied.append((time.monotonic(), float(number)))
            time.sleep(0.03)
    assert load.failures == []
    assert len(load.answers) > 200
    assert len({score for _, _, score in load.answers}) > 10
    for moment, number in applied:  # apply came back: what is asked from then on is answered by it, or by a later one
        assert all(score >= number for asked, _, score in load.answers if asked > moment)
    frame = server.reader().predictions()
    assert len(frame) == 2 * len(load.answers)
    assert all(frame["release"].str.strip_prefix("r").cast(float) == frame["score"])


def test_routes_that_cannot_be_served_change_nothing(make: Make) -> None:
    server = make()
    good = models.bundle(server.blobs, models.linear([0.0, 0.0], 7.0), REGRESSION)
    server.route(models.route("r1", good))
    missing = models.ModelBundle(onnx="ab" * 32, signature=REGRESSION)
    garbage = models.ModelBundle(onnx=server.blobs.put(b"not a model"), signature=REGRESSION)
    narrow = models.bundle(server.blobs, models.linear([1.0]), REGRESSION)
    bad_code = models.bundle(server.blobs, models.linear([0.0, 0.0]), REGRESSION, "import no_such_module\n")
    with Load(server) as load:
        for bundle, words in (
            (missing, "release r2"),
            (garbage, "release r2: the model cannot be loaded"),
            (narrow, "release r2: the model cannot be run"),
            (bad_code, "release r2: model cannot be imported"),
        ):
            with pytest.raises(PermanentError, match=words):
                server.route(models.route("r1", good), models.route("r2", bundle, "canary", 0.5))
        with pytest.raises(PermanentError, match="2 releases are live"):
            server.route(models.route("r1", good), models.route("r2", good))
    assert load.failures == []
    assert {score for _, _, score in load.answers} == {7.0}
    status = server.status()
    assert (status.applied, status.wanted) == (1, server.generation)
    assert "2 releases are live" in status.error
    assert "2 releases are live" in server.ask("GET", "/v2")[1]["error"]
    with server.client() as client:
        assert "trimtab_model_load_errors_total 5" in client.metrics()
    server.route(models.route("r3", good))
    status = server.status()
    assert (status.applied, status.error) == (server.generation, "")


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(60)\ndef features(rows):\n    return rows\n",
        "import time\ndef features(rows):\n    time.sleep(60)\n    return rows\n",
    ],
)
def test_a_release_that_hangs_as_it_is_loaded_is_given_up(make: Make, code: str) -> None:
    server = make(load_timeout=0.5)
    good = models.bundle(server.blobs, models.linear([0.0, 0.0], 7.0), REGRESSION)
    server.route(models.route("r1", good))
    hanging = models.bundle(server.blobs, models.linear([0.0, 0.0]), REGRESSION, code)
    with Load(server) as load:
        with pytest.raises(PermanentError, match=r"not loaded within 0\.5 s"):
            server.route(models.route("r2", hanging))
        server.route(models.route("r3", good))  # and others can be loaded
    assert load.failures == []
    assert {score for _, _, score in load.answers} == {7.0}
    server.local.stop()  # nor does it keep the server from ending
    assert server.local.pid is None


def test_a_routes_file_that_is_damaged_changes_nothing(running: Running) -> None:
    running.layout.routes.write_text("{half")
    until(lambda: running.status().error != "")
    assert "routes.json cannot be read" in running.status().error
    with running.client() as client:
        assert client.predict([ROW])[0].release == "r1"


def test_routes_of_another_system_are_refused(running: Running) -> None:
    theirs = models.routes(9, models.route("r9", models.bundle(running.blobs, models.sigmoid([1.0, 1.0]))))
    with pytest.raises(PermanentError, match="for system 'theirs'"):
        running.local.apply(type(theirs)(generation=9, system="theirs", routes=theirs.routes, written=theirs.written))


def test_without_a_release_the_server_is_not_ready(make: Make) -> None:
    server = make()
    assert server.ask("GET", "/v2/health/live")[0] == 200
    status, told = server.ask("GET", "/v2/health/ready")
    assert status == 503
    assert "no release has been routed" in told["error"]
    status, told = server.ask("POST", "/predict", [ROW])
    assert status == 503
    assert "no release has been routed" in told["error"]
    server.route()
    assert server.ask("GET", "/v2/health/ready")[0] == 503


def test_what_was_applied_is_served_again_after_a_restart(running: Running) -> None:
    with running.client() as client:
        before = client.predict([ROW])[0].score
    running.local.stop()
    running.start()
    running.wait_ready()
    with running.client() as client:
        assert client.predict([ROW])[0].score == before
        assert client.status().applied == 1


def test_after_a_restart_the_live_release_is_served_though_another_is_broken(running: Running) -> None:
    gone = models.ModelBundle(onnx="cd" * 32, signature=models.signature())
    good = models.bundle(running.blobs, models.sigmoid([1.0, 0.0]))
    running.local.stop()
    routes = models.routes(5, models.route("r1", good), models.route("r2", gone, "shadow"))
    running.layout.routes.write_bytes(models.encoded(routes))
    running.start()
    running.wait_ready()
    with running.client() as client:
        status = client.status()
        assert client.predict([ROW])[0].release == "r1"
    assert (status.applied, status.wanted, status.ready) == (-1, 5, True)
    assert "release r2" in status.error


@pytest.mark.parametrize("processes", [1, 2])
def test_who_asks_again_in_whatever_form_is_told_what_a_replaced_release_answered(make: Make, processes: int) -> None:
    server = make(processes=processes)
    graphs = [(models.linear([1.0, 0.0], bias), REGRESSION) for bias in (1.0, 9.0)]
    graphs += [(models.sigmoid([1.0, 0.0], bias), models.signature()) for bias in (1.0, 9.0)]
    made = [models.bundle(server.blobs, graph, signature) for graph, signature in graphs]
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 0.0]}
    forms: list[tuple[str, dict[str, object]]] = [
        ("/predict", {"rows": [ROW]}),
        ("/v2/models/flights/infer", {"inputs": [tensor]}),
        ("/v2/models/flights/infer", {"inputs": [tensor], "id": "x", "outputs": [{"name": "score"}]}),
        ("/v2/models/flights/infer", {"inputs": [tensor], "parameters": {"binary_data_output": True}}),
    ]

    def told() -> list[bytes]:
        found = []
        for number, (path, asked) in enumerate(forms):
            ids = [f"id-{number}"]
            body = asked | ({"ids": ids} if path == "/predict" else {})
            if path != "/predict":
                body["parameters"] = {"prediction_ids": ids} | body.get("parameters", {})  # type: ignore[operator]
            sent = orjson.dumps(body)
            head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            with server.connect() as sock:
                sock.sendall(head % (path.encode(), len(sent)) + sent)
                answer = receive_all(sock)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            found.append(answer.partition(b"\r\n\r\n")[2])
        return found

    for number in (0, 2):
        server.route(models.route(f"r{number}", made[number]))
        first = told()
        server.route(models.route("other", made[number + 1]))
        assert [told() for _ in range(4)] == [first] * 4
        forms = [(path, {"rows": [ROW | {"distance": 7.0}]} if path == "/predict" else asked) for path, asked in forms]
        tensor["data"] = [7.0, 0.0]
