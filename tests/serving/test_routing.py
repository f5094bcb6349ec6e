"""Which release answers: shares, stickiness, fall-back, and shadows that nobody notices."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import models
from tests.serving.conftest import Make

from trimtab.errors import PermanentError
from trimtab.records.model import Column, Feature
from trimtab.serving.client.answers import Truth
from trimtab.serving.routing.releases import check_routes
from trimtab.serving.routing.shares import BUCKETS, Shares, bucket

ROW = {"distance": 1.0, "carrier": "AA"}
weights = st.lists(st.floats(0.0, 0.3), max_size=3)


@given(st.text(min_size=1, max_size=200))
def test_a_bucket_is_a_fixed_place(name: str) -> None:
    assert 0 <= bucket(name) < BUCKETS
    assert bucket(name) == bucket(str(name))


def test_buckets_are_the_same_for_ever() -> None:
    """A change here would move predictions between releases in the middle of a canary."""
    assert [bucket(name) for name in ("a", "b", "flight-1", "é")] == [2928, 7668, 5964, 9963]


@given(weights, st.text(min_size=1))
def test_a_row_goes_where_its_bucket_says(shares: list[float], name: str) -> None:
    ends, total = [], 0.0
    for weight in shares:
        total += weight
        ends.append(round(total * BUCKETS))
    expected = next((place for place, end in enumerate(ends) if bucket(name) < end), len(shares))
    assert Shares(shares).pick(name) == expected


@given(weights, st.lists(st.text(min_size=1), max_size=50))
def test_a_split_holds_every_row_once(shares: list[float], names: list[str]) -> None:
    parts = Shares(shares).split(names)
    assert sorted(place for part in parts for place in part) == list(range(len(names)))


def test_buckets_are_even() -> None:
    counts = [0] * 10
    for number in range(20_000):
        counts[bucket(f"flight-{number}") // 1000] += 1
    assert all(abs(count - 2000) < 200 for count in counts)  # 4.7 standard deviations


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([("a", "live", 0), ("b", "live", 0)], "2 releases are live"),
        ([("a", "shadow", 0)], "0 releases are live"),
        ([("a", "live", 0), ("a", "shadow", 0)], "a is routed twice"),
        ([("a", "live", 0), ("b", "canary", 1.5)], "not shares"),
        ([("a", "live", 0), ("b", "canary", 0.6), ("c", "canary", 0.6)], "not shares"),
    ],
)
def test_impossible_routes_are_refused(stages: list[tuple[str, str, float]], words: str) -> None:
    made = models.ModelBundle(onnx="0" * 64, signature=models.signature())
    with pytest.raises(PermanentError, match=words):
        check_routes(models.routes(1, *[models.route(name, made, stage, weight) for name, stage, weight in stages]))


@pytest.mark.parametrize("column", ["airline", "departure"])
def test_traffic_is_shared_out_by_an_input_column_or_not_at_all(column: str) -> None:
    inputs = (*models.INPUTS, Column(name="departure", kind="time"))
    made = models.ModelBundle(onnx="0" * 64, signature=models.signature(inputs=inputs))
    wanted = models.routes(1, models.route("r1", made))
    check_routes(msgspec.structs.replace(wanted, canary_by="carrier"))
    with pytest.raises(PermanentError, match=f"r1 has no input column '{column}' to share out the traffic by"):
        check_routes(msgspec.structs.replace(wanted, canary_by=column))


def test_a_canary_answers_its_share_and_always_the_same_rows(make: Make) -> None:
    server = make()
    live, other = models.sigmoid([1.0, 0.0]), models.sigmoid([-1.0, 0.0])
    server.route(
        models.route("r1", models.bundle(server.blobs, live)),
        models.route("r2", models.bundle(server.blobs, other), "canary", 0.3),
    )
    ids = [f"flight-{number}" for number in range(2000)]
    with server.client() as client:
        first = [one for start in range(0, 2000, 100) for one in client.predict([ROW] * 100, ids[start : start + 100])]
        again = [one for name in ids[:200] for one in client.predict([ROW], [name])]
    assert [one.release for one in first] == ["r2" if bucket(name) < 3000 else "r1" for name in ids]
    assert 0.25 < sum(one.release == "r2" for one in first) / 2000 < 0.35
    assert [one.release for one in again] == [one.release for one in first[:200]]
    assert all((one.score > 0.5) == (one.release == "r1") for one in first)  # type: ignore[operator]
    frame = server.reader().predictions()
    assert len(frame) == 2000
    assert dict(zip(frame["id"], frame["release"], strict=True)) == {one.id: one.release for one in first}
    assert set(frame.filter(release="r2")["stage"]) == {"canary"}


def test_a_canary_of_another_encoding_scores_rows_its_own_way(make: Make) -> None:
    server = make()
    reversed_ = (
        Feature(name="distance", kind="number"),
        Feature(name="carrier", kind="category", vocabulary=("UA", "AA")),
    )
    sig = models.signature("regression", features=reversed_, classes=())
    usual = models.signature("regression", classes=())
    server.route(
        models.route("r1", models.bundle(server.blobs, models.linear([0.0, 1.0]), usual)),
        models.route("r2", models.bundle(server.blobs, models.linear([0.0, 1.0]), sig), "canary", 0.5),
    )
    with server.client() as client:
        answers = client.predict([{"distance": 0.0, "carrier": "UA"}] * 50)
        assert {(one.release, one.score) for one in answers} == {("r1", 2.0), ("r2", 0.0)}
        encoded = client.predict(np.float32([[0.0, 2.0]] * 50))  # only the live release can read these
        assert {one.score for one in encoded} == {2.0}


def test_a_canary_that_fails_leaves_its_rows_to_the_live_release(make: Make) -> None:
    server = make()
    sig = models.signature("regression", classes=())
    server.route(
        models.route("r1", models.bundle(server.blobs, models.linear([1.0, 0.0]), sig)),
        models.route("r2", models.bundle(server.blobs, models.broken(2), sig), "canary", 0.5),
    )
    with server.client() as client:
        answers = client.predict([{"distance": 1000.0, "carrier": "AA"}] * 40)
        assert [one.score for one in answers] == [1000.0] * 40
        assert {one.release for one in answers} == {"r1"}
        status = {one.release: one for one in client.status().releases}
    assert status["r2"].failed > 5
    assert status["r1"].answered == 40
    failures = server.reader().failures()
    assert failures["release"].to_list() == ["r2"]
    assert failures["rows"].sum() == status["r2"].failed
    assert "for row" in failures["error"][0]


def test_a_live_release_that_fails_says_so_and_spoils_no_other(make: Make) -> None:
    server = make()
    sig = models.signature("regression", classes=())
    server.route(models.route("r1", models.bundle(server.blobs, models.broken(2), sig)))
    assert server.ask("POST", "/predict", [{"distance": 0.0, "carrier": "AA"}])[1]["predictions"][0]["score"] == 10.0
    status, told = server.ask(
        "POST", "/predict", [{"distance": 0.0, "carrier": "AA"}, {"distance": 1e3, "carrier": "AA"}]
    )
    assert status == 500
    assert "release r1 could not answer: the model gave" in told["error"]
    assert server.reader().failures()["rows"].to_list() == [2]
    assert len(server.reader().predictions()) == 1


def test_what_was_null_is_named_where_a_model_gave_no_number_for_it(make: Make) -> None:
    server = make()
    sig = models.signature("regression", classes=())
    server.route(models.route("r1", models.bundle(server.blobs, models.linear([1.0, 0.0]), sig)))
    status, told = server.ask("POST", "/predict", [ROW, {"distance": None, "carrier": "AA"}])
    assert status == 500
    assert told["error"] == "release r1 could not answer: the model gave nan for row 1, where 'distance' is null"
    assert "SimpleImputer" in told["hint"]
    assert server.reader().failures()["rows"].to_list() == [2]  # a model that takes no nulls is to be known for it


def test_a_shadow_scores_the_same_rows_and_is_never_noticed(make: Make) -> None:
    server = make()
    code = "import time\ndef features(rows):\n    time.sleep(0.3)\n    return rows\n"
    live = models.bundle(server.blobs, models.sigmoid([1.0, 0.0]))
    slow = models.bundle(server.blobs, models.sigmoid([-1.0, 0.0]), code=code)
    failing = models.bundle(
        server.blobs, models.sigmoid([1.0, 0.0]), code="def features(rows):\n    raise OSError('no')\n"
    )
    server.route(models.route("r1", live))
    with server.client() as client:
        alone = [client.predict([ROW] * 5, [f"alone-{turn}-{row}" for row in range(5)]) for turn in range(4)]
        server.route(
            models.route("r1", live), models.route("r2", slow, "shadow"), models.route("r3", failing, "shadow")
        )
        watched = [client.predict([ROW] * 5, [f"watched-{turn}-{row}" for row in range(5)]) for turn in range(4)]
        client.feedback([Truth("watched-0-0", "late")])  # before the shadow has scored it
        client.settle()
        status = {one.release: one for one in client.status().releases}
    assert [[one.score for one in turn] for turn in watched] == [[one.score for one in turn] for turn in alone]
    reader = server.reader()
    frame = reader.predictions()
    assert frame.filter(stage="live")["latency"].max() < 0.2  # type: ignore[operator]
    assert sorted(frame.filter(release="r2")["id"]) == sorted(one.id for turn in watched for one in turn)
    assert set(frame.filter(release="r2")["stage"]) == {"shadow"}
    assert (status["r2"].shadowed, status["r2"].failed) == (20, 0)
    assert (status["r3"].shadowed, status["r3"].failed) == (0, 20)
    assert reader.failures()["error"].unique().to_list() == ["features(rows) raised OSError: no"]
    told = frame.filter(id="watched-0-0").sort("release")
    assert told["label"].to_list() == [1.0, 1.0]


def test_encoded_rows_go_to_shadows_that_can_read_them(make: Make) -> None:
    server = make()
    one = models.signature(
        "regression", (Column(name="distance", kind="number"),), (Feature(name="distance", kind="number"),), ()
    )
    two = models.signature("regression", classes=())
    server.route(
        models.route("r1", models.bundle(server.blobs, models.linear([1.0, 0.0]), two)),
        models.route("r2", models.bundle(server.blobs, models.linear([3.0]), one), "shadow"),
        models.route("r3", models.bundle(server.blobs, models.linear([2.0, 0.0]), two), "shadow"),
    )
    with server.client() as client:
        client.predict(np.float32([[5.0, 0.0]]), ["x"])
        client.settle()
    frame = server.reader().predictions()
    assert dict(zip(frame["release"], frame["score"], strict=True)) == {"r1": 5.0, "r3": 10.0}


@pytest.mark.parametrize("path", ["/predict", "/v2/models/flights/infer"])
def test_a_number_beyond_those_of_the_model_is_the_callers_fault(make: Make, path: str) -> None:
    """It is refused, and not counted against the release; where only a canary cannot take it, the live one answers."""
    server = make()
    signature = models.signature("regression", classes=())
    linear = models.bundle(server.blobs, models.linear([1.0, 0.5]), signature)
    server.route(models.route("r1", linear))
    huge: Any = [{"distance": 1e300, "carrier": "AA"}]
    if path != "/predict":
        huge = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1e39, 0]}]}
    status, told = server.ask("POST", path, huge)
    assert (status, told["error"]) == (
        422, "row 0: 'distance' is no finite number, or beyond what the model's numbers hold",
    )  # fmt: skip
    assert server.status().releases[0].failed == 0
    sound = models.bundle(server.blobs, models.sigmoid([1.0, 0.5]), signature)
    server.route(models.route("r1", sound), models.route("r2", linear, "canary", 1.0))
    status, told = server.ask("POST", path, huge)
    assert status == 200, told
    assert "r1" in str(told)
    assert [one.failed for one in server.status().releases] == [0, 0]
