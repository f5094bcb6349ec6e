"""Large bodies are set aside and answers sent in pieces, over real connections, with little of either in memory."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from trimtab.records.server import ServerConfig
from trimtab.serving.access.guard import Guard
from trimtab.serving.access.scopes import OPEN
from trimtab.serving.http.connections.connection import Connection
from trimtab.serving.http.crowd import Crowd
from trimtab.serving.http.origins import Origins
from trimtab.serving.http.request import Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.http.stream import Stream
from trimtab.serving.refusals import RefusalError

PIECE = b"0123456789abcdef" * 4096


class Mirror:
    """A desk that tells the digest of a body, or sends as many pieces as it is asked for."""

    draining = False

    def __init__(self, folder: Path, most: int) -> None:
        self.config = ServerConfig(system="mirror", max_body=1000, body_timeout=2.0, answer_timeout=2.0)
        self.guard = Guard(folder / "tokens.json", {})
        self.crowd = Crowd(self.config)
        self.origins = Origins((), "127.0.0.1")
        self.counted: list[int] = []
        self.spools: list[Spool] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.sent = 0
        self._folder = folder
        self._most = most

    def handle(self, connection: Connection, request: Request) -> None:
        if request.url == b"/digest":
            self.tasks.append(asyncio.ensure_future(self._digest(connection, request)))
        elif request.url.startswith(b"/pieces/"):
            asked = int(request.url.rpartition(b"/")[2])
            self.tasks.append(asyncio.ensure_future(self._pieces(connection.stream(), asked)))
        else:
            connection.answer(200, request.body)

    def spool(self, url: bytes) -> Spool | None:
        if url == b"/never":
            raise RefusalError(415, "not this one")
        if url != b"/digest":
            return None
        self.spools.append(Spool(self._folder, self._most))
        return self.spools[-1]

    def count(self, status: int) -> None:
        self.counted.append(status)

    def admission(self, url: bytes) -> tuple[Guard, int]:
        return self.guard, OPEN

    async def _digest(self, connection: Connection, request: Request) -> None:
        if request.spool is None:
            connection.answer(200, hashlib.sha256(request.body).hexdigest().encode())
            return
        with await asyncio.to_thread(request.spool.read) as file:
            told = await asyncio.to_thread(lambda: hashlib.file_digest(file, "sha256").hexdigest())
        request.spool.close()
        connection.answer(200, told.encode())

    async def _pieces(self, stream: Stream, asked: int) -> None:
        stream.begin(200, b"text/plain")
        for _ in range(asked):
            if not await stream.room():
                break
            stream.send(PIECE)
            self.sent += 1
        if asked == 13:
            stream.cut()
        else:
            stream.end()


def with_mirror(tmp_path: Path, talk: Callable[[int, Mirror], None], most: int = 10**8) -> Mirror:
    """Runs `talk(port, mirror)` in a thread against a mirror on a loop of its own."""
    mirror = Mirror(tmp_path / "aside", most)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Connection(mirror), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.to_thread(talk, port, mirror), 20)
        server.close()
        for connection in tuple(mirror.crowd.connections):
            connection._transport.abort()
        await asyncio.gather(*mirror.tasks)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return mirror


def ask(sock: socket.socket, head: str, *parts: bytes) -> None:
    sock.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    for part in parts:
        sock.sendall(part)


def receive(sock: socket.socket, end: bytes = b"") -> bytes:
    data = bytearray()
    while not (end and data.endswith(end)) and (more := sock.recv(1 << 20)):
        data += more
    return bytes(data)


def dechunk(data: bytes) -> tuple[bytes, bool]:
    """The body, and whether its last chunk came."""
    parts, at = [], 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end], 16)
        if not size:
            return b"".join(parts), True
        parts.append(data[end + 2 : end + 2 + size])
        at = end + 2 + size + 2
    return b"".join(parts), False


def test_a_large_body_goes_to_a_file_and_whole(tmp_path: Path) -> None:
    body = PIECE * 300  # 20 MB
    digest = hashlib.sha256(body).hexdigest().encode()

    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for _ in range(2):
                ask(sock, f"POST /digest HTTP/1.1\nhost: x\ncontent-length: {len(body)}", body)
                assert receive(sock, digest).endswith(digest)
            chunks = [b"%x\r\n%b\r\n" % (len(PIECE), PIECE)] * 300
            ask(sock, "POST /digest HTTP/1.1\nhost: x\ntransfer-encoding: chunked", *chunks, b"0\r\n\r\n")
            assert receive(sock, digest).endswith(digest)
            ask(sock, "POST /digest HTTP/1.1\nhost: x\ncontent-length: 3", b"abc")
            small = hashlib.sha256(b"abc").hexdigest().encode()
            assert receive(sock, small).endswith(small)
            assert len(mirror.spools) == 3

    mirror = with_mirror(tmp_path, talk)
    assert mirror.counted == [200] * 4
    assert all(spool._file is None for spool in mirror.spools)
    assert list((tmp_path / "aside").iterdir()) == []


def test_a_body_beyond_the_limit_is_refused_and_let_go(tmp_path: Path) -> None:
    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            chunks = [b"%x\r\n%b\r\n" % (len(PIECE), PIECE)] * 20
            ask(sock, "POST /digest HTTP/1.1\nhost: x\ntransfer-encoding: chunked", *chunks)
            answer = receive(sock)
            assert b" 413 " in answer
            assert b"larger than 1,000,000 bytes" in answer
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "POST /never HTTP/1.1\nhost: x\ncontent-length: 5000")
            assert b" 415 " in receive(sock)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "POST /other HTTP/1.1\nhost: x\ncontent-length: 5000")
            assert b" 413 " in receive(sock)

    mirror = with_mirror(tmp_path, talk, most=1_000_000)
    assert mirror.spools[0]._file is None


def test_a_caller_that_leaves_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "POST /digest HTTP/1.1\nhost: x\ncontent-length: 90000000", PIECE * 100)

    mirror = with_mirror(tmp_path, talk)
    assert mirror.counted == []
    assert mirror.spools[0]._closed


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "aside").write_text("a file where the folder should be")

    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(5)
            ask(sock, "POST /digest HTTP/1.1\nhost: x\ncontent-length: 90000000", PIECE * 20)
            answer = receive(sock)
            assert b" 507 " in answer
            assert b"cannot be kept" in answer

    with_mirror(tmp_path, talk)


def test_an_answer_in_pieces_waits_for_its_reader(tmp_path: Path) -> None:
    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "GET /pieces/1000 HTTP/1.1\nhost: x")
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(1000)
            deadline = 50
            before = -1
            while mirror.sent != before and deadline:  # it stops by itself, long before the end
                before, deadline = mirror.sent, deadline - 1
                time.sleep(0.05)
            assert mirror.sent < 500
            head, _, rest = head.partition(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            body, whole = dechunk(rest + receive(sock, b"\r\n0\r\n\r\n"))
            assert whole
            assert body == PIECE * 1000
            ask(sock, "POST / HTTP/1.1\nhost: x\ncontent-length: 5", b"again")
            assert receive(sock, b"again").startswith(b"HTTP/1.1 200 OK")

    assert with_mirror(tmp_path, talk).counted == [200, 200]


def test_an_old_caller_gets_no_chunks(tmp_path: Path) -> None:
    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "GET /pieces/3 HTTP/1.0\nhost: x")
            head, _, body = receive(sock).partition(b"\r\n\r\n")
            assert body == PIECE * 3
            assert b"connection: close" in head

    with_mirror(tmp_path, talk)


def test_an_answer_that_breaks_is_seen_to_be_broken(tmp_path: Path) -> None:
    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "GET /pieces/13 HTTP/1.1\nhost: x")
            data = b""
            try:
                while more := sock.recv(1 << 20):
                    data += more
            except ConnectionResetError:
                pass
            assert not dechunk(data.partition(b"\r\n\r\n")[2])[1]

    assert with_mirror(tmp_path, talk).counted == [500]


def test_a_caller_that_leaves_ends_the_sending(tmp_path: Path) -> None:
    def talk(port: int, mirror: Mirror) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            ask(sock, "GET /pieces/100000 HTTP/1.1\nhost: x")
            sock.recv(1000)

    assert with_mirror(tmp_path, talk).sent < 5000
