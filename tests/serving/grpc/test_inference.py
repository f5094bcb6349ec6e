"""The protocol over gRPC against a real server: the same answers as over HTTP."""

from __future__ import annotations

import math

import grpc
import numpy as np
import orjson
import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller, columns, encoded, typed
from tests.serving.running import Running

from trimtab.serving.open_inference.binary import unpack


def expected(distance: float, code: float) -> float:
    return 1 / (1 + math.exp(-(0.001 * distance + 0.5 * code)))


SCORES = [expected(1000.0, 1), expected(-2000, -1)]


def test_health_and_metadata(server: Running, call: Caller) -> None:
    assert call("ServerLive").live
    assert call("ServerReady").ready
    assert call("ModelReady", name="flights").ready
    assert call("ModelReady", name="flights", version="model-r1").ready
    assert not call("ModelReady", name="flights", version="none").ready
    told = call("ServerMetadata")
    over_http = server.ask("GET", "/v2")[1]
    assert (told.name, told.version) == (over_http["name"], over_http["version"])
    assert list(told.extensions) == over_http["extensions"]
    model = call("ModelMetadata", name="flights")
    said = server.ask("GET", "/v2/models/flights")[1]
    assert (model.name, list(model.versions), model.platform) == (said["name"], said["versions"], said["platform"])
    for here, there in ((model.inputs, said["inputs"]), (model.outputs, said["outputs"])):
        assert [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in here] == there


@pytest.mark.parametrize("raw", [False, True])
def test_columns_are_scored_and_answered_in_the_form_they_came(call: Caller, raw: bool) -> None:
    asked = call.request("flights", *columns([1000.0, -2000.0], ["DL", "ZZ"], raw=raw), raw=raw, id="call-7")
    told = call("ModelInfer", asked)
    assert (told.model_name, told.model_version, told.id) == ("flights", "model-r1", "call-7")
    assert told.parameters["release"].string_param == "r1"
    assert [(one.name, one.datatype, list(one.shape)) for one in told.outputs] == [
        ("score", "FP32", [2]),
        ("label", "BYTES", [2]),
        ("prediction_id", "BYTES", [2]),
    ]
    if raw:
        assert not any(one.HasField("contents") for one in told.outputs)
        found = [
            unpack(part, one.datatype, 2, one.name)
            for part, one in zip(told.raw_output_contents, told.outputs, strict=True)
        ]
    else:
        assert not told.raw_output_contents
        found = list(typed(told).values())
    assert found[0] == pytest.approx(SCORES, abs=1e-6)
    assert found[1] == [b"late", b"on time"]
    assert len(set(found[2])) == 2
    assert all(len(name) == 36 for name in found[2])


def test_encoded_rows_score_as_they_do_over_http(server: Running, call: Caller) -> None:
    rows = np.random.default_rng(7).normal(size=(200, 2)).astype(np.float32)
    told = call("ModelInfer", call.request("flights", encoded(rows), raw=True))
    tensor = {"name": "input", "datatype": "FP32", "shape": [200, 2], "data": rows.ravel().tolist()}
    over_http = server.ask("POST", "/v2/models/flights/infer", {"inputs": [tensor]})[1]["outputs"][0]["data"]
    assert np.frombuffer(told.raw_output_contents[0], "<f4").tolist() == np.float32(over_http).tolist()


def test_outputs_versions_and_numbers_of_other_types_can_be_chosen(call: Caller) -> None:
    asked = call.request(
        "flights",
        ("distance", "INT64", [1, 1], [1000]),
        ("carrier", "BYTES", [1], [b"DL"]),
        model_version="model-r1",
        outputs=[{"name": "score"}],
    )
    assert typed(call("ModelInfer", asked)) == {"score": [pytest.approx(SCORES[0], abs=1e-6)]}


def test_ids_and_moments_are_the_callers_when_given(server: Running, call: Caller) -> None:
    one = columns([1.0], ["AA"], raw=False)
    bare = {"prediction_ids": "bare", "time": "2013-03-01T12:00:00+00:00"}
    assert typed(call("ModelInfer", call.request("flights", *one, parameters=bare)))["prediction_id"] == [b"bare"]
    two = columns([1.0, 2.0], ["AA", "AA"], raw=False)
    listed = {
        "prediction_ids": '["one", "two"]',
        "time": '["2013-03-01T13:00:00+00:00", "2013-03-01T14:00:00+00:00"]',
    }
    answer = typed(call("ModelInfer", call.request("flights", *two, parameters=listed)))
    assert answer["prediction_id"] == [b"one", b"two"]
    hours = {row["id"]: row["at"].hour for row in server.reader().predictions().iter_rows(named=True)}
    assert [hours[name] for name in ("bare", "one", "two")] == [12, 13, 14]


