"""An open load: requests go out when their time has come, whether the ones before were answered or not.

    python benchmarks/serving/open_load.py PORT BODY_FILE RATE SECONDS CONNECTIONS [NAME=VALUE header lines]

A request's time is counted from when it was due, so that a server that is late cannot hide it. RATE 0 is a closed load:
every connection asks again as soon as it is answered. Prints one JSON object. The time-outs of callers are not played.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from pathlib import Path

import uvloop


class Caller(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self in self.load.free:
            self.load.free.remove(self)
        self.load.lost += 1

    def ask(self, due: float) -> None:
        """Sends the request that was due then."""
        self.due = due
        self.transport.write(self.load.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.data[:end].lower()
        start = head.index(b"content-length:") + 15
        size = int(head[start:].split(b"\r\n", 1)[0])
        if len(self.data) < end + 4 + size:
            return
        status = int(head[9:12])
        self.data = b""
        self.load.answered(self, status, time.perf_counter() - self.due)


class Load:
    """The callers, and what they were told: seconds by status."""

    def __init__(self, request: bytes, rate: float, seconds: float) -> None:
        self.request = request
        self.rate = rate
        self.seconds = seconds
        self.free: deque[Caller] = deque()
        self.took: dict[int, list[float]] = {}
        self.late = self.lost = 0
        self.until = 0.0
        self.statuses: Counter[int] = Counter()

    def answered(self, caller: Caller, status: int, took: float) -> None:
        self.took.setdefault(status, []).append(took)
        self.statuses[status] += 1
        if self.rate == 0.0 and time.perf_counter() < self.until:
            caller.ask(time.perf_counter())
        else:
            self.free.append(caller)

    async def run(self, port: int, connections: int) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        for start in range(0, connections, 200):
            count = min(200, connections - start)
            await asyncio.gather(
                *(loop.create_connection(lambda: Caller(self), "127.0.0.1", port) for _ in range(count))
            )
        began = time.perf_counter()
        self.until = began + self.seconds
        sent = 0
        if self.rate == 0.0:
            while self.free:
                self.free.popleft().ask(began)
            await asyncio.sleep(self.seconds)
        else:
            while (now := time.perf_counter()) < self.until:
                while sent < self.rate * (now - began):
                    due = began + sent / self.rate
                    sent += 1
                    if self.free:
                        self.free.popleft().ask(due)
                    else:
                        self.late += 1  # no connection is free: it cannot be sent
                await asyncio.sleep(0.0005)
        waited = time.perf_counter()
        while len(self.free) + self.lost < connections and time.perf_counter() - waited < 10:
            await asyncio.sleep(0.01)
        return {
            "seconds": self.seconds,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "unsent": self.late,
            "lost": self.lost,
            "took": {
                str(status): {f"p{share * 100:g}": quantile(those, share) for share in (0.5, 0.95, 0.99, 1.0)}
                for status, those in self.took.items()
            },
        }


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
    print(json.dumps(uvloop.run(load.run(int(port), int(connections)))))


if __name__ == "__main__":
    main()
