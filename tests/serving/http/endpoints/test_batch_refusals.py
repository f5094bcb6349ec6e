"""What is wrong with a batch is named, row by row or at once."""

from __future__ import annotations

import http.client
import io
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.serving import models
from tests.serving.batches import BATCH, ask, frame, read, readers, refused, written
from tests.serving.conftest import Make
from tests.serving.running import Running, until

from trimtab.serving.batch import frames
from trimtab.serving.batch.formats import CONTENT_TYPES
from trimtab.serving.batch.reader import Batch


def test_rows_that_do_not_fit_are_named_and_the_others_answered(running: Running) -> None:
    lines = [
        b'{"distance":1,"carrier":"AA","id":"a"}',
        b'{"distance":"far","carrier":3,"id":"b"}',
        b"{",
        b"   ",
        b"[1]",
        b'{"carrier":"DL","id":"c"}',
        b'{"distance":2,"carrier":"DL","id":"a"}',
        b'{"distance":2,"carrier":"DL"}',
        b'{"distance":null,"carrier":null,"id":7}',
    ]
    status, data, _ = ask(running, "ndjson", b"\n".join(lines), query="?id=id")
    assert status == 200
    answers = read("ndjson", data)
    assert [one["row"] for one in answers] == list(range(8))
    assert {one["row"]: one["id"] for one in answers if "id" in one} == {0: "a", 7: "7"}
    errors = {one["row"]: one["error"] for one in answers if "error" in one}
    assert errors[1] == (
        "column 'distance' expected a number or null, got 'far'; column 'carrier' expected a string or null, got 3"
    )
    assert errors[2].startswith("not JSON: ")
    assert errors[3] == "expected an object with the model's columns"
    assert errors[4] == "column 'distance' is missing"
    assert errors[5] == "column 'id': id 'a' is given twice"
    assert errors[6] == "column 'id': expected an id of 1 to 200 characters, got None"
    assert sorted(running.reader().predictions()["id"].to_list()) == ["7", "a"]
    csv_rows = b'carrier,distance\nAA,1\nAA,x\nAA\n"D""L",2\n,\n'
    answers = read("csv", ask(running, "csv", csv_rows)[1])
    assert [one["error"] for one in answers] == [
        None,
        "column 'distance' expected a number or null, got 'x'",
        "expected 2 cells, got 1",
        None,
        None,
    ]


