"""One server of a benchmark: started, asked, put under load, and what it took."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
TOKEN = "a-token-for-benchmarks"
Figures = dict[str, float]
_PATIENCE, _LOOK, _REST = 20.0, 0.2, 0.2


@dataclass
class Contender:
    """How to start a server (`command`, with `environment`), what to ask it (`path`, `body`, `headers`), and how to
    find its score in the answer (`score` of the body; None: it is not compared). `note` says how it is set up. `apart`
    is the core it runs on, and that of its callers (None: both run on whichever is free)."""

    name: str
    note: str
    path: str
    body: bytes
    score: Callable[[bytes], float] | None
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    port: int = 0
    apart: tuple[int, int] | None = None
    started: float = 0.0

    def start(self, folder: Path, expected: float) -> None:
        """Starts it and checks its first answer; `started` is the seconds that took."""
        plain = self.name.replace(",", "").replace(" ", "-")
        self.body_file = folder / f"{plain}.body"
        self.body_file.write_bytes(self.body)
        log = folder / f"{plain}.log"
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | self.environment
        began = time.perf_counter()
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                self._kept_to(0, self.command),
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.folder or folder,
            )
        while True:
            status, answer = self._ask()
            if status == 200:
                break
            if self.process.poll() is not None or time.perf_counter() - began > 120:
                tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
                raise SystemExit(f"{self.name} did not answer ({status}: {answer[:300]!r}):\n{tail}")
            time.sleep(0.01)
        self.started = time.perf_counter() - began
        if self.score is not None:
            found = self.score(answer)
            if abs(found - expected) > 1e-3:
                raise SystemExit(f"{self.name} answered {found}; the model says {expected}")

    def load(self, connections: int, seconds: float) -> Figures:
        """One run of wrk."""
        headers = "|".join(f"{name}={value}" for name, value in self.headers.items())
        environment = os.environ | {"BODY": str(self.body_file), "HEADERS": headers}
        url = f"http://127.0.0.1:{self.port}{self.path}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s"]
        before = self._cpu()
        command = self._kept_to(1, [*command, "-s", str(HERE / "post.lua"), url])
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        used = self._settled() - before
        line = next(line for line in out.splitlines() if line.startswith("RESULT"))
        requests, took, p50, p99, errors = map(int, line.split()[1:])
        return {
            "per_second": requests / (took / 1e6),
            "p50_ms": p50 / 1e3,
            "p99_ms": p99 / 1e3,
            "cpu_us": used / max(requests, 1) * 1e6,
            "errors": errors,
        }

    def _settled(self) -> float:
        """Its CPU seconds once it rests: what it puts off (shadow releases) is its own, and not the next one's."""
        used, until = self._cpu(), time.perf_counter() + _PATIENCE
        while time.perf_counter() < until:
            time.sleep(_LOOK)
            before, used = used, self._cpu()
            if used - before < _REST * _LOOK:
                break
        return used

    def memory(self) -> float:
        """Proportional share of memory of its processes, MB."""
        return sum(one.memory_full_info().pss for one in self._family()) / 1e6

    def stop(self) -> None:
        """Ends it, and all that it started."""
        family = self._family()
        for one in family:
            with_suppress(one.terminate)
        for one in psutil.wait_procs(family, timeout=10)[1]:
            with_suppress(one.kill)
        self.process.wait()

    def _kept_to(self, place: int, command: list[str]) -> list[str]:
        """The command on the core at that place of `apart`."""
        return command if self.apart is None else ["taskset", "--cpu-list", str(self.apart[place]), *command]

    def _ask(self) -> tuple[int | str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", self.path, self.body, {"Content-Type": "application/json"} | self.headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return str(error), b""
        finally:
            connection.close()

    def _family(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _cpu(self) -> float:
        total = 0.0
        for one in self._family():
            try:
                total += sum(one.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return total


def with_suppress(act: Callable[[], None]) -> None:
    """Does it, to a process that may have gone."""
    try:
        act()
    except psutil.NoSuchProcess:
        return


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
