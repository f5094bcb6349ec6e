"""A connection without a socket: bytes in as they are cut, and what came out, checked to be whole answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trimtab.serving.http.connections.connection import Connection
from trimtab.serving.http.port import Desk
from trimtab.serving.http.request import Request

MARK = b"\xfe\xff\xfe"
MARKED = 255
_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z' -]+")


class Transport:
    """Takes what is written; never full."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ended = False
        self.paused = False

    def write(self, data: bytes) -> None:
        assert not self.ended, "written after the end"
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    abort = close


class Watched(Connection):
    """Remembers of each request whose turn came whether its answer has no body."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.begun: list[bool] = []

    def _begin(self, request: Request) -> None:
        self.begun.append(request.bare)
        super()._begin(request)


def opened(desk: Desk) -> tuple[Watched, Transport]:
    """A new connection to a desk."""
    connection, transport = Watched(desk), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    return connection, transport


def held(connection: Watched, transport: Transport, counted: list[int]) -> list[int]:
    """The statuses of what was answered. Holds them to what was begun: one for each, and one more at most, the last."""
    found = statuses(b"".join(transport.written), connection.begun)
    assert found == counted, f"counted {counted}, sent {found}"
    assert len(found) - len(connection.begun) in (0, 1), f"{len(connection.begun)} requests, {len(found)} answers"
    if len(found) > len(connection.begun):
        assert found[-1] >= 400
        assert transport.ended, "refused, and not closed"
    return found


def cut(data: bytes, pattern: int) -> Iterator[bytes]:
    """The data in pieces: whole, where it holds MARKs, byte by byte, or of sizes that follow from `pattern`. Marks
    belong to no piece."""
    if pattern == MARKED:
        yield from data.split(MARK)
        return
    data = data.replace(MARK, b"")
    if pattern == 0:
        yield data
        return
    at, size = 0, pattern
    while at < len(data):
        yield data[at : at + size]
        at += size
        size = 1 if pattern == 1 else size * 31 % 257 + 1


def statuses(data: bytes, bare: list[bool]) -> list[int]:
    """The statuses of the answers in `data`, which must be nothing but whole answers; `bare` tells, in their order,
    which have no body (the requests were HEAD)."""
    found: list[int] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half an answer: {head[:100]!r}"
        line, *lines = head.split(b"\r\n")
        match = _LINE.fullmatch(line)
        assert match is not None, f"no head of an answer: {head[:100]!r}"
        status = int(match[1])
        if status == 100:
            continue
        fields: dict[bytes, bytes] = {}
        for one in lines:
            name, colon, value = one.partition(b": ")
            assert colon, f"no header line: {one!r}"
            assert re.fullmatch(rb"[a-z0-9-]+", name), f"no header name: {name!r}"
            assert name not in fields, f"given twice: {name!r}"
            assert re.fullmatch(rb"[\x20-\x7e]*", value), f"no header value: {value!r}"
            fields[name] = value
        place = len(found)
        found.append(status)
        if status == 204 or (place < len(bare) and bare[place]):
            continue
        if b"transfer-encoding" in fields:
            data = _past_chunks(data)
            continue
        size = int(fields[b"content-length"])
        assert len(data) >= size, f"{size} bytes promised, {len(data)} came"
        data = data[size:]
    return found


def _past_chunks(data: bytes) -> bytes:
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        assert data[length : length + 2] == b"\r\n", "a chunk has no end"
        data = data[length + 2 :]
        if length == 0:
            return data
