"""A head that is known again is read as the parser reads it: byte for byte the same requests, and the same refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.records.server import ServerConfig
from trimtab.serving.http.connections.known_head import known_head
from trimtab.serving.http.connections.reader import Reader
from trimtab.serving.http.crowd import Crowd
from trimtab.serving.http.request import Request
from trimtab.serving.refusals import RefusalError

_OWN = b"content-length"


class Desk:
    """What a reader asks for."""

    def __init__(self) -> None:
        self.config = ServerConfig(system="x", max_body=1000, max_header=300)
        self.crowd = Crowd(self.config)

    def spool(self, url: bytes) -> None:
        return None


class Taker:
    """Writes down what it is given."""

    def __init__(self) -> None:
        self.since = 0.0
        self.taken: list[tuple[object, ...]] = []

    def take(self, request: Request) -> None:
        told = (request.method, request.url, request.fields, request.body, request.keep, request.token)
        self.taken.append(
            (*told, request.encoding, request.origin, request.bare, request.field(b"x-a"), request.field(_OWN))
        )

    def fail(self, error: RefusalError) -> None:
        self.taken.append((error.status, error.message))

    def may_come(self, token: bytes, url: bytes) -> None:
        return

    def go_on(self) -> bool:
        return True

    def wait(self, *, full: bool) -> None:
        return


def read(parts: list[bytes], *, knowing: bool) -> tuple[list[tuple[object, ...]], int]:
    """What a reader makes of the parts, and how many it knew again."""
    taker: Any = Taker()
    desk: Any = Desk()
    reader = Reader(desk, taker)
    known = 0
    for part in parts:
        if not knowing:
            reader._known = None
        elif reader._known is not None:
            known += reader._known.again(part) is not None
        reader.feed(part)
    return taker.taken, known


LINES = [
    b"content-type: application/json", b"Authorization: Bearer abc", b"authorization: Bearer xyz", b"x-a: 1",
    b"X-A: 2", b"connection: close", b"connection: keep-alive", b"content-encoding: gzip", b"origin: http://x",
    b"expect: 100-continue", b"transfer-encoding: chunked", b"host: other", b"upgrade: websocket",
    b"x-b: content-length: 3", b"x-c: " + b"y" * 200,
]  # fmt: skip


@st.composite
def requests(draw: Any) -> bytes:
    """A request, usually a plain one, now and then one that is odd or wrong."""
    lines = draw(st.lists(st.sampled_from(LINES), max_size=2)) if not draw(st.integers(0, 2)) else [LINES[0], LINES[1]]
    body = draw(st.sampled_from([b"[1]", b"[1,2]", b"{}", b"", b"\r\n\r\n[1]", b"x" * 40, b"x" * 1200]))
    length = len(body) + draw(st.sampled_from([0] * 9 + [1, -1]))
    name = draw(st.sampled_from([b"content-length", b"content-length", b"Content-Length"]))
    digits = draw(st.sampled_from([b"%d"] * 6 + [b"0%d", b" %d", b"%d ", b"+%d", b"%dx"])) % max(length, 0)
    method = draw(st.sampled_from([b"POST"] * 8 + [b"GET", b"HEAD", b"PUT"]))
    version = draw(st.sampled_from([b"1.1"] * 9 + [b"1.0"]))
    url = draw(st.sampled_from([b"/predict"] * 4 + [b"/predict?explain=true", b"/feedback", b"http://x/predict"]))
    order = [b"host: x", *lines, name + b": " + digits]
    if draw(st.booleans()):
        order.insert(0, order.pop())
    head = b"%b %b HTTP/%b\r\n%b\r\n\r\n" % (method, url, version, b"\r\n".join(order))
    return head + body


@st.composite
def streams(draw: Any) -> list[bytes]:
    """What one caller sends, cut as it may arrive: mostly one request at a time, also several at once and in pieces."""
    few = draw(st.lists(requests(), min_size=1, max_size=3))
    sent = draw(st.lists(st.sampled_from(few), min_size=1, max_size=12))
    parts: list[bytes] = []
    for one in sent:
        way = draw(st.integers(0, 9))
        if way == 0 and parts:
            parts[-1] += one
        elif way == 1:
            cut = draw(st.integers(0, len(one)))
            parts += [one[:cut], one[cut:]]
        elif way == 2:
            parts.append(one + draw(st.sampled_from([b"\r\n", b"x", b"POST "])))
        else:
            parts.append(one)
    return [part for part in parts if part]


@given(streams())
def test_the_same_as_the_parser(parts: list[bytes]) -> None:
    assert read(parts, knowing=True)[0] == read(parts, knowing=False)[0]


def post(body: bytes, *lines: bytes) -> bytes:
    return b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%b\r\n" % (
        len(body), b"".join(line + b"\r\n" for line in lines)
    ) + body  # fmt: skip


def test_what_differs_in_its_body_alone_is_known() -> None:
    parts = [post(b"x" * size, b"x-a: 1") for size in (1, 2, 3, 99, 100, 0, 7)]
    taken, known = read(parts, knowing=True)
    assert known == len(parts) - 2  # the first of a connection is looked at closely, the second is remembered
    assert [one[3] for one in taken] == [b"x" * size for size in (1, 2, 3, 99, 100, 0, 7)]
    assert {one[9] for one in taken} == {b"1"}


@pytest.mark.parametrize(
    "line",
    [b"connection: close", b"content-encoding: gzip", b"origin: http://x", b"expect: 100-continue", b"upgrade: h2c"],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_parser(line: bytes) -> None:
    assert read([post(b"1", line)] * 4, knowing=True)[1] == 0


def test_a_body_too_large_to_trust_is_left_to_the_parser() -> None:
    parts = [post(b"1"), post(b"1"), post(b"1"), post(b"x" * 2000)]
    taken, known = read(parts, knowing=True)
    assert known == 1
    assert taken[-1][0] == 413


def test_a_caller_who_never_repeats_itself_costs_no_more() -> None:
    parts = [post(b"1", b"traceparent: %d" % number) for number in range(40)]
    assert read([*parts, *[post(b"1")] * 5], knowing=True)[1] == 0


def test_only_a_whole_request_is_remembered() -> None:
    one = post(b"{}")
    request = Request(b"POST", b"/predict", [], b"{}", True, b"")
    assert known_head(one, request, 10) is not None
    for data in (one + b"\r\n", one + one, one[1:] + b"}", one.replace(b"content-length: 2", b"x-length: 22222")):
        assert known_head(data, request, 10) is None
