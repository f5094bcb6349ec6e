"""TLS on the real server: verified by callers, renewed while they go on; HTTP and gRPC, one process and several."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from tests.serving import models
from tests.serving.access.certificates import Authority
from tests.serving.callers import Callers
from tests.serving.conftest import Make
from tests.serving.grpc.calls import Caller
from tests.serving.raw import LIVE, ROW, answers, post
from tests.serving.running import Running, receive_all, until

from trimtab import Client
from trimtab.errors import PermanentError


class Place:
    """An authority, its files, and servers that show them."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.authority = Authority(folder)
        self.files = folder / "server.pem", folder / "server.key"
        self.serial = self.authority.issue(*self.files)
        self._make = make

    def server(self, **settings: object) -> Running:
        made = self._make(tls_cert=str(self.files[0]), tls_key=str(self.files[1]), **settings)
        made.route(models.route("r1", models.bundle(made.blobs, models.sigmoid([1.0, 1.0]))))
        return made

    def renew(self) -> int:
        return self.authority.issue(*self.files, kind="rsa")

    def connect(self, server: Running) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.authority.path))
        return context.wrap_socket(server.connect(), server_hostname="localhost")

    def shown(self, server: Running) -> int:
        """The serial number of the certificate that a new connection is shown."""
        with self.connect(server) as sock:
            return int(str((sock.getpeercert() or {})["serialNumber"]), 16)

    def client(self, server: Running, **how: object) -> Client:
        return Client(server.url, ca=self.authority.path, **how)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, make: Make) -> Place:
    return Place(tmp_path / "tls", make)


def test_callers_verify_the_server_and_the_loop_goes_on_asking_it(place: Place, tmp_path: Path) -> None:
    server = place.server()
    assert server.url.startswith("https://")
    with place.client(server) as client:
        assert client.predict([ROW])[0].release == "r1"
    with Client(server.url) as stranger, pytest.raises(PermanentError, match="not trusted"):
        stranger.predict([ROW])
    other = Authority(tmp_path / "other", "other")
    with (
        Client(server.url, ca=other.path, patience=0.5) as stranger,
        pytest.raises(PermanentError, match="not trusted"),
    ):
        stranger.predict([ROW])
    status = server.local.status()
    assert status is not None
    assert status.ready


@pytest.mark.parametrize("processes", [1, 2])
def test_plain_http_at_the_port_that_speaks_tls_is_told(place: Place, processes: int) -> None:
    """In plain HTTP, which the caller understands; those who speak TLS go on."""
    server = place.server(processes=processes)
    log = server.layout.serve / "server.log"
    with place.client(server) as client:
        for request in (LIVE, post(), b"OPTIONS * HTTP/1.1\r\n", post(b"x" * 300_000)):
            with server.connect() as sock:
                with suppress(ConnectionError):  # it need not read all of what it does not understand
                    sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                came = receive_all(sock)
            assert came.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"this port speaks TLS" in came
            assert b"https://" in came
            assert int(came.partition(b"content-length: ")[2].partition(b"\r\n")[0]) == len(
                came.partition(b"\r\n\r\n")[2]
            )
        assert client.predict([ROW])[0].release == "r1"
    told = [line for line in log.read_text().splitlines() if "plain HTTP reached the port that speaks TLS" in line]
    assert 1 <= len(told) <= processes, "a flood of them does not fill the log"


def test_plain_http_that_stays_is_not_waited_for_longer_than_a_handshake(place: Place) -> None:
    server = place.server(header_timeout=0.5)
    with server.connect() as sock:
        sock.sendall(LIVE)
        began = time.monotonic()
        with suppress(ConnectionError):
            assert b"this port speaks TLS" in receive_all(sock)
        assert time.monotonic() - began < 5.0


def test_a_caller_who_does_not_trust_the_certificate_is_told_of_in_the_log(place: Place) -> None:
    server = place.server()
    log = server.layout.serve / "server.log"
    with server.connect() as sock, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
    until(lambda: "the caller does not trust the certificate" in log.read_text(), 5.0)
    with server.connect() as sock:
        sock.sendall(b"\x00\x01 whatever this is \r\n\r\n")
        with suppress(ConnectionError):
            assert b"HTTP" not in receive_all(sock), "what is no HTTP is not answered in it"