def parquet(columns: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


GOOD = {"distance": pa.array([1.0]), "carrier": pa.array(["AA"])}
NAIVE = pa.array([datetime(2013, 1, 1)])
WRONG: list[tuple[str, bytes, str, int, str]] = [
    ("ndjson", b"", "", 422, "no rows"),
    ("ndjson", b"\n\n", "", 422, "no rows"),
    ("ndjson", b'{"distance":1}\n{"x":2}', "", 422, "row 0: column 'carrier' is missing"),
    ("ndjson", b"{" + b" " * 2**20 + b"}", "", 413, "line 1 is longer than 1,048,576 bytes"),
    ("csv", b"", "", 422, "no rows"),
    ("csv", b"distance,carrier\n", "", 422, "no rows"),
    ("csv", b"distance,carier\n1,AA\n", "", 422, "column 'carrier' is missing"),
    ("csv", b"distance,carrier,carrier\n1,AA,AA\n", "", 422, "column 'carrier' is there twice"),
    ("csv", b"distance,carrier\n1,\xff\n", "", 422, "not CSV in UTF-8"),
    ("csv", b'distance,carrier\n1,"AA\n', "", 422, "not CSV in UTF-8"),
    ("csv", b"distance,carrier\n1,AA\n", "when", 422, "column 'when' is missing"),
    ("parquet", b"nonsense", "", 422, "the Parquet data cannot be read"),
    ("parquet", parquet(GOOD)[:-20], "", 422, "the Parquet data cannot be read"),
    ("parquet", parquet({"distance": GOOD["distance"]}), "", 422, "column 'carrier' is missing"),
    ("parquet", parquet(GOOD | {"distance": pa.array(["1"])}), "", 422, "'distance': expected numbers, got string"),
    ("parquet", parquet(GOOD | {"carrier": pa.array([1])}), "", 422, "'carrier': expected strings, got int64"),
    ("parquet", parquet(GOOD | {"at": NAIVE}), "at", 422, "expected timestamps with a time zone, got timestamp"),
    ("parquet", parquet({"distance": pa.array([], "f8"), "carrier": pa.array([], "str")}), "", 422, "no rows"),
    ("arrow", b"", "", 422, "the Arrow data cannot be read"),
    ("arrow", b"not Arrow at all", "", 422, "the Arrow data cannot be read (row 0 is next): it begins with"),
    ("arrow", b"ARROW1 and nothing else", "", 422, "the Arrow data cannot be read"),
    ("arrow", b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\x00" * 16, "", 422, "the Arrow data cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "body", "times", "status", "words"), WRONG, ids=[f"{w[0]}-{w[4][:40]}" for w in WRONG]
)
def test_a_batch_that_cannot_be_read_is_refused(
    tmp_path: Path, form: str, body: bytes, times: str, status: int, words: str
) -> None:
    (tmp_path / "body").write_bytes(body)
    sent: list[frames.FromReader] = []
    setup = frames.Setup(
        body=os.open(tmp_path / "body", os.O_RDONLY), sent=form, wanted=form,  # type: ignore[arg-type]
        signature=models.signature(), code=b"", entry="", rows=100, needs_rows=False, ids="", times=times,
        latest=2**60, longest_row=2**20, memory=2**30,
    )  # fmt: skip
    Batch(setup, io.BytesIO(), sent.append).run()
    (last,) = sent
    assert isinstance(last, frames.Refused)
    assert (last.status, words in last.message) == (status, True), last


def test_refusals_reach_the_caller(shared: Running) -> None:
    for form, body, query, status, words in [
        ("application/json", b"{}", "", 415, "content-type 'application/json' is not taken"),
        ("", b"{}", "", 415, "content-type"),
        ("ndjson", b"{}", "?ids=a", 422, "unknown option 'ids'"),
        ("ndjson", b"{}", "?id=", 422, "option 'id': expected the name of one column"),
        ("parquet", b"nonsense", "", 422, "the Parquet data cannot be read"),
    ]:
        found, told = refused(shared, form, body, query)
        assert (found, words in told["error"]) == (status, True), told


def test_all_wrong_columns_are_told_at_once(shared: Running) -> None:
    status, told = refused(shared, "csv", b"distanse,carier\n1,AA\n")
    assert status == 422
    assert told["errors"] == [
        {"column": "distance", "error": "is missing", "hint": "is it 'distanse'?"},
        {"column": "carrier", "error": "is missing", "hint": "is it 'carier'?"},
    ]
    status, told = refused(shared, "ndjson", b'{"distance":"x","carrier":"AA"}\n' * 300)
    assert (status, told["errors_found"], len(told["errors"])) == (422, 300, 20)


def test_a_row_that_the_model_fails_for_is_named(make: Make) -> None:
    server = make()
    server.route(
        models.route("r1", models.bundle(server.blobs, models.broken(2), models.signature("regression", classes=())))
    )
    rows = [{"distance": 500.0 if n == 37 else 10.0, "carrier": "AA"} for n in range(100)]
    status, data, _ = ask(server, "ndjson", "\n".join(map(json.dumps, rows)).encode())
    assert status == 200
    answers = read("ndjson", data)
    assert [one["row"] for one in answers if "error" in one] == [37]
    assert "could not answer" in answers[37]["error"]
    assert "label" not in answers[0]
    status, told = refused(server, "ndjson", b'{"distance":500,"carrier":"AA"}\n' * 3)
    assert status == 500
    assert "release r1 could not answer" in told["error"]


def test_a_break_in_the_middle_is_told_and_seen(shared: Running) -> None:
    whole = written("arrow", frame(2000).drop("at"))
    connection = http.client.HTTPConnection(urlsplit(shared.url).netloc, timeout=10)
    connection.request(
        "POST",
        BATCH,
        whole[: len(whole) * 3 // 4],
        {"content-type": CONTENT_TYPES["arrow"], "accept": CONTENT_TYPES["ndjson"]},
    )
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    connection.close()
    good = written("ndjson", frame(2000).drop("at"))
    connection = http.client.HTTPConnection(urlsplit(shared.url).netloc, timeout=10)
    connection.request("POST", BATCH, good + b'"' * 2**21, {"content-type": CONTENT_TYPES["ndjson"]})
    response = connection.getresponse()
    data = b""
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        while True:
            data += response.read(100) or response.read()
    assert b'{"row":0,' in data
    connection.close()


@pytest.mark.parametrize(("form", "other"), [("arrow", "parquet"), ("parquet", "arrow")])
def test_a_batch_of_the_other_format_is_told_from_its_first_bytes(shared: Running, form: str, other: str) -> None:
    status, told = refused(shared, form, written(other, frame(3)))
    assert (status, told["hint"].endswith(CONTENT_TYPES[other])) == (422, True), told  # type: ignore[index]


def test_a_file_of_rows_at_the_wrong_address_is_told_the_right_one(shared: Running) -> None:
    told = shared.ask("POST", "/predict", b"distance,carrier\n1,AA\n", {"content-type": "text/csv"})
    assert (told[0], told[1]["hint"]) == (400, "a file of rows is taken at /v2/models/SYSTEM/batch")


def test_a_batch_whose_time_is_up_is_ended(running: Running) -> None:
    """Before its answer has begun with 504, and then in the middle: the caller sees that it is not whole."""
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=30)
    headers = {"content-type": "application/x-ndjson", "x-request-timeout-ms": "1"}
    connection.request("POST", BATCH, written("ndjson", frame(50)), headers)
    response = connection.getresponse()
    assert (response.status, b"time was up after" in response.read()) == (504, True)
    large = written("ndjson", frame(5000)) * 60
    connection.request("POST", BATCH, large, headers | {"x-request-timeout-ms": "600"})
    response = connection.getresponse()
    if response.status == 200:
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    else:  # so slow a machine that nothing was answered by then
        assert (response.status, b"time was up" in response.read()) == (504, True)
    connection.close()
    until(lambda: not readers(running))
    assert running.ask("POST", "/predict", [{"distance": 1.0, "carrier": "AA"}])[0] == 200


def test_a_batch_of_one_customer_meets_one_release(running: Running) -> None:
    made = models.bundle(running.blobs, models.sigmoid([0.001, 0.5]))
    running.route(models.route("r1", made), models.route("r2", made, "canary", 0.5))
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=30)
    releases = []
    for key in ("a", "b", "c", "d", "e", "f", "a"):
        headers = {"content-type": "application/x-ndjson", "x-sticky-key": key}
        connection.request("POST", BATCH, written("ndjson", frame(40)), headers)
        answers = read("ndjson", connection.getresponse().read())
        releases.append({one["release"] for one in answers})
    connection.close()
    assert all(len(one) == 1 for one in releases)
    assert releases[0] == releases[-1]
    assert set.union(*releases) == {"r1", "r2"}
