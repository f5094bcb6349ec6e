"""Features that a caller leaves out are found by the server, as of the row's own moment, however they are asked."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest
from tests.serving import models
from tests.serving.batches import ask, read, written
from tests.serving.running import Running, until

from trimtab.inference.lookup.port import View
from trimtab.inference.lookup.snapshot import FeatureSnapshot
from trimtab.records.model import Column, Feature

INPUTS = (
    Column(name="distance", kind="number"),
    Column(name="carrier", kind="category"),
    Column(name="wind", kind="number"),
    Column(name="sky", kind="category"),
)
FEATURES = (
    Feature(name="distance", kind="number"),
    Feature(name="carrier", kind="category", vocabulary=("AA", "DL", "UA")),
    Feature(name="wind", kind="number"),
    Feature(name="sky", kind="category", vocabulary=("blue", "grey")),
)
WEIGHTS = [0.001, 0.5, 0.1, 0.25]
NOW = datetime.now(UTC)


def micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def weather(hours: float = 2.0) -> View:
    since = micros(NOW - timedelta(days=2))
    return View(name="weather", entity=("origin",), columns=("wind", "sky", "rain"), ttl=hours * 3600, since=since)


def chance(distance: float, carrier: float, wind: float, sky: float) -> float:
    total = sum(w * x for w, x in zip(WEIGHTS, (distance, carrier, wind, sky), strict=True))
    return 1 / (1 + math.exp(-total))


@pytest.fixture
def server(tmp_path):
    running = Running(tmp_path / "state")
    running.snapshot = FeatureSnapshot(running.layout.features)
    rows = [
        (("EWR",), micros(NOW - timedelta(hours=3)), (10.0, "blue", 0.0)),
        (("EWR",), micros(NOW - timedelta(minutes=30)), (20.0, "grey", 0.0)),
        (("JFK",), micros(NOW - timedelta(hours=5)), (30.0, "grey", 0.0)),
    ]
    running.snapshot.publish(weather(), "1", rows)
    running.start()
    sig = models.signature(inputs=INPUTS, features=FEATURES)
    running.route(models.route("r1", models.bundle(running.blobs, models.sigmoid(WEIGHTS), sig)))
    until(lambda: "looked_up" in running.ask("GET", f"/v2/models/{models.SYSTEM}")[1].get("parameters", {}))
    yield running
    running.snapshot.close()
    running.local.stop()


def scores(answer) -> list[float]:
    status, told = answer
    assert status == 200, told
    return [one["score"] for one in told["predictions"]]


def test_what_is_left_out_is_found(server):
    rows = [
        {"distance": 100, "carrier": "DL", "origin": "EWR"},
        {"distance": 100, "carrier": "DL", "origin": "JFK"},  # older than the view's life
        {"distance": 100, "carrier": "DL", "origin": "LGA"},  # nothing is known
        {"distance": 100, "carrier": "DL", "wind": 1.0, "sky": "blue"},  # sent, and kept
    ]
    found = scores(server.ask("POST", "/predict", rows))
    none = chance(100, 1, 0, -1)
    assert found == pytest.approx([chance(100, 1, 20, 1), none, none, chance(100, 1, 1, 0)], abs=1e-5)
    text = metrics(server)
    for kind in ("fresh", "stale", "missing"):
        assert f'trimtab_looked_up_rows_total{{view="weather",found="{kind}"}} 1' in text


def metrics(server) -> str:
    import http.client
    from urllib.parse import urlsplit

    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_rows_are_completed_as_of_their_own_moments(server):
    row = {"distance": 0, "carrier": "AA", "origin": "EWR"}
    times = [NOW - timedelta(hours=2), NOW - timedelta(minutes=40), NOW - timedelta(minutes=10)]
    told = server.ask("POST", "/predict", {"rows": [row] * 3, "time": [moment.isoformat() for moment in times]})
    assert scores(told) == pytest.approx([chance(0, 0, 10, 0), chance(0, 0, 0, -1), chance(0, 0, 20, 1)], abs=1e-5)
    early = (NOW - timedelta(days=3)).isoformat()
    status, told = server.ask("POST", "/predict", {"rows": [row], "time": early})
    assert status == 422
    assert "view 'weather' remembers what was known from" in told["error"]


def test_columns_of_the_protocol_may_be_left_out_too(server):
    def tensor(name: str, datatype: str, data: list[object]) -> dict[str, object]:
        return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}

    inputs = [
        tensor("distance", "FP64", [100.0]),
        tensor("carrier", "BYTES", ["DL"]),
        tensor("origin", "BYTES", ["EWR"]),
    ]
    infer = f"/v2/models/{models.SYSTEM}/infer"
    status, told = server.ask("POST", infer, {"inputs": inputs})
    assert status == 200, told
    assert told["outputs"][0]["data"] == pytest.approx([chance(100, 1, 20, 1)], abs=1e-5)
    status, told = server.ask("POST", infer, {"inputs": inputs[1:]})
    assert (status, told["error"]) == (422, "column 'distance' is missing")
    status, told = server.ask("POST", infer, {"inputs": inputs[:2]})
    assert status == 422
    assert "column 'origin' is missing, by which the features of view 'weather' are looked up" in told["error"]


def test_what_is_missing_beyond_the_view_is_still_named(server):
    status, told = server.ask("POST", "/predict", [{"distance": 1, "origin": "EWR"}])
    assert status == 422
    assert "carrier" in told["error"]
    status, told = server.ask("POST", "/predict", [{"distance": 1, "carrier": "AA", "wind": 3.0, "origin": "EWR"}])
    assert status == 422
    status, told = server.ask("POST", "/predict", [{"distance": 1, "carrier": "AA"}])
    assert "column 'origin' is missing, by which" in told["error"]


def test_metadata_says_what_need_not_be_sent(server):
    _, told = server.ask("GET", f"/v2/models/{models.SYSTEM}")
    expected = {"view": "weather", "by": ["origin"], "gives": ["wind", "sky"], "ttl": 7200.0}
    assert told["parameters"]["looked_up"] == [expected]


def test_a_new_publication_is_seen_by_the_next_request(server):
    row = {"distance": 0, "carrier": "AA", "origin": "EWR"}
    assert scores(server.ask("POST", "/predict", [row])) == pytest.approx([chance(0, 0, 20, 1)], abs=1e-5)
    server.snapshot.publish(weather(), "2", [(("EWR",), micros(NOW), (7.0, "blue", 0.0))])
    assert scores(server.ask("POST", "/predict", [row])) == pytest.approx([chance(0, 0, 7, 0)], abs=1e-5)


def test_telemetry_keeps_what_was_found(server):
    server.ask("POST", "/predict", {"rows": [{"distance": 5, "carrier": "UA", "origin": "EWR"}], "ids": ["x"]})
    with server.client() as client:
        client.settle()
    kept = server.reader().features(None, None, "r1")
    assert kept.ids == ["x"]
    assert kept.matrix.tolist() == [[5.0, 2.0, 20.0, 1.0]]


def test_canary_and_shadow_see_the_same_features(server):
    code = "import polars as pl\ndef features(rows): return rows.with_columns(wind=pl.col('wind') * 2)\n"
    sig = models.signature(inputs=INPUTS, features=FEATURES)
    own = models.bundle(server.blobs, models.sigmoid(WEIGHTS), sig, code=code)
    plain = models.bundle(server.blobs, models.sigmoid(WEIGHTS), sig)
    server.route(
        models.route("live", plain), models.route("canary", own, "canary", 0.5), models.route("shadow", own, "shadow")
    )
    until(lambda: len(server.status().releases) == 3)
    rows = [{"distance": 0, "carrier": "AA", "origin": "EWR"}] * 60
    _, told = server.ask("POST", "/predict", rows)
    by_release = {one["release"]: one["score"] for one in told["predictions"]}
    assert by_release["live"] == pytest.approx(chance(0, 0, 20, 1), abs=1e-5)
    assert by_release["canary"] == pytest.approx(chance(0, 0, 40, 1), abs=1e-5)
    with server.client() as client:
        client.settle()
    found = server.reader().predictions(None, None)
    shadow = found.filter(found["stage"] == "shadow")
    assert shadow.height == 60
    assert shadow["score"].to_list() == pytest.approx([chance(0, 0, 40, 1)] * 60, abs=1e-5)


def test_a_store_in_trouble_refuses_what_needs_it_and_nothing_else(server):
    server.snapshot.close()
    for path in server.layout.features.parent.glob("features.db*"):
        path.write_bytes(b"no database at all" * 1000)
    whole = {"distance": 0, "carrier": "AA", "wind": 1.0, "sky": "blue"}
    left = {"distance": 0, "carrier": "AA", "origin": "EWR"}
    deadline = time.monotonic() + 5
    while True:
        status, told = server.ask("POST", "/predict", [left])
        if status == 503 or time.monotonic() > deadline:
            break
    assert status == 503
    assert "cannot be used now" in told["error"]
    assert server.ask("POST", "/predict", [whole])[0] == 200


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet", "arrow"])
def test_what_a_file_leaves_out_is_found(server, form):
    ago = [timedelta(minutes=1), timedelta(hours=2, minutes=50), timedelta(minutes=1)]
    given = pl.DataFrame(
        {
            "distance": [100.0, 100.0, 100.0],
            "carrier": ["DL", "DL", "UA"],
            "origin": ["EWR", "EWR", "LGA"],
            "at": [NOW - one for one in ago],
        }
    )
    status, data, _ = ask(server, form, written(form, given), "ndjson", "?time=at")
    assert status == 200, data
    answers = read("ndjson", data)
    expected = [chance(100, 1, 20, 1), chance(100, 1, 10, 0), chance(100, 2, 0, -1)]
    assert [one["score"] for one in answers] == pytest.approx(expected, abs=1e-6)


def test_rows_of_a_file_may_differ_in_what_they_leave_out(server):
    rows = [
        {"distance": 100, "carrier": "DL", "origin": "EWR"},
        {"distance": 100, "carrier": "DL", "wind": 1.0, "sky": "blue"},
        {"distance": "far", "carrier": "DL", "origin": "EWR"},
        {"carrier": "DL", "origin": "EWR"},
    ]
    status, data, _ = ask(server, "ndjson", b"\n".join(map(orjson.dumps, rows)))
    assert status == 200
    answers = read("ndjson", data)
    assert [one.get("score") for one in answers[:2]] == pytest.approx(
        [chance(100, 1, 20, 1), chance(100, 1, 1.0, 0)], abs=1e-6
    )
    assert answers[2]["error"] == "column 'distance' expected a number or null, got 'far'"
    assert answers[3]["error"] == "column 'distance' is missing"


def test_the_document_tells_what_need_not_be_sent(server):
    told = server.ask("GET", "/openapi.json")[1]["components"]["schemas"]["Row"]
    assert told["required"] == ["distance", "carrier"]
    assert told["properties"]["wind"]["description"] == "looked up where it is left out"
    assert "origin" in told["properties"]
