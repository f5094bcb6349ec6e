"""The certificate that is shown, and the one that takes its place."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop
from tests.serving.access.certificates import Authority

from trimtab.errors import PermanentError
from trimtab.serving.access.tls import ServerTls


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "server.pem", tmp_path / "server.key"


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


def served(tls: ServerTls, talk: Callable[[int], None]) -> None:
    """Runs `talk(port)` in a thread against an echo on uvloop."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=tls.context, ssl_shutdown_timeout=1.0)
        try:
            await asyncio.wait_for(asyncio.to_thread(talk, server.sockets[0].getsockname()[1]), 20)
        finally:
            server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def connect(port: int, authority: Authority, name: str | None = "localhost", **how: object) -> ssl.SSLSocket:
    """A connection by a caller that verifies; by name, or by address and without naming the server."""
    context = ssl.create_default_context(cafile=str(authority.path))
    for key, value in how.items():
        setattr(context, key, value)
    if name is None:
        context.check_hostname = False
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname=name)


def serial(sock: ssl.SSLSocket) -> int:
    return int(str((sock.getpeercert() or {})["serialNumber"]), 16)


def echoes(sock: ssl.SSLSocket) -> bool:
    sock.sendall(b"hello")
    return sock.recv(100) == b"hello"


def test_new_connections_are_shown_new_files_and_old_ones_go_on(authority, files):
    first = authority.issue(*files)
    tls = ServerTls(*files)

    def talk(port: int) -> None:
        with connect(port, authority) as old:
            assert serial(old) == first
            assert echoes(old)
            second = authority.issue(*files, kind="rsa")  # another kind of key, which must not leave the former one
            tls.refresh()
            for name in ("localhost", "127.0.0.1", None):
                with connect(port, authority, name) as new:
                    assert serial(new) == second
                    assert echoes(new)
            third = authority.issue(*files)
            tls.refresh()
            with connect(port, authority) as new:
                assert serial(new) == third
                assert new.selected_alpn_protocol() is None
            assert serial(old) == first
            assert echoes(old)

    served(tls, talk)


def test_a_caller_that_trusts_another_authority_turns_away(authority, files, tmp_path):
    authority.issue(*files)
    other = Authority(tmp_path / "other", "other")

    def talk(port: int) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, other)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, authority, "elsewhere.example")
        with connect(port, authority) as sock:
            assert echoes(sock)

    served(ServerTls(*files), talk)


@pytest.mark.parametrize(("version", "taken"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_refused(authority, files, version, taken):
    authority.issue(*files)

    def talk(port: int) -> None:
        only = ssl.TLSVersion[version]
        how = {"minimum_version": only, "maximum_version": only}
        if not taken:
            with pytest.raises((ssl.SSLError, OSError)):
                connect(port, authority, **how)
            return
        with connect(port, authority, **how) as sock:
            assert sock.version() == version.replace("_", ".")
            assert echoes(sock)

    served(ServerTls(*files), talk)


def spoil(how: str, authority: Authority, files: tuple[Path, Path]) -> None:
    certificate, key = files
    if how == "torn":
        certificate.write_bytes(certificate.read_bytes()[:100])
    elif how == "mismatch":
        authority.issue(certificate, key.with_suffix(".other"))
    elif how == "gone":
        key.unlink()
    elif how == "password":
        authority.issue(*files, password=b"secret")
    elif how == "expired":
        authority.issue(*files, start=timedelta(days=-9), end=timedelta(days=-1))
    elif how == "early":
        authority.issue(*files, start=timedelta(days=1))
    else:
        key.write_bytes(b"")


SPOILT = {
    "torn": "not in PEM form",
    "mismatch": "the key is that of another certificate",
    "gone": "server.key cannot be read: No such file",
    "password": "protected by a password",
    "expired": "valid only from",
    "early": "valid only from",
    "empty": "not in PEM form",
}


@pytest.mark.parametrize("how", SPOILT)
def test_files_that_cannot_be_used_change_nothing_and_are_told_once(authority, files, how, caplog):
    before = authority.issue(*files)
    tls = ServerTls(*files)
    spoil(how, authority, files)

    def talk(port: int) -> None:
        with caplog.at_level(logging.INFO, "trimtab.serving"):
            for _ in range(3):
                tls.refresh()
        with connect(port, authority) as sock:
            assert serial(sock) == before
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "the certificate stays as it was" in caplog.text
        assert SPOILT[how] in caplog.text
        after = authority.issue(*files)
        tls.refresh()
        with connect(port, authority) as sock:
            assert serial(sock) == after

    served(tls, talk)


@pytest.mark.parametrize("how", sorted(SPOILT.keys() - {"expired", "early"}))
def test_files_that_cannot_be_used_are_named_at_the_start(authority, files, how):
    authority.issue(*files)
    spoil(how, authority, files)
    with pytest.raises(PermanentError) as caught:
        ServerTls(*files)
    assert SPOILT[how] in caught.value.in_one_line()


@pytest.mark.parametrize("end", [timedelta(days=-1), timedelta(days=3)])
def test_one_that_has_expired_or_soon_will_is_shown_and_warned_of(authority, files, caplog, end):
    authority.issue(*files, start=timedelta(days=-30), end=end)
    tls = ServerTls(*files)
    assert "valid only from" in caplog.text
    assert tls.validity.end == pytest.approx(tls._now() + end.total_seconds(), abs=60)


def test_what_speaks_no_tls_gets_nothing_and_hurts_nobody(authority, files, caplog):
    authority.issue(*files)

    def talk(port: int) -> None:
        for sent in (*2 * [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"], b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\0", b""):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1000)
        with connect(port, authority) as sock:
            assert echoes(sock)

    served(ServerTls(*files), talk)
    (told,) = caplog.records  # not for each, or anybody could fill the log
    assert "plain HTTP reached" in told.message