def test_a_stream_answers_in_order_and_goes_on_after_a_refusal(call: Caller) -> None:
    def requests():
        for number in range(100):
            carrier = "input" if number == 50 else "carrier"
            yield call.request(
                "flights",
                ("distance", "FP64", [1], [float(number)]),
                (carrier, "BYTES", [1], [b"DL"]),
                id=f"call-{number}",
            )

    told = list(call.stream(requests()))
    assert [one.infer_response.id for one in told] == [f"call-{number}" for number in range(100)]
    assert [one.error_message for one in told if one.error_message] == [
        "unknown column 'input' (the model takes distance, carrier)"
    ]
    scores = [typed(one.infer_response)["score"][0] for one in told if not one.error_message]
    assert scores == pytest.approx([expected(number, 1) for number in range(100) if number != 50], abs=1e-6)


def test_regression_several_classes_and_numbered_labels(make: Make) -> None:
    server = make(grpc_port=0)
    cases = [
        (models.linear([2.0, 1.0], 3.0), models.signature("regression", classes=()), ["score", "prediction_id"]),
        (models.sigmoid([1.0, 1.0]), models.signature(classes=()), ["score", "label", "prediction_id"]),
        (
            models.softmax([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
            models.signature("multiclass_classification", classes=("early", "on time", "late")),
            ["score", "label", "prediction_id"],
        ),
    ]
    answers = []
    with Caller(server.grpc) as call:
        for number, (graph, signature, outputs) in enumerate(cases):
            server.route(models.route(f"r{number}", models.bundle(server.blobs, graph, signature)))
            told = call("ModelInfer", call.request("flights", encoded([[5.0, 0.0], [-5.0, 2.0]]), raw=True))
            assert [one.name for one in told.outputs] == outputs
            answers.append(told)
    regression, binary, several = answers
    assert np.frombuffer(regression.raw_output_contents[0], "<f4").tolist() == [13.0, -5.0]
    assert binary.outputs[1].datatype == "INT64"
    assert np.frombuffer(binary.raw_output_contents[1], "<i8").tolist() == [1, 0]
    assert list(several.outputs[0].shape) == [2, 3]
    assert np.frombuffer(several.raw_output_contents[0], "<f4").reshape(2, 3).sum(axis=1) == pytest.approx([1, 1])
    assert unpack(several.raw_output_contents[1], "BYTES", 2, "label") == [b"late", b"on time"]


def test_canaries_answer_their_share_and_are_named(make: Make) -> None:
    server = make(grpc_port=0)
    live, canary = (models.bundle(server.blobs, models.sigmoid([weight, 0.0])) for weight in (1.0, -1.0))
    server.route(models.route("r1", live), models.route("r2", canary, "canary", 0.3))
    with Caller(server.grpc) as call:
        told = call("ModelInfer", call.request("flights", encoded([[1.0, 0.0]] * 500), raw=True))
        pinned = call("ModelInfer", call.request("flights", encoded([[1.0, 0.0]]), raw=True, model_version="r2"))
    releases = orjson.loads(told.parameters["releases"].string_param)
    scores = np.frombuffer(told.raw_output_contents[0], "<f4")
    assert {"r1", "r2"} == set(releases)
    assert [name == "r1" for name in releases] == (scores > 0.5).tolist()
    assert 0.2 < releases.count("r2") / 500 < 0.4
    assert pinned.parameters["release"].string_param == "r2"


def test_repository_and_statistics_tell_what_was_done(make: Make) -> None:
    server = make(grpc_port=0)
    with Caller(server.grpc) as call:
        (nothing,) = call("RepositoryIndex").models
        assert (nothing.name, nothing.version, nothing.state) == ("flights", "", "UNAVAILABLE")
        assert "no release has been routed" in nothing.reason
        assert not call("ServerReady").ready
        made = models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))
        server.route(models.route("r1", made), models.route("r2", made, "shadow"))
        index = call("RepositoryIndex").models
        assert [(one.version, one.state) for one in index] == [("model-r1", "READY"), ("model-r2", "UNAVAILABLE")]
        assert [one.version for one in call("RepositoryIndex", ready=True).models] == ["model-r1"]
        for _ in range(3):
            call("ModelInfer", call.request("flights", encoded([[1.0, 0.0]] * 5), raw=True))
        live, shadow = call("ModelStatistics", name="flights").model_stats
        assert (live.version, live.inference_count, live.execution_count) == ("model-r1", 15, 3)
        assert live.inference_stats.success.count == 3
        assert live.inference_stats.success.ns > 0
        assert live.last_inference > 1_600_000_000_000
        assert (shadow.version, shadow.inference_count) == ("model-r2", 0)
        assert [one.version for one in call("ModelStatistics", name="flights", version="r2").model_stats] == [
            "model-r2"
        ]
        with pytest.raises(grpc.RpcError, match="'none' is not routed"):
            call("ModelStatistics", name="flights", version="none")
