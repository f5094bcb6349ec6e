"""Whatever is wrong with a request is named, and the server goes on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.serving.running import Running

from trimtab.serving.http.endpoints.meant import meanings

INFER, PREDICT, FEEDBACK = "/v2/models/flights/infer", "/predict", "/feedback"
ROW = {"distance": 1.0, "carrier": "AA"}
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def encoded(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]} | changes]}


def column(name: str, data: list[Any], datatype: str = "FP64", shape: list[Any] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def columns(*those: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": list(those)}


DISTANCE, CARRIER = column("distance", [1.0, 2.0]), column("carrier", ["AA", "DL"], "BYTES")

CASES: list[tuple[str, Any, int, str]] = [
    (INFER, b"{", 400, "not JSON"),
    (INFER, b"", 400, "not JSON"),
    (INFER, b"[" * 5000 + b"]" * 5000, 400, "not JSON"),
    (INFER, b"\xff\xfe", 400, "not JSON"),
    (INFER, [], 422, "expected an object with `inputs`"),
    (INFER, {}, 422, "`inputs`: expected a list of tensors"),
    (INFER, {"inputs": []}, 422, "`inputs`"),
    (INFER, {"inputs": [1]}, 422, "inputs[0]: expected a tensor"),
    (INFER, encoded(shape=[1, 3]), 422, "shape [1,3]; expected [rows, 2]"),
    (INFER, encoded(shape=[2]), 422, "expected [rows, 2]"),
    (INFER, encoded(shape=[-1, 2]), 422, "2 numbers"),
    (INFER, encoded(shape=[0, 2], data=[]), 422, "no rows"),
    (INFER, encoded(shape=[2, 2]), 422, "2 numbers"),
    (INFER, encoded(datatype="FP64"), 422, "expected FP32"),
    (INFER, encoded(datatype=["FP32"]), 422, "expected FP32"),
    (INFER, encoded(name=["input"]), 422, "inputs[0]: expected a tensor"),
    (INFER, columns(column("distance", [1.0]) | {"datatype": {}}, column("carrier", ["AA"])), 422, "expected FP64"),
    (INFER, encoded(data=[1, "2"]), 422, "row 0, feature 1: expected a number or null"),
    (INFER, encoded(data="1,2"), 422, "`data` must be a list"),
    (INFER, encoded(data=[[1], 2]), 422, "mixes lists and values"),
    (INFER, encoded(shape=[1001, 2], data=[0] * 2002), 413, "1,001 rows"),
    (INFER, encoded() | {"outputs": [{"name": "scores"}]}, 422, "scores"),
    (INFER, encoded() | {"parameters": {"prediction_ids": []}}, 422, "expected a list of 1 ids"),
    (INFER, encoded() | {"parameters": 3}, 422, "`parameters`"),
    (INFER, encoded() | {"id": 3}, 422, "`id`"),
    (INFER, columns(DISTANCE), 422, "column 'carrier' is missing"),
    (INFER, columns(DISTANCE, CARRIER, column("origin", ["EWR", "JFK"], "BYTES")), 422, "unknown column 'origin'"),
    (INFER, columns(DISTANCE, DISTANCE), 422, "column 'distance' is given twice"),
    (
        INFER,
        columns(column("distance", ["1"], "BYTES"), CARRIER),
        422,
        "column 'distance': datatype \"BYTES\"; expected FP64",
    ),
    (
        INFER,
        columns(DISTANCE, column("carrier", ["AA"], "BYTES")),
        422,
        "column 'carrier': 1 rows; the first column has 2",
    ),
    (INFER, columns(column("distance", [1.0], shape=[2]), CARRIER), 422, "1 values; its shape says 2"),
    (INFER, columns(column("distance", [1.0], shape=[1, 2]), CARRIER), 422, "expected [rows] or [rows, 1]"),
    (INFER, columns(column("distance", [1.0, "x"]), CARRIER), 422, "row 1, column 'distance': expected a number"),
    (INFER, columns(column("distance", [[1.0, 2.0]], shape=[2]), CARRIER), 422, "row 0: 2 values; expected 1"),
    (INFER, columns(column("distance", [1, 256], "UINT8"), CARRIER), 422, "element 1: expected a whole number from 0"),
    (INFER, columns(column("distance", [1, -1], "UINT64"), CARRIER), 422, "element 1: expected a whole number from 0"),
    (INFER, columns(column("distance", [1.5, 2], "INT64"), CARRIER), 422, "element 0: expected a whole number from -9"),
    (INFER, columns(column("distance", [1, 2], "BF16"), CARRIER), 422, "column 'distance': BF16 has no form in JSON"),
    (INFER, encoded(shape=[2, 2], data=[[1], [2, 3, 4]]), 422, "row 0: 1 values; expected 2"),
    (
        INFER,
        columns({k: v for k, v in DISTANCE.items() if k != "data"} | {"parameters": {"shared_memory_region": "a"}}),
        422,
        "input 'distance': shared memory is not offered",
    ),
    (
        INFER,
        columns({k: v for k, v in DISTANCE.items() if k != "data"} | {"parameters": {"binary_data_size": 16}}),
        422,
        "input 'distance': its bytes are not there",
    ),
    (PREDICT, b"nonsense", 400, "not JSON"),
    (PREDICT, 5, 422, "expected an object with `rows`"),
    (PREDICT, {"row": [ROW]}, 422, "unknown key 'row'"),
    (PREDICT, {"rows": ROW}, 422, "`rows`: expected a list"),
    (PREDICT, {"instances": [ROW]}, 422, "unknown key 'instances'"),
    (PREDICT, {}, 422, "`rows`: expected a list"),
    (PREDICT, {"ids": ["a"]}, 422, "`rows`: expected a list"),
    (PREDICT, {"distance": 1.0}, 422, "row 0: column 'carrier' is missing"),
    (PREDICT, {"distance": "far", "carrier": "AA"}, 422, "row 0, column 'distance': expected a number or null"),
    (PREDICT, ROW | {"ids": ["a"]}, 422, "row 0: unknown column 'ids'"),
    (PREDICT, [], 422, "no rows"),
    (PREDICT, [ROW] * 1001, 413, "1,001 rows"),
    (PREDICT, [ROW, 7], 422, "row 1: expected an object"),
    (PREDICT, [{"distance": 1.0}], 422, "row 0: column 'carrier' is missing"),
    (PREDICT, [ROW | {"origin": "EWR"}], 422, "row 0: unknown column 'origin'"),
    (PREDICT, [ROW, ROW | {"distance": "far"}], 422, "row 1, column 'distance': expected a number or null, got 'far'"),
    (PREDICT, [ROW | {"carrier": 3}], 422, "row 0, column 'carrier': expected a string or null, got 3"),
    (PREDICT, {"rows": [ROW], "ids": ["a", "b"]}, 422, "ids: expected a list of 1 ids, one a row, got 2"),
    (PREDICT, {"rows": [ROW, ROW], "ids": ["a", "a"]}, 422, "id 'a' is given twice"),
    (PREDICT, {"rows": [ROW], "ids": ["x" * 201]}, 422, "ids[0]: expected a string of 1 to 200 characters"),
    (PREDICT, {"rows": [ROW], "ids": [None]}, 422, "ids[0]"),
    (PREDICT, {"rows": [ROW], "time": "2013-01-01T00:00:00"}, 422, "time: expected an ISO 8601 moment with its offset"),
    (PREDICT, {"rows": [ROW], "time": "now"}, 422, "time: expected an ISO 8601 moment"),
    (PREDICT, {"rows": [ROW], "time": SOON}, 422, "in the future"),
    (PREDICT, {"rows": [ROW], "time": "1950-01-01T00:00:00Z"}, 422, "before 1970"),
    (PREDICT, {"rows": [ROW], "time": []}, 422, "expected 1 moments"),
    (FEEDBACK, b"]", 400, "not JSON"),
    (FEEDBACK, "yes", 422, "expected an object with `id` and `truth`"),
    (FEEDBACK, {"id": "a"}, 422, "truth: expected a class or a number"),
    (FEEDBACK, {"truth": 1}, 422, "id: expected a string"),
    (FEEDBACK, {"id": "a", "truth": "green"}, 422, '"green" is none of the classes'),
    (FEEDBACK, {"id": "a", "truth": 2}, 422, "none of the classes"),
    (FEEDBACK, {"id": "a", "truth": 1, "when": 3}, 422, "unknown key 'when'"),
    (FEEDBACK, {"items": []}, 422, "no rows"),
    (FEEDBACK, [{"id": "a", "truth": 1}, {"id": "b", "truth": None}], 422, "items[1].truth"),
    (FEEDBACK, [{"id": "a", "truth": 1, "time": SOON}], 422, "items[0].time"),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), CASES, ids=[f"{c[0]}-{c[3]}"[:70] for c in CASES])
def test_a_bad_request_is_named(shared: Running, path: str, body: Any, status: int, words: str) -> None:
    found, told = shared.ask("POST", path, body)
    assert (found, words in told["error"]) == (status, True), told
    assert shared.ask("POST", PREDICT, [ROW])[0] == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_word_for_is_told_to_be_null(shared: Running, number: str) -> None:
    body = f'[{{"distance": {number}, "carrier": "AA"}}]'.encode()
    status, told = shared.ask("POST", PREDICT, body)
    assert (status, "not JSON" in told["error"]) == (400, True)
    assert told["hint"] == "JSON has no NaN and no Infinity: send null for a value that is not known"


def test_a_form_is_told_to_be_none(shared: Running) -> None:
    status, told = shared.ask("POST", PREDICT, b"--x--", {"content-type": "multipart/form-data; boundary=x"})
    assert (status, told["error"]) == (415, "content-type multipart/form-data: a form is not taken")
    assert told["hint"] == "send rows as JSON"


def test_every_wrong_field_is_told_at_once(shared: Running) -> None:
    rows = [ROW, {"distanse": 1.0, "carrier": 3}, ROW | {"carrier": ["AA"]}]
    status, told = shared.ask("POST", PREDICT, rows)
    assert status == 422
    assert told["error"] == "row 1: column 'distance' is missing"
    assert told["errors_found"] == 4
    assert told["errors"] == [
        {"row": 1, "column": "distance", "error": "is missing", "hint": "a row has distance, carrier"},
        {"row": 1, "column": "distanse", "error": "unknown column", "hint": "did you mean 'distance'?"},
        {"row": 1, "column": "carrier", "error": "expected a string or null, got 3", "hint": ""},
        {"row": 2, "column": "carrier", "error": "expected a string or null, got ['AA']", "hint": ""},
    ]
    status, told = shared.ask("POST", PREDICT, [{"distance": "far"}] * 500)
    assert (status, len(told["errors"]), told["errors_found"]) == (422, 20, 1000)


def test_wrong_addresses_and_methods(shared: Running) -> None:
    assert shared.ask("GET", "/nothing")[0] == 404
    assert shared.ask("GET", "/v2/models/other")[0] == 404
    assert shared.ask("POST", "/v2/models/other/infer", {})[0] == 404
    status, told = shared.ask("POST", "/predict/fligths", [ROW])
    assert (status, told) == (404, {"error": "no such system: 'fligths'", "hint": "this server serves 'flights'"})
    status, told = shared.ask("GET", "/predict")
    assert status == 405
    assert "use POST" in told["error"]
    assert shared.ask("DELETE", "/v2/models/flights")[0] == 405
    assert shared.ask("GET", "/v2/health/live?verbose=1")[0] == 200


def test_nothing_bad_left_a_trace(shared: Running) -> None:
    """Refused requests are in no telemetry; only the good ones of this module are."""
    frame = shared.reader().predictions()
    assert "a" not in frame["id"].to_list()
    assert shared.reader().orphans == 0


def test_one_row_is_taken_without_a_list_around_it(shared: Running) -> None:
    (of_a_list,) = shared.ask("POST", PREDICT, [ROW])[1]["predictions"]
    status, told = shared.ask("POST", PREDICT, ROW)
    assert status == 200
    (alone,) = told["predictions"]
    assert (alone["score"], alone["label"]) == (of_a_list["score"], of_a_list["label"])


@pytest.mark.parametrize("body", [5, {"instances": [ROW]}, {"rows": ROW}, {"distanse": 1.0}])
def test_what_is_no_row_is_told_what_to_send(shared: Running, body: Any) -> None:
    assert "send a list of rows, `[{...}]`, one row, or `rows`" in shared.ask("POST", PREDICT, body)[1]["hint"]


@pytest.mark.parametrize(
    ("method", "path", "means"),
    [
        ("GET", "/health", "GET /v2/health/ready"),
        ("GET", "/healthz", "GET /v2/health/ready"),
        ("GET", "/Healthz/", "GET /v2/health/ready"),
        ("GET", "/ping?x=1", "GET /v2/health/ready"),
        ("GET", "/docs", "GET /openapi.json"),
        ("POST", "/invocations", "POST /predict"),
        ("POST", "/v1/models/flights:predict", "POST /predict"),
        ("GET", "/v2/models", "POST /v2/repository/index"),
        ("GET", "/info", "GET /v2/models/flights"),
        ("GET", "/nothing/that/anybody/has", "GET /openapi.json"),
    ],
)
def test_an_address_of_other_servers_is_answered_with_ours(shared: Running, method: str, path: str, means: str) -> None:
    status, told = shared.ask(method, path, [ROW] if method == "POST" else None)
    assert status == 404
    assert f"`{means}`" in told["hint"]


def test_every_address_that_is_meant_is_there(shared: Running) -> None:
    listed = {
        f"{method.upper()} {path}"
        for path, of in shared.ask("GET", "/openapi.json")[1]["paths"].items()
        for method in of
    }
    named = {told for text in meanings("flights") for told in re.findall(r"`((?:GET|POST) [^`?]*)", text)}
    assert named <= listed
    assert len(named) >= 8
