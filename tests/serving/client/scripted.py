"""A real TCP server that answers as it is told: for what a sound server does not do on demand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence

Act = Callable[[socket.socket, bytes], bool]


class Scripted:
    """Does one act for each request that comes, in their order; an act tells whether the connection goes on. The last
    one is repeated. `asked` are the requests, `at` when they came, `connections` how many were opened."""

    def __init__(self, *acts: Act) -> None:
        self._acts: Sequence[Act] = acts
        self.asked: list[bytes] = []
        self.at: list[float] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while (request := _read(sock)) is not None:
                with self._lock:
                    act = self._acts[min(len(self.asked), len(self._acts) - 1)]
                    self.asked.append(request)
                    self.at.append(time.monotonic())
                if not act(sock, request):
                    return


def _read(sock: socket.socket) -> bytes | None:
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            if not (part := sock.recv(65_536)):
                return None
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < size:
            body += sock.recv(65_536)
    except OSError:
        return None
    return head + b"\r\n\r\n" + body


def answer(status: int, body: bytes = b'{"predictions":[]}', *head: str) -> Act:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *head, "", ""]

    def act(sock: socket.socket, _: bytes) -> bool:
        sock.sendall("\r\n".join(lines).encode() + body)
        return "connection: close" not in head

    return act


def in_pieces(*pieces: bytes) -> Act:
    """Bytes as they are, with pauses between them."""

    def act(sock: socket.socket, _: bytes) -> bool:
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(0.01)
        return True

    return act


def hang_up(sock: socket.socket, _: bytes) -> bool:
    """Ends the connection without a word."""
    return False


def half(sock: socket.socket, _: bytes) -> bool:
    """Breaks off within an answer."""
    sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    return False


def silence(seconds: float) -> Act:
    """Says nothing for a while."""

    def act(sock: socket.socket, _: bytes) -> bool:
        time.sleep(seconds)
        return False

    return act
