"""Compressed bodies, both ways: taken in within a bound, and sent to those who ask."""

from __future__ import annotations

import gzip
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.conftest import Make
from tests.serving.raw import BODY, LIVE, ROW, answers, exchange, plain, post
from tests.serving.running import Running

from trimtab.serving.http.connections.coding import Inflation, chosen
from trimtab.serving.refusals import RefusalError

PACKED = gzip.compress(BODY)
MANY = orjson.dumps([ROW] * 1000)


def inflated(encoding: bytes, body: bytes, most: int = 10**6) -> bytes:
    inflation = Inflation(encoding, body, most)
    found = inflation.first()
    return inflation.rest() if found is None else found


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate"])
@pytest.mark.parametrize("body", [BODY, MANY], ids=["small", "large"])
def test_a_compressed_body_is_understood(shared: Running, encoding: str, body: bytes) -> None:
    sent = zlib.compress(body) if encoding == "deflate" else gzip.compress(body)
    (got,) = answers(exchange(shared, post(sent, f"content-encoding: {encoding}")))
    assert got.status == 200
    assert len(orjson.loads(plain(got))["predictions"]) == len(orjson.loads(body))


def test_compressed_and_plain_bodies_in_a_row_are_answered_in_order(shared: Running) -> None:
    large = gzip.compress(orjson.dumps({"rows": [ROW] * 1000, "ids": [f"z{number}" for number in range(1000)]}))
    small = post(orjson.dumps({"rows": [ROW], "ids": ["after"]}))
    got = answers(exchange(shared, post(large, "content-encoding: gzip") + small + LIVE))
    assert [one.status for one in got] == [200, 200, 200]
    assert orjson.loads(plain(got[0]))["predictions"][999]["id"] == "z999"
    assert orjson.loads(got[1].body)["predictions"][0]["id"] == "after"


@pytest.mark.parametrize("encoding", ["zstd", "br", "compress", "gzip, gzip", "x", ""])
def test_other_forms_are_refused(shared: Running, encoding: str) -> None:
    got = answers(exchange(shared, post(BODY, f"content-encoding: {encoding}") + LIVE))
    assert [one.status for one in got] == ([415, 200] if encoding else [200, 200])


@pytest.mark.parametrize(
    "sent",
    [b"", BODY, PACKED[:-4], PACKED[:-1] + b"\x01", PACKED + b"x", b"\x1f\x8b\x08"],
    ids=["empty", "not at all", "torn", "wrong length", "something after", "head alone"],
)  # fmt: skip
def test_a_damaged_body_is_named_and_the_connection_goes_on(shared: Running, sent: bytes) -> None:
    got = answers(exchange(shared, post(sent, "content-encoding: gzip") + LIVE))
    assert [one.status for one in got] == [400, 200]
    assert not sent or b"compressed body is damaged" in got[0].body


def bomb(size: int) -> bytes:
    """Zeros, compressed as far as gzip goes: a thousand to one."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(2**20)
    return b"".join(deflater.compress(block) for _ in range(size >> 20)) + deflater.flush()


def test_a_bomb_is_stopped_at_the_bound_and_others_are_answered_meanwhile(shared: Running) -> None:
    sent = post(bomb(2**28), "content-encoding: gzip")
    assert len(sent) < 2**21
    with ThreadPoolExecutor(4) as pool:
        bombs = [pool.submit(exchange, shared, sent) for _ in range(8)]
        slowest = 0.0
        while not all(one.done() for one in bombs):
            began = time.perf_counter()
            assert answers(exchange(shared, LIVE))[0].status == 200
            slowest = max(slowest, time.perf_counter() - began)
    for one in bombs:
        (got,) = answers(one.result())
        assert got.status == 413
        assert b"larger than 8,388,608 bytes once it is inflated" in got.body
    assert slowest < 1.0
    assert shared.status().rss < 400 * 2**20


@pytest.mark.parametrize("most", [10, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("past", [-1, 0, 1])
def test_the_bound_is_exact(most: int, past: int) -> None:
    body = bytes(range(256)) * 1000
    sent = gzip.compress(body[: most + past])
    if past > 0:
        with pytest.raises(RefusalError) as caught:
            inflated(b"gzip", sent, most)
        assert caught.value.status == 413
    else:
        assert inflated(b"gzip", sent, most) == body[: most + past]


def test_members_are_joined_up_to_a_number() -> None:
    assert inflated(b"gzip", b"".join(gzip.compress(b"%d " % number) for number in range(64))) == b"".join(
        b"%d " % number for number in range(64)
    )
    with pytest.raises(RefusalError, match="more than 64 members"):
        inflated(b"gzip", gzip.compress(b"") * 65)
    assert inflated(b"gzip", gzip.compress(b"a") + b"\0" * 512) == b"a"  # padding, as tape once needed


@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from([b"gzip", b"deflate"]))
def test_whatever_comes_is_inflated_or_refused(data: bytes, most: int, encoding: bytes) -> None:
    try:
        assert len(inflated(encoding, data, most)) <= most
    except RefusalError as error:
        assert error.status in {400, 413}
    packed = gzip.compress(data) if encoding == b"gzip" else zlib.compress(data)
    if len(data) <= most:
        assert inflated(encoding, packed, most) == data


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        (b"gzip", b"gzip"), (b"gzip, deflate, br, zstd", b"gzip"), (b"deflate", b"deflate"), (b"br", b""), (b"", b""),
        (b"gzip;q=0", b""), (b"gzip;q=0.0, deflate", b"deflate"), (b"GZIP ; q=0.5", b"gzip"), (b"*", b"gzip"),
        (b"*;q=0", b""), (b"identity", b""), (b"gzip;q=0, *", b"deflate"), (b",,;;=", b""),
    ],
)  # fmt: skip
def test_the_form_of_an_answer_is_what_the_caller_takes(accepted: bytes, form: bytes) -> None:
    assert chosen(accepted) == form


def test_large_answers_are_compressed_for_those_who_ask(shared: Running) -> None:
    for accepted, form in (("gzip, deflate", "gzip"), ("deflate", "deflate"), ("br", "")):
        (got,) = answers(exchange(shared, post(MANY, f"accept-encoding: {accepted}")))
        assert got.headers.get("content-encoding", "") == form
        assert got.headers["vary"] == "accept-encoding"
        assert len(orjson.loads(plain(got))["predictions"]) == 1000
        assert not form or len(got.body) < len(plain(got)) / 2
    (got,) = answers(exchange(shared, post(MANY)))
    assert "content-encoding" not in got.headers


def test_small_answers_are_not(shared: Running) -> None:
    (got,) = answers(exchange(shared, post(BODY, "accept-encoding: gzip")))
    assert "content-encoding" not in got.headers


def test_compressed_answers_stay_in_order(shared: Running) -> None:
    large = post(MANY, "accept-encoding: gzip")
    got = answers(exchange(shared, large + LIVE + large + post() + LIVE))
    assert [len(one.body) > 1000 for one in got] == [True, False, True, False, False]
    assert all(one.status == 200 for one in got)


def test_where_answers_begin_to_be_compressed_is_declared(make: Make) -> None:
    server = make(compress_over=10)
    (got,) = answers(exchange(server, b"GET /v2 HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\n\r\n"))
    assert orjson.loads(gzip.decompress(got.body))["name"] == "trimtab"
