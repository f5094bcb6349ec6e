"""A long load while the releases move: what failed, what grew, and whether the telemetry has every answered row once.

    python benchmarks/serving/soak.py [--seconds 60] [--processes 2] [--rate 1000] [--every 5] [--kill 0] [--json]

LightGBM of 100 trees. An open load of JSON requests on connections that stay open, and callers that come with a
connection for each request, compare the answer with both models' own, and tell the truth to whoever then takes their
call. Every few seconds the releases change: the live one, a canary of 20%, a shadow, by turns; and the server is told
to read its settings again. Nobody asks twice: whatever is not answered with 200 has failed. With `--kill` a process of
the server is killed so often; what its connections lose then is told apart.

Memory is what the processes have for themselves, less eight bytes for each prediction id that the server remembers.
Ends with 1 when a request failed, a row is missing or there twice, or more than `--growth` MB were added between the
second fifth (both models have been loaded by then) and the last.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
from contender import HERE, TOKEN, Contender
from ours import SYSTEM, trimtab
from trees import trees
from workload import Workload

from trimtab.records.blobs import Blobs
from trimtab.records.durable import write_atomically
from trimtab.records.layout import Layout
from trimtab.records.model import ModelBundle, Route, Routes
from trimtab.records.server import ServerStatus
from trimtab.serving.client.answers import Truth
from trimtab.serving.client.sync import Client
from trimtab.serving.telemetry.reading.reader import TelemetryReader

_STRANGERS = 2
_ID = 8e-6  # MB that the server keeps of a prediction id of a request by itself, as nearly all are here


def main() -> int:
    """Soak, and print what came of it."""
    parser = argparse.ArgumentParser(description="a long load while the releases move")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--processes", type=int, default=2, help="of the server (default: 2)")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second of the open load (default: 1000)")
    parser.add_argument("--connections", type=int, default=32, help="of the open load (default: 32)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two moves (default: 5)")
    parser.add_argument("--kill", type=float, default=0.0, help="seconds between two kills (default: none)")
    parser.add_argument("--growth", type=float, default=4.0, help="MB that may be added (default: 4)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-soak-") as name:
        folder = Path(name)
        asked = trees(folder)
        server = trimtab(asked, folder, processes=args.processes)
        server.start(folder, asked.expected)
        try:
            state = Path(server.command[server.command.index("--state") + 1])
            told = soak(server, asked, Layout(state), args)
        finally:
            server.stop()
    bad = told["failed"] or told["missing"] or told["twice"] or told["grew_mb"] > args.growth
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        print("".join(f"{name.replace('_', ' '):>22}  {value}\n" for name, value in told.items() if name != "failures"))
        for failure in told["failures"][:10]:
            print(f"failed: {failure}")
    return 1 if bad else 0


def soak(server: Contender, asked: Workload, layout: Layout, args: argparse.Namespace) -> dict[str, Any]:
    """One soak; its figures."""
    over = threading.Event()
    strangers = [Stranger(server, asked, over, patient=args.kill > 0) for _ in range(_STRANGERS)]
    mover = Mover(server, asked, layout, over, args.every)
    watch = Watch(server, over)
    killer = [Killer(server, over, args.kill)] if args.kill else []
    threads = [*strangers, mover, watch, *killer]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    load = _load(server, args)
    over.set()
    for thread in threads:
        thread.join()
    failures = [told for thread in threads for told in thread.failures]
    refused = sum(count for status, count in load["statuses"].items() if status != "200")
    lost = load["lost"] if not args.kill else 0
    answered = load["statuses"].get("200", 0) + sum(one.answered for one in strangers) + 1  # one as it was started
    with Client(f"http://127.0.0.1:{server.port}", TOKEN) as client:
        client.settle()
    kept, fifths = _kept(layout), watch.fifths()
    return {
        "seconds": round(time.monotonic() - began),
        "processes": args.processes,
        "answered": answered,
        "failed": refused + lost + len(failures),
        "lost_with_killed": load["lost"] if args.kill else 0,
        "unsent": load["unsent"],
        "p50_ms": round(1e3 * load["took"]["200"]["p50"], 2),
        "p99_ms": round(1e3 * load["took"]["200"]["p99"], 2),
        "moves": mover.moves,
        "slowest_move_ms": round(1e3 * max(mover.took, default=0.0)),
        "kills": sum(one.kills for one in killer),
        "missing": max(answered - kept["rows"], 0) if not args.kill else 0,
        "twice": kept["twice"],
        "shadowed": kept["shadowed"],
        "truths": f"{sum(one.truths for one in strangers)} told, {kept['truths']} kept",
        "memory_mb": f"{', '.join(map(str, fifths))}; with the ids {watch.shares[-1][1]:.1f}",
        "grew_mb": round(fifths[-1] - fifths[min(1, len(fifths) - 1)], 1),
        "failures": failures,
    }


def _load(server: Contender, args: argparse.Namespace) -> dict[str, Any]:
    headers = [f"{name}={value}" for name, value in server.headers.items()]
    figures = (server.port, server.body_file, args.rate, args.seconds, args.connections)
    told = subprocess.run(
        [sys.executable, str(HERE / "open_load.py"), *map(str, figures), *headers],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(told.stdout)
    return found


class Stranger(threading.Thread):
    """Comes with a connection for each request, and tells the truth with another."""

    def __init__(self, server: Contender, asked: Workload, over: threading.Event, *, patient: bool) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.answered = self.truths = 0
        self._url = f"http://127.0.0.1:{server.port}"
        self._patience = 20.0 if patient else 0.0
        self._over = over
        self._right = _scores(asked)
        self._rows = [dict(zip((one.name for one in asked.signature.inputs), asked.row.tolist(), strict=True))]

    def run(self) -> None:
        while not self._over.wait(0.02):
            try:
                with Client(self._url, TOKEN, patience=self._patience) as client:
                    answer = client.predict(self._rows)[0]
                self.answered += 1
                if not any(abs(float(answer.score) - right) < 1e-5 for right in self._right):  # type: ignore[arg-type]
                    self.failures.append(f"{answer.release} answered {answer.score}")
                with Client(self._url, TOKEN, patience=self._patience) as client:
                    self.failures += [f"{name} is not known" for name in client.feedback([Truth(answer.id, "benign")])]
                self.truths += 1
            except Exception as error:  # whatever it is, a request has failed
                self.failures.append(f"{type(error).__name__}: {error}")


class Mover(threading.Thread):
    """Changes the routes, and waits until they are in force in every process."""

    def __init__(self, server: Contender, asked: Workload, layout: Layout, over: threading.Event, every: float) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.took: list[float] = []
        self._server = server
        self._over = over
        self._every = every
        self._layout = layout
        blobs = Blobs(layout.blobs)
        self._bundles = [ModelBundle(onnx=blobs.put(g), signature=asked.signature) for g in (asked.graph, asked.rival)]

    @property
    def moves(self) -> int:
        """How often the routes have changed."""
        return len(self.took)

    def run(self) -> None:
        generation = 1
        with Client(f"http://127.0.0.1:{self._server.port}", TOKEN) as client:
            while not self._over.wait(self._every):
                generation += 1
                began = time.monotonic()
                try:
                    write_atomically(self._layout.routes, msgspec.json.encode(self._routes(generation)))
                    if generation % 4 == 0:
                        os.kill(self._server.process.pid, signal.SIGHUP)
                    while (status := client.status()).applied != generation:
                        if status.error or time.monotonic() - began > 20:
                            self.failures.append(f"generation {generation}: {status.error or 'not yet in force'}")
                            break
                        time.sleep(0.005)
                except Exception as error:
                    self.failures.append(f"generation {generation}: {error}")
                self.took.append(time.monotonic() - began)

    def _routes(self, generation: int) -> Routes:
        """By turns: alone, with a shadow, with a canary; the live model changes each time."""
        live, other = self._bundles[generation % 2], self._bundles[1 - generation % 2]
        names = [f"r{generation}", f"s{generation}"]
        routes = [Route(release=names[0], model=f"m{generation % 2}", bundle=live, stage="live")]
        if generation % 3:
            stage = "shadow" if generation % 3 == 1 else "canary"
            weight = 0.2 if stage == "canary" else 0.0
            routes.append(Route(release=names[1], model="m2", bundle=other, stage=stage, weight=weight))
        return Routes(generation=generation, system=SYSTEM, routes=tuple(routes), written=datetime.now(UTC))


class Watch(threading.Thread):
    """Looks at the memory every second: (without, with) what the ids take, MB."""

    def __init__(self, server: Contender, over: threading.Event) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.shares: list[tuple[float, float]] = []
        self._server = server
        self._over = over

    def run(self) -> None:
        with Client(f"http://127.0.0.1:{self._server.port}", TOKEN) as client:
            while not self._over.wait(1.0):
                try:
                    status: ServerStatus = client.status()
                    memory = self._own_memory()
                except psutil.NoSuchProcess:  # it was killed meanwhile
                    continue
                except Exception as error:
                    self.failures.append(f"status: {error}")
                else:
                    self.shares.append((memory - _ID * status.known, memory))

    def _own_memory(self) -> float:
        """MB that would be free if the processes of the server were gone; what they share may change meanwhile."""
        first = psutil.Process(self._server.process.pid)
        return sum(float(one.memory_full_info().uss) for one in (first, *first.children(recursive=True))) / 1e6

    def fifths(self) -> list[float]:
        """The median of each fifth of the time, MB."""
        size = max(len(self.shares) // 5, 1)
        parts = [self.shares[place * size : (place + 1) * size] for place in range(5)]
        return [round(statistics.median(share for share, _ in part), 1) for part in parts if part]


class Killer(threading.Thread):
    """Kills a process of the server now and then."""

    def __init__(self, server: Contender, over: threading.Event, every: float) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.kills = 0
        self._server = server
        self._over = over
        self._every = every

    def run(self) -> None:
        chance = random.Random(1)
        while not self._over.wait(self._every):
            children = psutil.Process(self._server.process.pid).children()
            if children:
                os.kill(chance.choice(children).pid, signal.SIGKILL)
                self.kills += 1


def _scores(asked: Workload) -> list[float]:
    """What the two models say of the row."""
    import onnxruntime

    found = []
    for graph in (asked.graph, asked.rival):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        answer = session.run(None, {session.get_inputs()[0].name: asked.row[None]})[0]
        found.append(float(np.asarray(answer).ravel()[-1]))
    return found


def _kept(layout: Layout) -> dict[str, int]:
    """What the telemetry has: rows that were answered, those of them there twice, shadow scores, truths."""
    reader = TelemetryReader(layout.telemetry)
    reader.refresh()
    frame = reader.predictions().select("id", "stage", "truth_at")
    answers = frame.filter(frame["stage"] != "shadow")
    return {
        "rows": answers["id"].n_unique(),
        "twice": len(answers) - answers["id"].n_unique(),
        "shadowed": len(frame) - len(answers),
        "truths": len(answers) - answers["truth_at"].null_count(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
