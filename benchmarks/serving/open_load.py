"""An open load: requests go out when their time has come, whether the ones before were answered or not.

    python benchmarks/serving/open_load.py PORT BODY_FILE RATE SECONDS CONNECTIONS [NAME=VALUE header lines]

A request's time is counted from when it was due, so that a server that is late cannot hide it. RATE 0 is a closed load:
every connection asks again as soon as it is answered. Prints one JSON object. The time-outs of callers are not played.

It shares the machine with the server, so it is a bare loop over sockets that looks every two milliseconds what is due
and what has come, and times are told that much too long; `cores` tells what it took all the same.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from collections import Counter, deque
from pathlib import Path

_TICK = 0.002
_PATIENCE = 10.0


class Caller:
    """One connection with at most one request under way. `last`: the server has said that it ends with its answer."""

    __slots__ = ("data", "due", "last", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.data = b""
        self.last = False

    def heard(self) -> int:
        """The status of the answer that came; 0 while it is not whole. Raises OSError when the server has gone."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError
        data = self.data + data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            head = data[:end].lower()
            start = head.index(b"content-length:") + 15
            if len(data) >= end + 4 + int(head[start:].split(b"\r\n", 1)[0]):
                self.data = b""
                self.last = b"\r\nconnection: close" in head
                return int(head[9:12])
        self.data = data
        return 0


class Load:
    """The callers, and what they were told: seconds by status."""

    def __init__(self, request: bytes, rate: float, seconds: float) -> None:
        self.request = request
        self.rate = rate
        self.seconds = seconds
        self.free: deque[Caller] = deque()
        self.took: dict[int, list[float]] = {}
        self.late = self.lost = 0
        self.statuses: Counter[int] = Counter()
        self._poll = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._port = 0

    def run(self, port: int, connections: int) -> dict[str, object]:
        """The whole load; what came of it."""
        self._port = port
        self.free.extend(self._connected() for _ in range(connections))
        gc.freeze()
        used, began = time.process_time(), time.perf_counter()
        until = began + self.seconds
        sent = 0
        while self.rate == 0.0 and self.free:
            self._ask(self.free.popleft(), began)
        while (now := time.perf_counter()) < until:
            while sent < self.rate * (now - began):
                due = began + sent / self.rate
                sent += 1
                if self.free:
                    self._ask(self.free.popleft(), due)
                else:
                    self.late += 1  # no connection is free: it cannot be sent
            if self.rate:
                time.sleep(_TICK)
                self._hear(0.0, again=False)
            else:
                self._hear(until - now, again=True)
        cores = (time.process_time() - used) / self.seconds
        while len(self.free) + self.lost < connections and time.perf_counter() < until + _PATIENCE:
            self._hear(_TICK, again=False)
        return {
            "seconds": self.seconds,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "unsent": self.late,
            "lost": self.lost,
            "cores": cores,
            "took": {
                str(status): {f"p{share * 100:g}": quantile(those, share) for share in (0.5, 0.95, 0.99, 1.0)}
                for status, those in self.took.items()
            },
        }

    def _ask(self, caller: Caller, due: float) -> None:
        caller.due = due
        try:
            caller.sock.sendall(self.request)
        except OSError:
            self._lose(caller)

    def _hear(self, wait: float, *, again: bool) -> None:
        for number, _ in self._poll.poll(wait):
            caller = self._callers[number]
            try:
                status = caller.heard()
            except OSError:
                self._lose(caller)
                continue
            if not status:
                continue
            now = time.perf_counter()
            self.took.setdefault(status, []).append(now - caller.due)
            self.statuses[status] += 1
            if caller.last:
                self._forget(caller)
                caller = self._connected()
            if again:
                self._ask(caller, now)
            else:
                self.free.append(caller)

    def _connected(self) -> Caller:
        caller = Caller(self._port)
        self._callers[caller.sock.fileno()] = caller
        self._poll.register(caller.sock.fileno(), select.EPOLLIN)
        return caller

    def _forget(self, caller: Caller) -> bool:
        """Whether it was known until now."""
        number = caller.sock.fileno()
        if self._callers.pop(number, None) is None:
            return False
        self._poll.unregister(number)
        caller.sock.close()
        return True

    def _lose(self, caller: Caller) -> None:
        if self._forget(caller):
            if caller in self.free:
                self.free.remove(caller)
            self.lost += 1


def quantile(values: list[float], share: float) -> float:
    """The value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main() -> None:
    """Asks, and prints what came of it."""
    port, body, rate, seconds, connections, *headers = sys.argv[1:]
    content = Path(body).read_bytes()
    lines = [line.replace("=", ": ", 1) for line in headers]
    head = "\r\n".join(["POST %s HTTP/1.1", "host: x", "content-type: application/json", *lines])
    head = head % "/v2/models/bench/infer" + f"\r\ncontent-length: {len(content)}\r\n\r\n"
    load = Load(head.encode() + content, float(rate), float(seconds))
    print(json.dumps(load.run(int(port), int(connections))))


if __name__ == "__main__":
    main()
