"""The bound of a model: the same graph in as many single-thread sessions as there are cores, and nothing around it.

`python alone.py MODEL DTYPE SHAPE` scores for as many seconds as each line on standard input says, and prints one JSON
object a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from contender import Contender, Figures
from workload import Workload


class Alone(Contender):
    """Stands among the servers, and is no server: it is asked for seconds."""

    def start(self, folder: Path, expected: float) -> None:
        """Starts it; there is no answer to check."""
        began = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise SystemExit(f"{self.name} cannot be run for {expected}")
        self.started = time.perf_counter() - began

    def load(self, connections: int, seconds: float) -> Figures:  # noqa: ARG002 - there are none
        """Rows a second and CPU; nobody waits."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n".encode())
        self.process.stdin.flush()
        told: Figures = json.loads(self.process.stdout.readline())
        return told | {"p50_ms": float("nan"), "p99_ms": float("nan"), "errors": 0.0}


def alone(asked: Workload) -> Contender:
    """The bound of a workload."""
    environment = asked.environment
    words = [environment["MODEL"], environment["DTYPE"], environment["SHAPE"]]
    one = Alone("ONNX Runtime alone", "the bound: a session for each core, one row a run", "", b"", None)
    one.command = [sys.executable, __file__, *words]
    return one


def main(path: str, dtype: str, shape: str) -> None:
    """Scores when it is told to."""
    import onnxruntime

    def session() -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    sessions = [session() for _ in range(len(os.sched_getaffinity(0)))]
    rows = np.zeros((1, *(int(size) for size in shape.split(","))), np.dtype(dtype))
    given = {sessions[0].get_inputs()[0].name: rows}
    for one in sessions:
        one.run(None, given)
    print("ready", flush=True)
    for line in sys.stdin:
        counts = [0] * len(sessions)
        until = time.perf_counter() + float(line)

        def work(place: int, until: float = until, counts: list[int] = counts) -> None:
            run = sessions[place].run
            while time.perf_counter() < until:
                run(None, given)
                counts[place] += 1

        before, began = time.process_time(), time.perf_counter()
        threads = [threading.Thread(target=work, args=(place,)) for place in range(len(sessions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, used = time.perf_counter() - began, time.process_time() - before
        print(json.dumps({"per_second": sum(counts) / took, "cpu_us": used / sum(counts) * 1e6}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
