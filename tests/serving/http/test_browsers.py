"""What browsers ask and other pages make them ask: HEAD, OPTIONS, origins, and what comes before a body."""

from __future__ import annotations

import time

import pytest
from tests.serving import models
from tests.serving.conftest import Make
from tests.serving.raw import BODY, LIVE, Answer, answers, exchange, post, statuses
from tests.serving.running import Running, receive_all

APP = "https://app.example"


def asked(server: Running, method: str, path: str, *headers: str, host: str = "127.0.0.1") -> Answer:
    """The one answer to a request without a body."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *headers, "connection: close", "", ""]
    found = answers(exchange(server, "\r\n".join(lines).encode()), bare=method == "HEAD")
    assert len(found) == 1
    return found[0]


@pytest.fixture
def shop(make: Make) -> Running:
    """A server that the pages of one other origin may ask."""
    server = make(cors=(APP, "http://localhost:3000"))
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    return server


def test_head_is_get_without_the_body(shared: Running) -> None:
    for path, status in (("/v2", 200), ("/v2/health/live", 200), ("/metrics", 200), ("/nothing", 404)):
        whole, head = asked(shared, "GET", path), asked(shared, "HEAD", path)
        assert (whole.status, head.status) == (status, status)
        assert head.headers["content-type"] == whole.headers["content-type"]
        if path != "/metrics":  # its figures move
            assert head.headers["content-length"] == whole.headers["content-length"]
    assert asked(shared, "HEAD", "/predict").status == 405


def test_head_in_a_row_of_requests(shared: Running) -> None:
    head = LIVE.replace(b"GET", b"HEAD")
    got = exchange(shared, head + head)
    assert [one.status for one in answers(got, bare=True)] == [200, 200]


def test_options_tells_what_an_address_takes(shared: Running) -> None:
    got = asked(shared, "OPTIONS", "/predict")
    assert (got.status, got.headers["allow"]) == (204, "POST, OPTIONS")
    assert "content-length" not in got.headers
    assert asked(shared, "OPTIONS", "/v2").headers["allow"] == "GET, HEAD, OPTIONS"
    assert asked(shared, "OPTIONS", "*").status == 204
    assert asked(shared, "OPTIONS", "/nothing").status == 404
    assert asked(shared, "DELETE", "/v2").headers["allow"] == "GET, HEAD, OPTIONS"
    assert statuses(exchange(shared, b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n" + LIVE)) == [204, 200]


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PATCH", "DELETE", "PROPFIND", "LINK", "SOURCE"])
def test_other_methods_are_not_allowed(shared: Running, method: str) -> None:
    assert asked(shared, method, "/predict").status == 405


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "file://", "http://127.0.0.1.evil.example", "chrome-extension://abc", ""]
)
def test_pages_of_others_may_not_ask(shared: Running, origin: str) -> None:
    """Not even to tell the truth of a prediction, which needs no answer to do harm."""
    before = shared.status().known
    for path in ("/predict", "/feedback"):
        got = answers(exchange(shared, post(BODY, f"origin: {origin}", "content-type: text/plain", path=path)))
        if not origin:
            assert got[0].status in {200, 422}  # no origin at all
            continue
        assert [one.status for one in got] == [403]
        assert b"[serve] cors" in got[0].body
        assert "access-control-allow-origin" not in got[0].headers
    assert shared.status().known == before + (not origin)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:9000", "127.0.0.1"])
def test_our_own_pages_may(shared: Running, host: str) -> None:
    got = asked(shared, "GET", "/v2", f"origin: http://{host}", host=host)
    assert got.status == 200
    assert "access-control-allow-origin" not in got.headers


def test_a_name_that_was_made_to_lead_here_is_not_ours(shared: Running) -> None:
    """DNS rebinding: to the browser page and server are the same, and there is no token to stop it."""
    got = asked(shared, "GET", "/v2", "origin: http://evil.example:8080", host="evil.example:8080")
    assert got.status == 403


def test_with_a_token_a_server_may_have_any_name(make: Make) -> None:
    import hashlib

    server = make("s3cret", token_digest=hashlib.sha256(b"s3cret").hexdigest())
    told = ["origin: https://models.example", "authorization: Bearer s3cret"]
    assert asked(server, "GET", "/v2", *told, host="models.example").status == 200
    assert asked(server, "GET", "/v2", *told, host="other.example").status == 403
    assert asked(server, "GET", "/v2", told[0], host="models.example").status == 401


def test_pages_that_are_allowed_may(shop: Running) -> None:
    for origin in (APP, "http://localhost:3000", "HTTPS://APP.EXAMPLE"):
        got = answers(exchange(shop, post(BODY, f"origin: {origin}")))[0]
        assert got.status == 200
        assert got.headers["access-control-allow-origin"] == origin
        assert got.headers["vary"] == "origin"
        refused = answers(exchange(shop, post(b"{", f"origin: {origin}")))[0]
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, origin)
    for origin in ("https://app.example.evil", "http://app.example", "https://app.example:444"):
        assert asked(shop, "GET", "/v2", f"origin: {origin}").status == 403


def test_a_browser_that_asks_beforehand_is_told(shop: Running) -> None:
    ahead = ["access-control-request-method: POST", "access-control-request-headers: authorization"]
    got = asked(shop, "OPTIONS", "/predict", f"origin: {APP}", *ahead)
    assert got.status == 204
    assert got.headers["access-control-allow-origin"] == APP
    assert "POST" in got.headers["access-control-allow-methods"]
    assert {"authorization", "content-type"} <= set(got.headers["access-control-allow-headers"].split(", "))
    refused = asked(shop, "OPTIONS", "/predict", "origin: https://evil.example", *ahead)
    assert refused.status == 403
    assert "access-control-allow-origin" not in refused.headers


def test_all_pages_may_where_that_is_declared(make: Make) -> None:
    server = make(cors=("*",))
    got = asked(server, "GET", "/v2", "origin: null")
    assert (got.status, got.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize("value", ["x\x0b", "https://app.example\x01"])
def test_nothing_a_caller_sends_becomes_a_line_of_ours(shop: Running, value: str) -> None:
    got = exchange(shop, post(BODY, f"origin: {value}"))
    assert statuses(got) in ([400], [403])
    assert b"\r\nx-evil" not in exchange(shop, post(BODY, "origin: a%0d%0ax-evil: 1", path="/%0d%0ax-evil:%201"))


def test_the_caller_is_told_to_go_on_when_its_turn_has_come(shared: Running) -> None:
    head, body = post(BODY, "expect: 100-continue", "connection: close").split(b"\r\n\r\n")
    with shared.connect() as sock:
        sock.sendall(post() * 3 + head + b"\r\n\r\n")
        got = b""
        while not got.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            more = sock.recv(65_536)
            assert more
            got += more
        assert statuses(got[: -len(b"HTTP/1.1 100 Continue\r\n\r\n")]) == [200, 200, 200]
        sock.sendall(body)
        assert statuses(receive_all(sock)) == [200]


def test_a_caller_that_does_not_wait_to_be_told_is_told_nothing_late(shared: Running) -> None:
    got = exchange(shared, post(BODY, "expect: 100-continue") * 5)
    assert got.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").count(b"HTTP/1.1 200 OK") == 5


def test_who_may_not_send_a_body_is_not_told_to_go_on(make: Make) -> None:
    import hashlib

    server = make("s3cret", token_digest=hashlib.sha256(b"s3cret").hexdigest())
    for size in (10, 100_000):
        head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\nexpect: 100-continue\r\n\r\n".encode()
        with server.connect() as sock:
            began = time.monotonic()
            sock.sendall(head)
            assert statuses(receive_all(sock)) == [401]
            assert time.monotonic() - began < 3.0


def test_nobody_is_told_to_let_in_pages_without_an_origin(shared: Running) -> None:
    """Any page makes such an origin with a sandboxed frame: to list "null" would let in all of them."""
    (got,) = answers(exchange(shared, post(BODY, "origin: null")))
    assert (got.status, b"null" in got.body) == (403, False)
