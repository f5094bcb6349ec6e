"""The peers, each set up as its documentation tunes it for two cores."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from contender import HERE, Contender, free_port
from environments import python_of
from workload import Workload, number_in

PEERS = HERE / "peers"


def peers(asked: Workload, folder: Path, environments: Path, *, raw: bool = False) -> Iterator[Contender]:
    """Those that can be installed; with `raw` those that take a row as bytes. `folder` is for what they write."""
    in_json = {
        fastapi_tuned: "fastapi",
        fastapi_naive: "fastapi",
        mlserver: "mlserver",
        mlflow: "mlflow",
        bentoml: "bentoml",
        litserve: "litserve",
    }
    for make, name in ({fastapi_raw: "fastapi", litserve_raw: "litserve"} if raw else in_json).items():
        python = python_of(name, environments)
        if python is not None:
            yield make(asked, python, folder)


def best_peer(asked: Workload, folder: Path, environments: Path) -> Iterator[Contender]:
    """FastAPI as it is best on two cores, and as it is best on one."""
    python = python_of("fastapi", environments)
    if python is not None:
        yield fastapi_tuned(asked, python, folder)
        yield fastapi_tuned(asked, python, folder, workers=1)


def fastapi_tuned(asked: Workload, python: Path, _: Path, *, workers: int = 2) -> Contender:
    """The best of them."""
    said = f"{workers} worker{'s' if workers > 1 else ''}"
    note = f"async, orjson, {said}"
    one = _contender(asked, f"FastAPI tuned, {said}", note, "/predict", asked.rows_as_json("inputs"))
    one.command = _uvicorn(python, "fastapi_tuned:app", one.port, workers)
    return one


def fastapi_raw(asked: Workload, python: Path, _: Path) -> Contender:
    """The same, taking rows as bytes."""
    one = _contender(asked, "FastAPI tuned, 2 workers", "async, raw bytes in, 2 workers", "/raw", asked.row.tobytes())
    one.command = _uvicorn(python, "fastapi_tuned:app", one.port, 2)
    return one


def fastapi_naive(asked: Workload, python: Path, _: Path) -> Contender:
    """One process."""
    one = _contender(asked, "FastAPI naive", "Pydantic, sync, 1 worker", "/predict", asked.rows_as_json("inputs"))
    one.command = _uvicorn(python, "fastapi_naive:app", one.port, 1)
    return one


def mlserver(asked: Workload, python: Path, folder: Path) -> Contender:
    """One process with adaptive batching, which its parallel workers do not beat."""
    body = asked.tensor_as_json()
    one = _contender(asked, "MLServer", "1 process, adaptive batching", "/v2/models/m/infer", body)
    one.folder = folder / "mlserver"
    (one.folder / "m").mkdir(parents=True)
    settings = {"host": "127.0.0.1", "http_port": one.port, "grpc_port": free_port(), "parallel_workers": 0}
    settings |= {"debug": False, "metrics_endpoint": None, "gzip_enabled": False}
    (one.folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "m", "implementation": "mlserver_model.Model", "max_batch_size": 64, "max_batch_time": 0.001}
    (one.folder / "m" / "model-settings.json").write_text(json.dumps(model))
    one.environment["PYTHONPATH"] = str(PEERS)
    one.command = [str(python.parent / "mlserver"), "start", "."]
    return one


def mlflow(asked: Workload, python: Path, folder: Path) -> Contender:
    """Two workers. With uvloop in its environment: without it a request stalls for 40 ms."""
    one = _contender(asked, "MLflow", "2 workers, uvloop", "/invocations", asked.rows_as_json("inputs"))
    one.environment["PATH"] = _path(python)
    saved = folder / "mlflow"
    save = [str(python), str(PEERS / "mlflow_save.py"), str(saved)]
    subprocess.run(save, env=os.environ | one.environment, cwd=folder, check=True, capture_output=True)
    serve = ["models", "serve", "-m", str(saved), "--env-manager", "local", "-h", "127.0.0.1", "-p", str(one.port)]
    one.command = [str(python.parent / "mlflow"), *serve, "-w", "2"]
    return one


def bentoml(asked: Workload, python: Path, folder: Path) -> Contender:
    """Two workers with adaptive batching."""
    one = _contender(asked, "BentoML", "2 workers, batching", "/predict", asked.rows_as_json("inputs"))
    one.folder = PEERS
    one.environment |= {"WORKERS": "2", "BATCH": "1", "BENTOML_DO_NOT_TRACK": "True", "PATH": _path(python)}
    one.environment["BENTOML_HOME"] = str(folder / "bentoml")
    serve = ["serve", "bento:Model", "--host", "127.0.0.1", "--port", str(one.port)]
    one.command = [str(python.parent / "bentoml"), *serve]
    return one


def litserve(asked: Workload, python: Path, _: Path) -> Contender:
    """One worker behind one front process: more of either are slower on two cores."""
    one = _contender(asked, "LitServe", "1 worker, batching", "/predict", asked.rows_as_json("input"))
    return _lit(one, python, raw=False)


def litserve_raw(asked: Workload, python: Path, _: Path) -> Contender:
    """The same, taking rows as bytes."""
    one = _contender(asked, "LitServe", "1 worker, batching, raw bytes in", "/predict", asked.row.tobytes())
    one.headers["Content-Type"] = "application/octet-stream"
    return _lit(one, python, raw=True)


def _lit(one: Contender, python: Path, *, raw: bool) -> Contender:
    one.environment |= {"WORKERS": "1", "APIS": "1", "PORT": str(one.port), "RAW": str(int(raw))}
    one.command = [str(python), str(PEERS / "lit.py")]
    return one


def _uvicorn(python: Path, app: str, port: int, workers: int) -> list[str]:
    served = ["--app-dir", str(PEERS), "--port", str(port), "--workers", str(workers)]
    return [str(python), "-m", "uvicorn", app, *served, "--no-access-log", "--log-level", "warning"]


def _contender(asked: Workload, name: str, note: str, path: str, body: bytes) -> Contender:
    return Contender(name, note, path, body, number_in, environment=asked.environment, port=free_port())


def _path(python: Path) -> str:
    return f"{python.parent}:{os.environ['PATH']}"
