"""What the prediction server does in a second, against a bound and against peers, in the same run.

    python benchmarks/serving/throughput.py [--peers] [--seconds 4] [--rounds 3] [--connections 1 64] [--folder DIR]

LightGBM of 100 trees on 30 numbers, one row a request. Trimtab is one process with everything on: token, validation,
routing, metrics, telemetry. The bound is a JSON echo on a bare asyncio protocol, one process. `--peers` adds FastAPI
with ONNX Runtime, tuned, and MLflow's scoring server, two workers each, from environments of their own in `--folder`
(this installs them). The load is `wrk` with one thread, in turns: every server is asked in every round, and each figure
is the median of the rounds. Every server's first answer is compared with the model's own.
CPU is that of the server's processes over the answers it gave; memory is the sum of their private and shared shares.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOKEN = "benchmark-token"
PEERS = {
    "fastapi": ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "orjson", "onnxruntime", "numpy"),
    "mlflow": ("mlflow==3.17.2", "uvloop", "httptools", "onnx", "onnxruntime"),
}
Figures = dict[str, float]


class Contender:
    """One server: how to start it, what to ask it, where its score is in the answer."""

    def __init__(self, name: str, path: str, body: dict[str, Any], score: Callable[[Any], float] | None) -> None:
        self.name = name
        self.path = path
        self.body = body
        self.score = score
        self.command: list[str] = []
        self.environment: dict[str, str] = {}
        self.port = _free_port()

    def start(self, folder: Path, expected: float) -> float:
        """Starts it and checks its first answer; returns the seconds that took."""
        self.body_file = folder / f"{self.name}.json"
        self.body_file.write_text(json.dumps(self.body))
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | self.environment
        began = time.perf_counter()
        with (folder / f"{self.name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                self.command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        while True:
            status, answer = self._ask()
            if status == 200:
                break
            if self.process.poll() is not None or time.perf_counter() - began > 120:
                raise SystemExit(f"{self.name} did not answer ({status}): see {folder / self.name}.log")
            time.sleep(0.01)
        took = time.perf_counter() - began
        if self.score is not None:
            found = self.score(json.loads(answer))
            if abs(found - expected) > 1e-4:
                raise SystemExit(f"{self.name} answered {found}; the model says {expected}")
        return took

    def load(self, connections: int, seconds: float) -> Figures:
        """One run of wrk."""
        environment = os.environ | {"BODY": str(self.body_file), "TOKEN": TOKEN}
        url = f"http://127.0.0.1:{self.port}{self.path}"
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--timeout",
            "10s",
            "-s",
            str(HERE / "post.lua"),
            url,
        ]
        before = self._cpu()
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        used = self._cpu() - before
        line = next(line for line in out.splitlines() if line.startswith("RESULT"))
        requests, took, p50, p99, errors = map(int, line.split()[1:])
        return {
            "per_second": requests / (took / 1e6),
            "p50_ms": p50 / 1e3,
            "p99_ms": p99 / 1e3,
            "cpu_us": used / max(requests, 1) * 1e6,
            "errors": errors,
        }

    def memory(self) -> float:
        """Proportional share of memory of its processes, MB."""
        return sum(one.memory_full_info().pss for one in self._family()) / 1e6

    def stop(self) -> None:
        """Ends it."""
        family = self._family()
        for one in family:
            one.terminate()
        for one in psutil.wait_procs(family, timeout=10)[1]:
            one.kill()
        self.process.wait()

    def _ask(self) -> tuple[int | str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
        try:
            connection.request("POST", self.path, self.body_file.read_bytes(), headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            return str(error), b""
        finally:
            connection.close()

    def _family(self) -> list[psutil.Process]:
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def _cpu(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._family())


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description="what the prediction server does in a second")
    parser.add_argument("--peers", action="store_true", help="install and run the peers as well")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run of wrk (default: 4)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server and load (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64], help="loads (default: 1 64)")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="for the peers' environments")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk, the load generator: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph, row, expected = _model()
        (folder / "model.onnx").write_bytes(graph)
        contenders = [_echo(row), _trimtab(folder, graph, row)]
        if args.peers:
            contenders += [_fastapi(folder, args.folder, row), _mlflow(folder, args.folder, row)]
        figures = _measure(contenders, folder, expected, args)
    if args.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures, args.connections)


def _measure(
    contenders: list[Contender], folder: Path, expected: float, args: argparse.Namespace
) -> dict[str, Figures]:
    starts = {one.name: one.start(folder, expected) for one in contenders}
    runs: dict[str, dict[int, list[Figures]]] = {one.name: {c: [] for c in args.connections} for one in contenders}
    try:
        for one in contenders:
            one.load(32, 1.0)  # warm
        for _ in range(args.rounds):
            for one in contenders:
                for connections in args.connections:
                    runs[one.name][connections].append(one.load(connections, args.seconds))
        memory = {one.name: one.memory() for one in contenders}
    finally:
        for one in contenders:
            one.stop()
    figures = {}
    for name, loads in runs.items():
        told: Figures = {"start_s": starts[name], "memory_mb": memory[name]}
        for connections, those in loads.items():
            for key in those[0]:
                told[f"{key}@{connections}"] = statistics.median(run[key] for run in those)
        figures[name] = told
    return figures


def _print(figures: dict[str, Figures], connections: list[int]) -> None:
    heads = [f"{title} c{c}" for c in connections for title in ("req/s", "p50 ms", "p99 ms", "CPU us")]
    top = max(connections)
    print(f"{'server':<10}" + "".join(f"{head:>12}" for head in [*heads, "MB", "start s", "errors", "ours ="]))
    ours = figures["trimtab"][f"per_second@{top}"]
    for name, told in figures.items():
        cells = [
            f"{told[f'{key}@{c}']:{form}}"
            for c in connections
            for key, form in (("per_second", ",.0f"), ("p50_ms", ".2f"), ("p99_ms", ".2f"), ("cpu_us", ",.0f"))
        ]
        errors = sum(told[f"errors@{c}"] for c in connections)
        cells += [f"{told['memory_mb']:.0f}", f"{told['start_s']:.2f}", f"{errors:.0f}"]
        cells.append(f"{ours / told[f'per_second@{top}']:.2f}x")
        print(f"{name:<10}" + "".join(f"{cell:>12}" for cell in cells))


def _model() -> tuple[bytes, list[float], float]:
    """The model as ONNX, one row, and the model's own score of it."""
    from lightgbm import LGBMClassifier
    from sklearn.datasets import load_breast_cancer

    from trimtab.training.export.export import export

    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    model = LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1).fit(x, y)
    return export(model, _signature()), [float(cell) for cell in x[0]], float(model.predict_proba(x[:1])[0, 1])