def test_tls_at_the_port_that_speaks_plain_http_is_told_in_the_log(make: Make) -> None:
    server = make()
    with server.connect() as sock, pytest.raises(ssl.SSLError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")
    log = server.layout.serve / "server.log"
    until(lambda: "TLS reached the port that speaks plain HTTP" in log.read_text(), 5.0)
    with server.connect() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert b"this port speaks plain HTTP" in receive_all(sock)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_certificate_is_renewed_and_nobody_notices(place: Place, processes: int) -> None:
    server = place.server(processes=processes)
    failures, answered = list[str](), [0]

    def go_on(number: int, over: threading.Event) -> None:
        turns = 2 if number == 2 else 1000  # one comes again and again, the others stay
        while not over.is_set():
            with place.client(server, patience=0.0) as client:
                for _ in range(turns):
                    try:
                        client.predict([ROW])
                        answered[0] += 1
                    except Exception as error:
                        failures.append(repr(error))
                    if over.is_set():
                        return

    with Callers(go_on, 3):
        for number in range(3):
            serial = place.renew()
            if number == 1:
                os.kill(server.local.pid or 0, signal.SIGHUP)
            until(lambda: all(place.shown(server) == serial for _ in range(2 * processes)), 5.0)  # noqa: B023
    assert not failures
    assert answered[0] > 50
    assert server.local.status() is not None  # the loop trusts the new one


def test_a_bad_certificate_keeps_the_former_one_and_says_so(place: Place) -> None:
    server = place.server()
    place.files[1].write_bytes(b"no key")
    log = server.layout.serve / "server.log"
    until(lambda: "the certificate stays as it was" in log.read_text(), 5.0)
    assert place.shown(server) == place.serial
    assert server.local.status() is not None
    serial = place.renew()
    until(lambda: place.shown(server) == serial, 5.0)


def test_a_bad_certificate_at_the_start_is_an_error_that_names_it(place: Place, make: Make) -> None:
    place.files[0].write_bytes(b"nothing")
    with pytest.raises(PermanentError, match=r"server\.pem and tls_key .* cannot be used"):
        place.server()
    place.files[0].unlink()
    with pytest.raises(PermanentError, match=r"server\.pem cannot be read"):
        place.server(processes=2)


def test_grpc_shows_the_same_certificate_and_the_next_one(place: Place) -> None:
    server = place.server(grpc_port=0)
    info = server.local._info()
    assert info is not None
    assert info.grpc_address is not None
    roots = place.authority.path.read_bytes()

    def ask(trusted: bytes) -> bool:
        credentials = grpc.ssl_channel_credentials(trusted)
        options = [("grpc.ssl_target_name_override", "localhost")]
        with Caller(
            info.grpc_address or "", channel=grpc.secure_channel(info.grpc_address, credentials, options)
        ) as call:
            return bool(call("ServerLive", timeout=5.0).live)

    assert ask(roots)
    other = Authority(place.files[0].parent / "other", "other")
    with pytest.raises(grpc.RpcError):
        ask(other.path.read_bytes())
    with Caller(info.grpc_address) as plain, pytest.raises(grpc.RpcError):
        plain("ServerLive", timeout=2.0)
    other.issue(*place.files)
    until(lambda: _holds(lambda: ask(other.path.read_bytes())), 10.0)
    with pytest.raises(grpc.RpcError):
        ask(roots)


def _holds(ask: Callable[[], bool]) -> bool:
    with suppress(grpc.RpcError):
        return ask()
    return False


def test_what_speaks_no_tls_is_closed_and_fills_no_log(place: Place) -> None:
    server = place.server(header_timeout=0.5)
    log = server.layout.serve / "server.log"
    for sent in (LIVE, LIVE, b"\x16\x03\x01\x00\x05hello", b"\0" * 1000):
        with server.connect() as sock:
            sock.sendall(sent)
            with suppress(ConnectionResetError):
                assert b"HTTP/1.1 200" not in receive_all(sock)
    assert log.read_text().count("plain HTTP reached the port") == 1
    before = log.read_text()
    began = time.monotonic()
    with server.connect() as slow:  # says nothing at all
        with suppress(ConnectionResetError):
            assert receive_all(slow) == b""
        assert 0.3 < time.monotonic() - began < 3.0
    with place.connect(server) as sock:
        sock.sendall(LIVE)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert log.read_text() == before


def test_abuse_is_refused_over_tls_as_well(place: Place) -> None:
    server = place.server(header_timeout=0.5, body_timeout=0.5, max_body=10_000)
    for sent, status in (
        (b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000, 431),
        (b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + bytes(100_000), 413),
        (b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST /pre", 408),
    ):
        with place.connect(server) as sock:
            sock.sendall(sent)
            assert [one.status for one in answers(read_all(sock))] == [status]
    with place.connect(server) as sock:
        sock.sendall(post() * 200 + LIVE)
        got = b""
        while got.count(b"HTTP/1.1 200") < 201:
            got += sock.recv(65_536)


def read_all(sock: ssl.SSLSocket) -> bytes:
    got = b""
    with suppress(ssl.SSLError, ConnectionResetError):
        while more := sock.recv(65_536):
            got += more
    return got


def test_the_key_is_nowhere_in_the_state_folder(place: Place) -> None:
    server = place.server()
    key = place.files[1].read_bytes().splitlines()[1]
    for path in server.layout.root.rglob("*"):
        assert not path.is_file() or key not in path.read_bytes(), path
