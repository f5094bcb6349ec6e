"""When a request is sent again: by both clients, against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.client.scripted import Scripted, answer, half, hang_up, in_pieces, silence

from trimtab.errors import PermanentError, TemporaryError
from trimtab.serving.client.answers import AnswerError, Prediction
from trimtab.serving.client.asynchronous import AsyncClient
from trimtab.serving.client.patience import LONGEST, Patience
from trimtab.serving.client.sync import Client
from trimtab.serving.client.wire import Answer

ROW = {"distance": 1.0, "carrier": "AA"}
GOOD = b'{"predictions":[{"id":"x","score":0.5,"label":"late","release":"r1","model":"m1"}]}'
BUSY = b'{"error":"too many requests wait","hint":"ask again later"}'


def asked_by_thread(url: str, times: int = 1, **settings: Any) -> Any:
    with Client(url, "", **settings) as client:
        return [client.predict([ROW]) for _ in range(times)][-1]


def asked_by_loop(url: str, times: int = 1, **settings: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(url, "", **settings) as client:
            return [await client.predict([ROW]) for _ in range(times)][-1]

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [asked_by_thread, asked_by_loop])


def ids(request: bytes) -> list[str]:
    return re.findall(rb'"ids":\[([^]]*)\]', request)[0].decode().split(",")


@both
@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_busy_server_is_asked_again_with_the_same_ids(ask: Any, status: int) -> None:
    with Scripted(answer(status, BUSY), answer(status, BUSY), answer(200, GOOD)) as server:
        (prediction,) = ask(server.url)
    assert prediction == Prediction("x", 0.5, "late", "r1", "m1")
    assert len(server.asked) == 3
    assert len({*map(bytes, server.asked)}) == 1
    assert len(ids(server.asked[0])[0]) > 20


@both
def test_retry_after_is_waited_for(ask: Any) -> None:
    with Scripted(answer(429, BUSY, "retry-after: 0.4"), answer(200, GOOD)) as server:
        ask(server.url)
    assert 0.4 <= server.at[1] - server.at[0] < 2.0


@both
def test_what_takes_longer_than_patience_is_told_at_once(ask: Any) -> None:
    start = time.monotonic()
    with Scripted(answer(429, BUSY, "retry-after: 60")) as server, pytest.raises(TemporaryError) as caught:
        ask(server.url, patience=5.0)
    assert time.monotonic() - start < 3.0
    assert (caught.value.message, caught.value.hint) == ("too many requests wait", "ask again later")
    assert caught.value.delay == 60.0


@both
@pytest.mark.parametrize("fault", [hang_up, half, in_pieces(b"not HTTP at all\r\n\r\n")])
def test_a_connection_that_breaks_is_replaced(ask: Any, fault: Any) -> None:
    with Scripted(fault, answer(200, GOOD)) as server:
        assert ask(server.url)[0].release == "r1"
    assert server.asked[0] == server.asked[1]
    assert server.connections == 2


@both
def test_a_silent_server_is_asked_again_after_the_time_out(ask: Any) -> None:
    with Scripted(silence(5.0), answer(200, GOOD)) as server:
        assert ask(server.url, timeout=0.2)[0].release == "r1"
    assert server.at[1] - server.at[0] < 2.0


@both
def test_patience_runs_out(ask: Any) -> None:
    with Scripted(hang_up) as server, pytest.raises(TemporaryError, match="does not answer: the connection was closed"):
        ask(server.url, patience=0.3)
    assert len(server.asked) > 2
    with Scripted(hang_up) as server, pytest.raises(TemporaryError):
        ask(server.url, patience=0.0)
    assert len(server.asked) == 1


@both
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 504])
def test_a_refusal_is_told_at_once_in_the_servers_words(ask: Any, status: int) -> None:
    told = b'{"error":"row 3: no","hint":"send another"}'
    with Scripted(answer(status, told)) as server, pytest.raises(AnswerError) as caught:
        ask(server.url)
    assert (caught.value.status, caught.value.message, caught.value.hint) == (status, "row 3: no", "send another")
    assert len(server.asked) == 1


@both
def test_a_refusal_that_is_no_json_is_told_as_it_is(ask: Any) -> None:
    for body, message in ((b"<html>proxy</html>", "<html>proxy</html>"), (b"", "status 404"), (b"[1]", "[1]")):
        with Scripted(answer(404, body)) as server, pytest.raises(AnswerError) as caught:
            ask(server.url)
        assert caught.value.message == message


@both
@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"<html>portal</html>", b'{"predictions":[{}]}', b"\x1f\x8b1"])
def test_an_answer_of_something_else_is_told(ask: Any, body: bytes) -> None:
    with Scripted(answer(200, body)) as server, pytest.raises(PermanentError, match="not as a prediction server") as it:
        ask(server.url)
    assert it.value.message.startswith(server.url)
    assert len(server.asked) == 1


@both
def test_a_connection_is_used_again_and_one_that_was_closed_meanwhile_costs_no_pause(ask: Any) -> None:
    with Scripted(answer(200, GOOD)) as server:
        ask(server.url, times=20)
    assert server.connections == 1
    with Scripted(answer(200, GOOD, "connection: close")) as server:
        ask(server.url, times=3)
    assert server.connections == 3

    def leaves(sock: Any, request: bytes) -> bool:
        answer(200, GOOD)(sock, request)
        return False

    start = time.monotonic()
    with Scripted(leaves) as server:
        ask(server.url, times=20, patience=0.0)  # no patience: what a kept connection does is not the server's fault
    assert server.connections >= 20
    assert time.monotonic() - start < 2.0


@both
def test_answers_come_in_any_pieces(ask: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (GOOD[:7], GOOD[7:])) + b"0\r\n\r\n"
    with Scripted(in_pieces(b"HTTP/1.1 100 Continue\r\n\r\n" + head[:9], head[9:] + chunks[:5], chunks[5:])) as server:
        assert ask(server.url, times=2)[0].id == "x"
    assert server.connections == 1


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8080", "ftp://x", "http://", "http://x:port", "http://x/path", "http://x:99999", "http://x?y"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(PermanentError, match="is not the address of a server"):
            kind(url)


def test_a_token_cannot_smuggle_headers() -> None:
    with pytest.raises(PermanentError, match="characters that no token has"):
        Client("http://x", "a\r\nhost: y")


def refused(status: int, wait: float | None) -> Answer:
    given = Answer()
    head = "" if wait is None else f"retry-after: {wait:.3f}\r\n"
    given.feed(f"HTTP/1.1 {status} X\r\n{head}content-length: 0\r\n\r\n".encode())
    return given


@given(
    st.floats(0.0, 20.0),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.none() | st.floats(0.0, 3.0)), min_size=1, max_size=40),
)
def test_pauses_grow_and_never_outlast_patience(seconds: float, drawn: list[tuple[float, float | None]]) -> None:
    now = 100.0
    chances = iter([chance for chance, _ in drawn])
    patience = Patience(seconds, lambda: now, lambda: next(chances))
    full = 0.02
    for chance, wait in drawn:
        try:
            pause = patience.refused(refused(503, wait))
        except TemporaryError:
            assert now + max(full * (0.5 + 0.5 * chance), wait or 0.0) > 100.0 + seconds - 0.001
            return
        assert full / 2 <= pause or (wait is not None and pause >= wait - 0.001)
        assert pause <= max(full, wait or 0.0) + 0.001
        now += pause
        full = min(2 * full, LONGEST)
        assert now <= 100.0 + seconds
