"""HTTP by hand: requests as bytes on a bare socket, and what came back."""

from __future__ import annotations

import gzip
import re
import socket
import time
import zlib
from typing import NamedTuple

import orjson
from tests.serving.running import Running, receive_all

ROW = {"distance": 1.0, "carrier": "AA"}
BODY = orjson.dumps([ROW])
LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"


class Answer(NamedTuple):
    """One answer: header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(body: bytes = BODY, *headers: str, path: str = "/predict") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*parts: bytes, path: str = "/predict", end: bytes = b"0\r\n\r\n") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


def exchange(server: Running, *parts: bytes) -> bytes:
    """Sends the parts, ends our side, and takes what comes."""
    with server.connect() as sock:
        for part in parts:
            sock.sendall(part)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


def exchange_until_closed(server: Running, data: bytes, seconds: float = 10.0) -> bytes:
    """Sends as much as is taken, without ending our side, and takes what comes until the server closes."""
    with server.connect() as sock:
        sock.setblocking(False)
        got, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            if data:
                try:
                    data = data[sock.send(data[:262_144]) :]
                except BlockingIOError:
                    pass
                except OSError:
                    data = b""
            try:
                more = sock.recv(65_536)
            except BlockingIOError:
                time.sleep(0.001)
                continue
            except OSError:
                return got
            if not more:
                return got
            got += more
    raise AssertionError(f"the server did not close within {seconds:g} s; it said {got[:200]!r}")


def answers(data: bytes, *, bare: bool = False) -> list[Answer]:
    """All answers in what came, without those that only say "go on"; `bare`: they have heads alone."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z /'-]+", line)
        assert match is not None, f"not the head of an answer: {head[:200]!r}"
        headers = {}
        for one in lines:
            name, _, value = one.partition(": ")
            assert name.lower() not in headers, f"{name} twice in {head!r}"
            headers[name.lower()] = value
        if match[1] == "100":
            continue
        size = int(headers.get("content-length", "0"))
        if bare:
            found.append(Answer(int(match[1]), headers, b""))
            continue
        assert len(data) >= size, f"{size} bytes promised, {len(data)} came"
        found.append(Answer(int(match[1]), headers, data[:size]))
        data = data[size:]
    return found


def statuses(data: bytes) -> list[int]:
    return [one.status for one in answers(data)]


def status_of(data: bytes) -> int:
    return answers(data)[0].status


def plain(answer: Answer) -> bytes:
    """The body, whatever form it came in."""
    form = answer.headers.get("content-encoding", "")
    return gzip.decompress(answer.body) if form == "gzip" else zlib.decompress(answer.body) if form else answer.body
