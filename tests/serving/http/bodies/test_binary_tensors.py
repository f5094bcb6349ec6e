"""The binary tensor extension against a real server: tensors in bytes, in JSON, mixed, and bare."""

from __future__ import annotations

import http.client
import struct
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.running import Running

INFER = "/v2/models/flights/infer"
HEADER = "Inference-Header-Content-Length"
NUMBERS = ["FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
DTYPES = {
    name: np.dtype({"F": "<f", "I": "<i", "U": "<u"}[name[0]] + str(int(name.lstrip("FPINTU")) // 8))
    for name in NUMBERS
}


def elements(*those: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in those)


def tensor(name: str, datatype: str, shape: list[int], raw: bytes, **more: Any) -> tuple[dict[str, Any], bytes]:
    told = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    return told | more, raw


def body(asked: dict[str, Any], *raws: bytes) -> tuple[bytes, dict[str, str]]:
    head = orjson.dumps(asked)
    return head + b"".join(raws), {HEADER: str(len(head)), "content-type": "application/octet-stream"}


def ask(server: Running, sent: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any], dict[str, bytes]]:
    """Status, the JSON part, and the bytes of each output that came in bytes."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("POST", INFER, sent, headers)
        response = connection.getresponse()
        data = response.read()
    finally:
        connection.close()
    length = response.headers.get(HEADER)
    head = data if length is None else data[: int(length)]
    told, offset, raws = orjson.loads(head), len(head), {}
    for one in told.get("outputs", ()):
        size = one.get("parameters", {}).get("binary_data_size")
        if size is not None:
            raws[one["name"]] = data[offset : offset + size]
            offset += size
    assert offset == len(data)
    assert (length is not None) == bool(raws)
    if raws:
        assert response.headers["content-type"] == "application/octet-stream"
    return response.status, told, raws


def in_json(server: Running, rows: list[list[float]]) -> list[float]:
    shape = [len(rows), 2]
    asked = {"inputs": [{"name": "input", "datatype": "FP32", "shape": shape, "data": rows}]}
    return list(server.ask("POST", INFER, asked)[1]["outputs"][0]["data"])


def test_encoded_rows_and_answers_in_bytes(shared: Running) -> None:
    rows = np.array([[1000.0, 1.0], [np.nan, -1.0], [-2000.0, 0.0]], "<f4")
    one, raw = tensor("input", "FP32", [3, 2], rows.tobytes())
    asked = {"id": "x7", "inputs": [one], "parameters": {"binary_data_output": True, "prediction_ids": ["a", "é", "c"]}}
    status, told, raws = ask(shared, *body(asked, raw))
    assert status == 200
    assert told["id"] == "x7"
    assert (told["model_name"], told["model_version"]) == ("flights", "model-r1")
    assert told["parameters"] == {"prediction_ids": ["a", "é", "c"], "release": "r1", "model": "model-r1"}
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["outputs"]] == [
        ("score", "FP32", [3]),
        ("label", "BYTES", [3]),
        ("prediction_id", "BYTES", [3]),
    ]
    expected = in_json(shared, [[1000.0, 1.0], [None, -1.0], [-2000.0, 0.0]])  # type: ignore[list-item]
    scores = np.frombuffer(raws["score"], "<f4")
    assert scores.tolist() == np.array(expected, "<f4").tolist()
    assert raws["label"] == elements(*(b"late" if score >= 0.5 else b"on time" for score in scores))
    assert raws["prediction_id"] == elements(b"a", "é".encode(), b"c")


def test_the_score_of_one_row_alone_is_told_as_any_other_answer(shared: Running) -> None:
    one, raw = tensor("input", "FP32", [1, 2], np.array([[1000.0, 1.0]], "<f4").tobytes())
    asked: dict[str, Any] = {"inputs": [one], "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}
    told, usual = ask(shared, *body(asked, raw))[1:], ask(shared, *body(asked | {"id": "any"}, raw))[1:]
    assert usual[0].pop("id") == "any"
    for answer, _ in (told, usual):
        assert len(answer["parameters"].pop("prediction_ids")) == 1
    assert told == usual
    assert np.frombuffer(told[1]["score"], "<f4").tolist() == np.array(in_json(shared, [[1000.0, 1.0]]), "<f4").tolist()


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_number_may_be_a_column(shared: Running, datatype: str) -> None:
    values = np.array([7, 100], DTYPES[datatype])
    distance, raw = tensor("distance", datatype, [2], values.tobytes())
    carrier = {"name": "carrier", "datatype": "BYTES", "shape": [2], "data": ["DL", "AA"]}
    asked = {"inputs": [distance, carrier], "outputs": [{"name": "score", "parameters": {"binary_data": True}}]}
    status, told, raws = ask(shared, *body(asked, raw))
    assert (status, list(raws)) == (200, ["score"]), told
    assert np.frombuffer(raws["score"], "<f4").tolist() == np.float32(in_json(shared, [[7, 1], [100, 0]])).tolist()


def test_inputs_of_both_forms_and_outputs_of_both_forms(shared: Running) -> None:
    carrier, raw = tensor("carrier", "BYTES", [2, 1], elements(b"DL", b"UA"))
    distance = {"name": "distance", "datatype": "FP64", "shape": [2], "data": [5.0, None]}
    wanted = [{"name": "label"}, {"name": "score", "parameters": {"binary_data": True}}]
    status, told, raws = ask(shared, *body({"inputs": [distance, carrier], "outputs": wanted}, raw))
    assert status == 200
    assert [one["name"] for one in told["outputs"]] == ["label", "score"]
    assert told["outputs"][0]["data"] == ["late", "late"]
    assert (
        np.frombuffer(raws["score"], "<f4").tolist()
        == np.float32(
            in_json(shared, [[5.0, 1.0], [None, 2.0]])  # type: ignore[list-item]
        ).tolist()
    )


def test_the_choice_of_an_output_goes_before_that_of_the_request(shared: Running) -> None:
    one, raw = tensor("input", "FP32", [1, 2], np.zeros(2, "<f4").tobytes())
    wanted = [{"name": "score", "parameters": {"binary_data": False}}, {"name": "label"}]
    asked = {"inputs": [one], "outputs": wanted, "parameters": {"binary_data_output": True}}
    _, told, raws = ask(shared, *body(asked, raw))
    assert list(raws) == ["label"]
    assert told["outputs"][0]["data"] == [0.5]


def test_json_alone_may_ask_for_bytes_and_bytes_for_json(shared: Running) -> None:
    asked = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [0, 0]}]}
    _, _, raws = ask(shared, orjson.dumps(asked | {"parameters": {"binary_data_output": True}}), {})
    assert np.frombuffer(raws["score"], "<f4").tolist() == [0.5]
    one, raw = tensor("input", "FP32", [1, 2], bytes(8))
    status, told, raws = ask(shared, *body({"inputs": [one]}, raw))
    assert (status, raws) == (200, {})
    assert told["outputs"][0]["data"] == [0.5]


def test_bare_bytes_are_the_encoded_rows(shared: Running) -> None:
    rows = np.array([[1000.0, 1.0], [0.0, 0.0]], "<f4")
    status, told, raws = ask(shared, rows.tobytes(), {HEADER: "0"})
    assert status == 200, told
    assert np.frombuffer(raws["score"], "<f4").tolist() == np.float32(in_json(shared, rows.tolist())).tolist()
    status, told, _ = ask(shared, b"1234567", {HEADER: "0"})
    assert (status, told["error"]) == (422, "input 'input': 7 bytes; shape [1, 2] of FP32 needs 8")
    status, told, _ = ask(shared, b"", {HEADER: "0"})
    assert (status, "no rows" in told["error"]) == (422, True)
    status, told, _ = ask(shared, b"123456789", {HEADER: "0"})
    assert (status, told["error"]) == (422, "input 'input': 9 bytes; shape [1, 2] of FP32 needs 8")


ONE = {"name": "input", "datatype": "FP32", "shape": [1, 2]}
EIGHT = {"parameters": {"binary_data_size": 8}}
GOOD = {"inputs": [ONE | EIGHT]}


def column(name: str, datatype: str, rows: int, size: int) -> dict[str, Any]:
    told = {"name": name, "datatype": datatype, "shape": [rows], "parameters": {"binary_data_size": size}}
    return {"inputs": [told]}


def output(parameters: Any) -> dict[str, Any]:
    return GOOD | {"outputs": [{"name": "score", "parameters": parameters}]}


def sized(size: Any) -> dict[str, Any]:
    return {"inputs": [ONE | {"parameters": {"binary_data_size": size}}]}


BAD: list[tuple[Any, bytes, dict[str, str], int, str]] = [
    (GOOD, bytes(8), {HEADER: "x"}, 400, "expected a number of bytes, got"),
    (GOOD, bytes(8), {HEADER: "-1"}, 400, "expected a number of bytes"),
    (GOOD, bytes(8), {HEADER: "9" * 30}, 400, "expected a number of bytes"),
    (GOOD, bytes(8), {HEADER: "100000"}, 400, "is 100,000: the body has"),
    (GOOD, bytes(8), {HEADER: "10"}, 400, "not JSON"),
    (GOOD, bytes(7), {}, 422, "binary_data_size is 8; 7 bytes are left in the body"),
    (GOOD, bytes(9), {}, 422, "1 bytes of the body belong to no tensor"),
    ({"inputs": [ONE]}, bytes(8), {}, 422, "8 bytes of the body belong to no tensor"),
    ([], bytes(8), {}, 422, "8 bytes of the body belong to no tensor"),
    (sized(-8), bytes(8), {}, 422, "binary_data_size -8"),
    (sized(True), bytes(8), {}, 422, "binary_data_size true"),
    (sized("8"), bytes(8), {}, 422, 'binary_data_size "8"'),
    ({"inputs": [ONE | EIGHT | {"data": [1, 2]}]}, bytes(8), {}, 422, "`data` and binary_data_size are both given"),
    ({"inputs": [ONE | EIGHT | {"shape": [2, 2]}]}, bytes(8), {}, 422, "8 bytes; shape [2, 2] of FP32 needs 16"),
    ({"inputs": [ONE | {"raw": "12345678"}]}, b"", {}, 422, "`data` must be a list"),
    (output({"binary_data": 1}), bytes(8), {}, 422, "binary_data 1; expected true or false"),
    (output(3), bytes(8), {}, 422, "expected parameters as an object"),
    (output({"classification": 3}), bytes(8), {}, 422, "classification is not offered"),
    (GOOD | {"outputs": ["score"]}, bytes(8), {}, 422, "expected objects with a `name`"),
    (GOOD | {"outputs": 5}, bytes(8), {}, 422, "`outputs`: expected a list"),
    (GOOD | {"parameters": {"binary_data_output": "yes"}}, bytes(8), {}, 422, "binary_data_output"),
    (column("carrier", "BYTES", 1, 5), b"\x09\0\0\0a", {}, 422, "the bytes end within element 0"),
    (column("carrier", "BYTES", 1, 6), elements(b"\xff\xfe"), {}, 422, "row 0, column 'carrier': expected UTF-8"),
    (column("distance", "BF16", 3, 4), bytes(4), {}, 422, "3 of BF16 need 6"),
]


@pytest.mark.parametrize(
    ("asked", "raw", "headers", "status", "words"), BAD, ids=[f"{n}-{c[4][:40]}" for n, c in enumerate(BAD)]
)
def test_what_is_malformed_is_named(
    shared: Running, asked: Any, raw: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    sent, usual = body(asked, raw)
    found, told, _ = ask(shared, sent, usual | headers)
    assert (found, words in told["error"]) == (status, True), told
    assert in_json(shared, [[0, 0]]) == [0.5]


@given(st.data())
def test_no_cut_or_bent_request_is_a_fault_of_ours(shared: Running, data: st.DataObject) -> None:
    """A good request whose bytes or length were changed is answered, or refused as the caller's mistake."""
    distance, first = tensor("distance", "FP32", [2], np.array([1, 2], "<f4").tobytes())
    carrier, second = tensor("carrier", "BYTES", [2], elements(b"AA", b"DL"))
    sent, headers = body({"inputs": [distance, carrier], "parameters": {"binary_data_output": True}}, first, second)
    spoiled = bytearray(sent)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(sent) - 1), st.integers(0, 255)), max_size=4)):
        spoiled[place] = value
    cut = data.draw(st.one_of(st.just(len(sent)), st.integers(0, len(sent))))
    length = data.draw(st.one_of(st.just(int(headers[HEADER])), st.integers(0, len(sent) + 1)))
    status, _, _ = ask(shared, bytes(spoiled[:cut]), {HEADER: str(length)})
    assert status in (200, 400, 422)
