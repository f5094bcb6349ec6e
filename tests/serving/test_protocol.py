"""The Open Inference Protocol and the plain way to ask, against a real server."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.running import Running

from trimtab.records.model import Column, Feature
from trimtab.serving.client.answers import Truth

MODEL = f"/v2/models/{models.SYSTEM}"
ROWS = [
    {"distance": 1000.0, "carrier": "DL"},
    {"distance": None, "carrier": "ZZ"},
    {"distance": -2000, "carrier": None},
]


def expected(distance: float | None, code: float) -> float:
    return 1 / (1 + math.exp(-(0.001 * (distance or 0.0) + 0.5 * code)))


SCORES = [expected(1000.0, 1), expected(None, -1), expected(-2000, -1)]


def test_server_and_health(shared: Running) -> None:
    status, told = shared.ask("GET", "/v2")
    assert status == 200
    assert told["name"] == "trimtab"
    assert told["system"] == models.SYSTEM
    assert shared.ask("GET", "/v2/health/live") == (200, {"live": True})
    assert shared.ask("GET", "/v2/health/ready") == (200, {"ready": True})
    assert shared.ask("GET", "/v2/models/flights/ready") == (200, {"name": "flights", "ready": True})


def test_metadata_of_a_server_without_trouble_tells_no_error(shared: Running) -> None:
    for path in ("/v2", "/v2/models/flights"):
        assert "error" not in shared.ask("GET", path)[1]


def test_metadata_names_the_columns_and_outputs(shared: Running) -> None:
    status, told = shared.ask("GET", "/v2/models/flights")
    assert status == 200
    assert told["inputs"] == [
        {"name": "distance", "datatype": "FP64", "shape": [-1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [(one["name"], one["datatype"]) for one in told["outputs"]] == [
        ("score", "FP32"),
        ("label", "BYTES"),
        ("prediction_id", "BYTES"),
    ]
    assert told["versions"] == ["model-r1"]


def test_the_server_tells_what_it_offers(shared: Running) -> None:
    status, told = shared.ask("GET", "/v2/")
    assert status == 200
    assert told["extensions"] == ["binary_tensor_data", "model_repository", "parameters", "statistics"]
    for path, words in [
        ("/v2/logging", "the logging extension is not offered"),
        ("/v2/trace/setting", "the trace extension is not offered"),
        ("/v2/models/flights/trace/setting", "the trace extension is not offered"),
        ("/v2/models/flights/versions/model-r1/config", "the model configuration extension is not offered"),
        ("/v2/systemsharedmemory/status", "shared memory is not offered"),
        ("/v2/models/flights/nothing", "no such call of a model: 'nothing'"),
    ]:
        status, told = shared.ask("GET", path)
        assert (status, words in told["error"]) == (404, True), told


def test_the_repository_is_told_and_not_moved(shared: Running) -> None:
    entry = {"name": "flights", "version": "model-r1", "state": "READY", "reason": ""}
    assert shared.ask("POST", "/v2/repository/index", {}) == (200, [entry])
    assert shared.ask("POST", "/v2/repository/index", b"") == (200, [entry])
    assert shared.ask("POST", "/v2/repository/index", {"ready": True}) == (200, [entry])
    status, told = shared.ask("POST", "/v2/repository/index", {"ready": "yes"})
    assert (status, "`ready`" in told["error"]) == (422, True)
    for verb in ("load", "unload"):
        status, told = shared.ask("POST", f"/v2/repository/models/flights/{verb}", {})
        assert (status, "the loop moves releases" in told["error"]) == (403, True)
        assert shared.ask("POST", f"/v2/repository/models/other/{verb}", {})[0] == 404


def test_statistics_count_what_was_asked(running: Running) -> None:
    tensor = {"name": "input", "datatype": "FP32", "shape": [3, 2], "data": [0.0] * 6}
    for _ in range(2):
        assert running.ask("POST", "/v2/models/flights/infer", {"inputs": [tensor]})[0] == 200
    for path in ("/v2/models/stats", "/v2/models/flights/stats", "/v2/models/flights/versions/model-r1/stats"):
        status, told = running.ask("GET", path)
        assert status == 200
        (one,) = told["model_stats"]
        assert (one["name"], one["version"]) == ("flights", "model-r1")
        assert (one["inference_count"], one["execution_count"]) == (6, 2)
        assert one["inference_stats"]["success"]["count"] == 2
        spent = {name: told["ns"] for name, told in one["inference_stats"].items()}
        assert {told["count"] for name, told in one["inference_stats"].items() if name != "fail"} == {2}
        parts = ("queue", "compute_input", "compute_infer", "compute_output")
        assert spent["success"] == pytest.approx(sum(spent[name] for name in parts), abs=10)
        assert min(spent["queue"], spent["compute_infer"], spent["compute_output"]) > 0
        (batch,) = one["batch_stats"]
        assert (batch["batch_size"], batch["compute_infer"]["count"]) == (3, 2)
        assert batch["compute_infer"]["ns"] == pytest.approx(spent["compute_infer"], abs=10)
        assert one["last_inference"] == pytest.approx(datetime.now(UTC).timestamp() * 1000, abs=10_000)


def test_rows_are_scored_and_decided(shared: Running) -> None:
    with shared.client() as client:
        answers = client.predict(ROWS)
    assert [one.score for one in answers] == pytest.approx(SCORES, abs=1e-6)
    assert [one.label for one in answers] == ["late" if score >= 0.5 else "on time" for score in SCORES]
    assert {one.release for one in answers} == {"r1"}
    assert len({one.id for one in answers}) == 3


def test_columns_and_encoded_rows_give_the_same_scores(shared: Running) -> None:
    columns = [
        {"name": "distance", "datatype": "FP64", "shape": [3], "data": [1000.0, None, -2000]},
        {"name": "carrier", "datatype": "BYTES", "shape": [3, 1], "data": ["DL", "ZZ", None]},
    ]
    rows = {"name": "input", "datatype": "FP32", "shape": [3, 2], "data": [[1000.0, 1.0], [0.0, -1.0], [-2000.0, -1.0]]}
    by_column, encoded = (
        {one["name"]: one["data"] for one in shared.ask("POST", f"{MODEL}/infer", {"inputs": inputs})[1]["outputs"]}
        for inputs in (columns, [rows])
    )
    assert by_column["score"] == pytest.approx(SCORES, abs=1e-6)
    assert encoded["score"] == by_column["score"]
    assert encoded["label"] == by_column["label"]
    assert len(set(by_column["prediction_id"])) == 3


def test_one_row_answers_as_the_protocol_says(shared: Running) -> None:
    body = {
        "id": "call-7",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [[1000.0, 1.0]]}],
        "parameters": {"prediction_ids": ['with "quotes" é']},
    }
    status, told = shared.ask("POST", "/v2/models/flights/infer", body)
    assert status == 200
    assert told["id"] == "call-7"
    assert (told["model_name"], told["model_version"]) == ("flights", "model-r1")
    assert told["parameters"]["prediction_ids"] == ['with "quotes" é']
    assert told["parameters"]["release"] == "r1"
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["outputs"]] == [
        ("score", "FP32", [1]),
        ("label", "BYTES", [1]),
        ("prediction_id", "BYTES", [1]),
    ]
    assert told["outputs"][0]["data"] == pytest.approx([SCORES[0]], abs=1e-6)


def test_outputs_can_be_chosen(shared: Running) -> None:
    tensor = {"name": "input", "datatype": "FP32", "shape": [2, 2], "data": [1, 1, None, 0]}
    status, told = shared.ask("POST", "/v2/models/flights/infer", {"inputs": [tensor], "outputs": [{"name": "label"}]})
    assert status == 200
    assert [one["name"] for one in told["outputs"]] == ["label"]
    assert told["outputs"][0]["shape"] == [2]


def test_a_version_can_be_asked_for(shared: Running) -> None:
    with shared.client() as client:
        answer = client.infer({"distance": [1000.0], "carrier": ["DL"]}, model="model-r1")
    assert answer.outputs["score"] == pytest.approx(SCORES[:1], abs=1e-6)
    assert shared.ask("GET", "/v2/models/flights/versions/model-r1/ready")[0] == 200
    assert shared.ask("GET", "/v2/models/flights/versions/model-r1")[1]["versions"] == ["model-r1"]
    status, told = shared.ask("POST", "/v2/models/flights/versions/none/infer", {"inputs": []})
    assert status == 404
    assert "'none' is neither live nor canary" in told["error"]


def test_ids_are_ordered_by_time_and_unique(shared: Running) -> None:
    with shared.client() as client:
        tensors = [{"name": "input", "datatype": "FP32", "shape": [50, 2], "data": [0.0] * 100}]
        ids = [
            name
            for _ in range(20)
            for name in shared.ask("POST", "/v2/models/flights/infer", {"inputs": tensors})[1]["parameters"][
                "prediction_ids"
            ]
        ]
        client.close()
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert all(len(name) == 36 and name[14] == "7" for name in ids)


def test_telemetry_holds_what_was_answered(running: Running) -> None:
    at = datetime(2013, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)
    with running.client() as client:
        answers = client.predict(ROWS, ["a", "b", "c"], at)
        later = client.predict(ROWS[:2], ["d", "e"], [at + timedelta(hours=1), at - timedelta(hours=1)])
    reader = running.reader()
    frame = reader.predictions()
    assert frame["id"].to_list() == ["e", "a", "b", "c", "d"]
    assert frame["at"].to_list() == [at - timedelta(hours=1), at, at, at, at + timedelta(hours=1)]
    assert frame.filter(frame["id"].is_in(["a", "b", "c"]))["score"].to_list() == pytest.approx(
        [one.score for one in answers]
    )
    assert later[0].score == answers[0].score
    assert frame["stage"].unique().to_list() == ["live"]
    assert frame["model"].unique().to_list() == ["model-r1"]
    assert frame["generation"].unique().to_list() == [1]
    assert frame["latency"].min() > 0  # type: ignore[operator]
    matrix, ids, *_ = reader.features(at, at + timedelta(seconds=1), "r1")
    assert ids == ["a", "b", "c"]
    assert matrix[0].tolist() == [1000.0, 1.0]
    assert math.isnan(matrix[1, 0])
    assert reader.predictions(at, at)["id"].to_list() == []


def test_regression_has_no_label(make: Make) -> None:
    server = make()
    made = models.bundle(server.blobs, models.linear([2.0, 1.0], 3.0), models.signature("regression", classes=()))
    server.route(models.route("r1", made))
    with server.client() as client:
        (answer,) = client.predict([{"distance": 4.0, "carrier": "UA"}])
        assert (answer.score, answer.label) == (13.0, None)
        assert client.infer({"input": np.float32([[1.0, 0.0]])}).outputs.keys() == {"score", "prediction_id"}
        assert client.feedback([Truth(answer.id, 12.5)]) == []
    assert [one["name"] for one in server.ask("GET", "/v2/models/flights")[1]["outputs"]] == ["score", "prediction_id"]
    assert server.reader().predictions().filter(id=answer.id)["label"].to_list() == [12.5]


def test_several_classes_have_a_score_each(make: Make) -> None:
    server = make()
    classes = ("early", "on time", "late")
    graph = models.softmax([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    made = models.bundle(server.blobs, graph, models.signature("multiclass_classification", classes=classes))
    server.route(models.route("r1", made))
    with server.client() as client:
        answers = client.predict([{"distance": 5.0, "carrier": "AA"}, {"distance": -5.0, "carrier": "UA"}])
        assert [one.label for one in answers] == ["late", "on time"]
        assert all(sum(one.score) == pytest.approx(1.0, abs=1e-6) for one in answers)  # type: ignore[arg-type]
        outputs = client.infer({"input": np.float32([[5.0, 0.0], [0.0, 5.0]])}).outputs
        assert outputs["label"].tolist() == ["late", "on time"]
        assert outputs["score"].shape == (2, 3)
        client.feedback([Truth(answers[0].id, "early")])
    reader = server.reader()
    assert reader.predictions().filter(id=answers[0].id)["label"].to_list() == [0.0]
    matrix, _ = reader.scores(None, None, "r1")
    assert matrix.shape == (4, 3)


def test_features_of_the_users_own_are_applied(make: Make) -> None:
    server = make()
    code = (
        "import polars as pl\n"
        "def features(rows):\n"
        "    return rows.select(hour=pl.col('at').dt.hour().cast(pl.Float64), far=pl.col('distance') > 500)\n"
    )
    inputs = (Column(name="at", kind="time"), Column(name="distance", kind="number"))
    made_of = (
        Feature(name="hour", kind="number"),
        Feature(name="far", kind="category", vocabulary=("false", "true")),
    )
    sig = models.signature("regression", inputs, made_of, classes=())
    server.route(models.route("r1", models.bundle(server.blobs, models.linear([1.0, 100.0]), sig, code)))
    rows = [
        {"at": "2013-05-01T07:00:00+00:00", "distance": 100},
        {"at": "2013-05-01T07:00:00-05:00", "distance": 900},
    ]
    with server.client() as client:
        assert [one.score for one in client.predict(rows)] == [7.0, 112.0]
    status, told = server.ask("POST", "/predict", [{"at": "yesterday", "distance": 1}])
    assert status == 422
    assert "row 0, column 'at'" in told["error"]
    matrix = server.reader().features(None, None, "r1").matrix
    assert sorted(matrix.tolist()) == [[7.0, 0.0], [12.0, 1.0]]
