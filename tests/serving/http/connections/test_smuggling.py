"""Requests that two servers could read in two ways: each is read in one way, or refused and the connection closed.

What a proxy in front of us took for a body must never be taken for a request by us, nor the other way round. So behind
every shape comes a request that only we would see if we read it wrongly: it must not be answered.
"""

from __future__ import annotations

import pytest
from tests.serving.raw import BODY, LIVE, answers, chunked, exchange, post
from tests.serving.running import Running

HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\n"
GET = b"GET /v2/health/live HTTP/1.1\r\n"

REFUSED: dict[str, tuple[bytes, int]] = {
    "both lengths": (HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths, the other way": (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n", 400),
    "two lengths that differ": (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", 400),
    "two lengths that agree": (HEAD + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello", 400),
    "a list of lengths": (HEAD + b"content-length: 5, 5\r\n\r\nhello", 400),
    "a length with a sign": (HEAD + b"content-length: +5\r\n\r\nhello", 400),
    "a negative length": (HEAD + b"content-length: -1\r\n\r\n", 400),
    "a length in hexadecimal": (HEAD + b"content-length: 0x5\r\n\r\nhello", 400),
    "no length in the line": (HEAD + b"content-length: \r\n\r\n", 400),
    "a length beyond 64 bits": (HEAD + b"content-length: 99999999999999999999999\r\n\r\n", 400),
    "identity, chunked": (HEAD + b"transfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501),
    "gzip, chunked": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, identity": (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in two lines": (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "identity, then chunked": (HEAD + b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n", 501),
    "xchunked": (HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "chunked in quotes": (HEAD + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    "chunked behind a vertical tab": (HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (b"POST /predict HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded line": (HEAD + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n", 400),
    "a folded coding": (HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a blank before the first line": (b"POST /predict HTTP/1.1\r\n host: x\r\n\r\n", 400),
    "bare line feeds": (b"POST /predict HTTP/1.1\nhost: x\ncontent-length: 0\n\n", 400),
    "a bare line feed in a header": (HEAD + b"a: b\nx: y\r\ncontent-length: 0\r\n\r\n", 400),
    "a bare carriage return": (HEAD + b"a: b\rx: y\r\ncontent-length: 0\r\n\r\n", 400),
    "a blank before the colon": (HEAD + b"content-length : 5\r\n\r\nhello", 400),
    "a tab before the colon": (HEAD + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    "no colon": (HEAD + b"content-length\r\n\r\n", 400),
    "no name": (HEAD + b": chunked\r\n\r\n", 400),
    "a NUL": (HEAD + b"a: \x00\r\ncontent-length: 0\r\n\r\n", 400),
    "a control in a name": (HEAD + b"content\x01length: 5\r\n\r\n", 400),
    "no host": (GET + b"\r\n", 400),
    "two hosts": (GET + b"host: a\r\nhost: b\r\n\r\n", 400),
    "a host with a path": (GET + b"host: a/b\r\n\r\n", 400),
    "a host with a user": (GET + b"host: a@b\r\n\r\n", 400),
    "a host with a blank": (GET + b"host: a b\r\n\r\n", 400),
    "two tokens": (GET + b"host: x\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", 400),
    "two codings of the body": (HEAD + b"content-encoding: gzip\r\ncontent-encoding: gzip\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v2/health/live\r\n\r\n", 505),
    "HTTP/0.9 by number": (b"GET /v2/health/live HTTP/0.9\r\n\r\n", 505),
    "HTTP/1.2": (b"GET /v2/health/live HTTP/1.2\r\nhost: x\r\n\r\n", 400),
    "HTTP/2 in one line": (b"GET /v2/health/live HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "CONNECT to an address": (b"CONNECT /predict HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "CONNECT with a body": (b"CONNECT /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n12345678", 400),
    "CONNECT with a request": (b"CONNECT / HTTP/1.1\r\nhost: x\r\ncontent-length: 41\r\n\r\n" + LIVE, 400),
    "no address": (b"GET v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "an asterisk": (b"GET * HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a method in small letters": (b"get /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a tab in the first line": (b"GET\t/v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a control in the address": (b"GET /v2/\x01 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "another expectation": (HEAD + b"expect: cake\r\ncontent-length: 5\r\n\r\nhello", 417),
    "a chunk beyond 64 bits": (chunked(end=b"ffffffffffffffffff\r\n"), 400),
    "a negative chunk": (chunked(end=b"-1\r\n"), 400),
    "a chunk with 0x": (chunked(end=b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk with a blank": (chunked(end=b"5 \r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk with bare line feeds": (chunked(end=b"5\nhello\n0\n\n"), 400),
    "an extension with a bare line feed": (chunked(end=b"5;a\nhello\r\n0\r\n\r\n"), 400),
    "a chunk longer than it says": (chunked(end=b"5\r\nhelloXX\r\n0\r\n\r\n"), 400),
    "a chunk of no size": (chunked(end=b"\r\nhello\r\n0\r\n\r\n"), 400),
    "a length behind the chunks": (chunked(BODY, end=b"0\r\ncontent-length: 9\r\n\r\n"), 400),
    "chunks of almost nothing": (chunked(*[b"x"] * 200_000), 400),
    "chunks with long extensions": (chunked(end=b"1;%b\r\nx\r\n" % (b"y" * 200_000)), 400),
    "endless lines behind the chunks": (chunked(BODY, end=b"0\r\n" + b"a: b\r\n" * 10_000), 431),
}


@pytest.mark.parametrize("shape", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(shared: Running, shape: str) -> None:
    sent, status = REFUSED[shape]
    got = answers(exchange(shared, sent + LIVE))
    assert [one.status for one in got] == [status], got
    assert got[0].headers["connection"] == "close"


TAKEN: dict[str, tuple[bytes, int]] = {
    "a length with zeros before it": (HEAD + b"content-length: 00%d\r\n\r\n" % len(BODY) + BODY, 200),
    "blanks around a value": (HEAD + b"content-length: \t%d \t\r\n\r\n" % len(BODY) + BODY, 200),
    "chunked in capitals": (chunked(BODY).replace(b"chunked", b"Chunked"), 200),
    "extensions of chunks": (
        HEAD + b'transfer-encoding: chunked\r\n\r\n%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (len(BODY), BODY), 200,
    ),
    "lines behind the chunks": (chunked(BODY, end=b"0\r\nx: y\r\nauthorization: Bearer z\r\n\r\n"), 200),
    "a body where none is wanted": (GET + b"host: x\r\ncontent-length: 5\r\n\r\nGET /", 200),
    "empty lines before": (b"\r\n\r\n" + LIVE, 200),
    "the whole address": (b"GET http://elsewhere.example/v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n", 200),
    "the whole address, without a path": (b"GET http://elsewhere.example HTTP/1.1\r\nhost: x\r\n\r\n", 200),
    "HTTP/1.0 without a host": (b"GET /v2/health/live HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 200),
    "an empty host": (GET + b"host:\r\n\r\n", 200),
    "a host by number": (GET + b"host: [::1]:8080\r\n\r\n", 200),
    "an upgrade to h2c": (
        GET + b"host: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n\r\n", 200,
    ),
    "an upgrade with a body": (
        HEAD + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY, 200,
    ),
    "an upgrade with chunks": (
        chunked(BODY).replace(b"host: x", b"host: x\r\nconnection: upgrade\r\nupgrade: websocket"), 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", TAKEN)
def test_what_can_be_read_in_one_way_is_and_what_follows_is_its_own_request(shared: Running, shape: str) -> None:
    sent, status = TAKEN[shape]
    got = answers(exchange(shared, sent + LIVE))
    assert [one.status for one in got] == [status, 200], got
    assert got[1].body == b'{"live":true}'


@pytest.mark.parametrize("shape", [name for name, (sent, _) in (REFUSED | TAKEN).items() if len(sent) < 2000])
def test_the_answer_is_the_same_however_the_bytes_are_cut(shared: Running, shape: str) -> None:
    sent, status = (REFUSED | TAKEN)[shape]
    for size in (1, 7):
        got = answers(exchange(shared, *[sent[at : at + size] for at in range(0, len(sent), size)], LIVE))
        assert got[0].status == status
        assert len(got) == (1 if shape in REFUSED else 2)


def test_a_token_behind_the_chunks_is_none(shared: Running) -> None:
    late = chunked(BODY, end=b"0\r\nauthorization: Bearer anything\r\n\r\n")
    assert [one.status for one in answers(exchange(shared, late + post()))] == [200, 200]


def test_wishes_to_upgrade_come_to_an_end(shared: Running) -> None:
    """Each costs a new parser: a caller that asks in every request is refused in the end."""
    wish = GET + b"host: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    got = answers(exchange(shared, wish * 3000))
    assert [one.status for one in got] == [200] * 16 + [400]


def test_closing_is_heard_in_a_wish_to_upgrade(shared: Running) -> None:
    wish = GET + b"host: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n"
    got = answers(exchange(shared, wish + LIVE))
    assert [one.status for one in got] == [200]
    assert got[0].headers["connection"] == "close"