def _signature() -> Any:
    from trimtab.records.model import Column, Feature, Signature

    names = [f"x{number}" for number in range(30)]
    return Signature(
        task="binary_classification",
        inputs=tuple(Column(name=name, kind="number") for name in names),
        features=tuple(Feature(name=name, kind="number") for name in names),
        classes=("malignant", "benign"),
    )


def _echo(row: list[float]) -> Contender:
    one = Contender("bound", "/", {"inputs": [_tensor(row)]}, None)
    one.command = [sys.executable, str(HERE / "peers" / "echo.py"), str(one.port)]
    return one


def _trimtab(folder: Path, graph: bytes, row: list[float]) -> Contender:
    import msgspec

    from trimtab.records.blobs import Blobs
    from trimtab.records.durable import write_atomically
    from trimtab.records.layout import Layout
    from trimtab.records.model import ModelBundle, Route, Routes
    from trimtab.serving.config import server_config, write_config
    from trimtab.serving.spec import ServeSpec

    one = Contender(
        "trimtab",
        "/v2/models/bench/infer",
        {"inputs": [_tensor(row)]},
        lambda told: float(told["outputs"][0]["data"][0]),
    )
    layout = Layout(folder / "state")
    bundle = ModelBundle(onnx=Blobs(layout.blobs).put(graph), signature=_signature())
    route = Route(release="r1", model="m1", bundle=bundle, stage="live")
    routes = Routes(generation=1, system="bench", routes=(route,), written=datetime.now(UTC))
    write_atomically(layout.routes, msgspec.json.encode(routes))
    write_config(layout.serve_config, server_config(ServeSpec(port=one.port), "bench", {"TRIMTAB_TOKEN": TOKEN}))
    one.command = [sys.executable, "-m", "trimtab.serving", "--state", str(layout.root)]
    one.environment = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
    return one


def _fastapi(folder: Path, environments: Path, row: list[float]) -> Contender:
    one = Contender("fastapi", "/predict", {"inputs": [row]}, lambda told: float(told["predictions"][0]))
    python = _environment("fastapi", environments)
    uvicorn = ["-m", "uvicorn", "fastapi_tuned:app", "--app-dir", str(HERE / "peers"), "--port", str(one.port)]
    one.command = [str(python), *uvicorn, "--workers", "2", "--no-access-log", "--log-level", "warning"]
    one.environment = {"MODEL": str(folder / "model.onnx")}
    return one


def _mlflow(folder: Path, environments: Path, row: list[float]) -> Contender:
    one = Contender(
        "mlflow", "/invocations", {"inputs": [row]}, lambda told: float(told["predictions"]["scores"][0][0])
    )
    python = _environment("mlflow", environments)
    saved = folder / "mlflow"
    one.environment = {"MODEL": str(folder / "model.onnx"), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    command = [str(python), str(HERE / "peers" / "mlflow_save.py"), str(saved), str(len(row))]
    subprocess.run(command, env=os.environ | one.environment, cwd=folder, check=True, capture_output=True)
    serve = ["models", "serve", "-m", str(saved), "--env-manager", "local", "-h", "127.0.0.1", "-p", str(one.port)]
    one.command = [str(python.parent / "mlflow"), *serve, "-w", "2"]
    return one


def _tensor(row: list[float]) -> dict[str, Any]:
    return {"name": "input", "datatype": "FP32", "shape": [1, len(row)], "data": row}


def _environment(name: str, folder: Path) -> Path:
    """The Python of a peer's environment, made when it is not there."""
    home = folder / f"{name}-{'-'.join(part.split('==')[-1] for part in PEERS[name][:1])}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        print(f"installing {name} ...", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS[name]], check=True)
        (home / "complete").touch()
    return python


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


if __name__ == "__main__":
    main()
