"""Trimtab and the bound beside it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from contender import HERE, TOKEN, Contender, free_port
from workload import Workload, number_in

SYSTEM = "bench"


def echo(asked: Workload) -> Contender:
    """The bound: JSON in, the same JSON out."""
    note = "the bound: httptools and orjson on a bare asyncio protocol, 1 process"
    one = Contender("JSON echo", note, "/", asked.tensor_as_json(), None, port=free_port())
    one.command = [sys.executable, str(HERE / "peers" / "echo.py"), str(one.port)]
    return one


def trimtab(asked: Workload, folder: Path, *, processes: int = 1, beside: bool = False) -> Contender:
    """Token, validation, metrics and telemetry on, one live release, asked in JSON; `beside` it a canary of 10% and a
    shadow."""
    name = f"Trimtab, {_counted(processes)}"
    note = "token, validation, metrics, telemetry"
    if beside:
        name, note = f"{name}, routed", f"{note}; a canary of 10% and a shadow release beside"
    body = asked.tensor_as_json()
    one = Contender(name, note, f"/v2/models/{SYSTEM}/infer", body, number_in, port=free_port())
    return _served(one, asked, folder, processes=processes, beside=beside)


def trimtab_in_bytes(asked: Workload, folder: Path, *, processes: int = 1) -> Contender:
    """The same asked, and answering, by the binary extension."""
    body, head = asked.tensor_as_bytes()

    def score(answer: bytes) -> float:
        return float(np.frombuffer(answer[-4 * asked.scores :], "<f4")[0])

    note = "token, validation, metrics, telemetry; a tensor in bytes"
    name = f"Trimtab, tensor, {_counted(processes)}"
    one = Contender(name, note, f"/v2/models/{SYSTEM}/infer", body, score, port=free_port())
    one.headers = {"Inference-Header-Content-Length": str(head), "Content-Type": "application/octet-stream"}
    return _served(one, asked, folder, processes=processes)


def trimtab_with_files(asked: Workload, folder: Path, file: bytes) -> Contender:
    """The same asked with a JPEG file, which it decodes."""
    note = "the same; a JPEG file of 640 x 480, decoded and made smaller"
    one = Contender("Trimtab, JPEG", note, "/predict", file, None, port=free_port())
    one.headers = {"Content-Type": "image/jpeg"}
    return _served(one, asked, folder)


def _counted(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"


def _served(one: Contender, asked: Workload, folder: Path, *, processes: int = 1, beside: bool = False) -> Contender:
    import msgspec

    from trimtab.records.blobs import Blobs
    from trimtab.records.durable import write_atomically
    from trimtab.records.layout import Layout
    from trimtab.records.model import ModelBundle, Route, Routes
    from trimtab.serving.config import server_config, write_config
    from trimtab.serving.spec import ServeSpec

    layout = Layout(folder / f"state-{one.port}")
    blobs = Blobs(layout.blobs)
    bundle, rival = (ModelBundle(onnx=blobs.put(g), signature=asked.signature) for g in (asked.graph, asked.rival))
    routes = [Route(release="r1", model="m1", bundle=bundle, stage="live")]
    if beside:
        routes.append(Route(release="r2", model="m2", bundle=rival, stage="canary", weight=0.1))
        routes.append(Route(release="r3", model="m3", bundle=rival, stage="shadow"))
    wanted = Routes(generation=1, system=SYSTEM, routes=tuple(routes), written=datetime.now(UTC))
    write_atomically(layout.routes, msgspec.json.encode(wanted))
    config = server_config(ServeSpec(port=one.port), SYSTEM, {"TRIMTAB_TOKEN": TOKEN})
    write_config(layout.serve_config, msgspec.structs.replace(config, processes=processes))
    one.command = [sys.executable, "-m", "trimtab.serving", "--state", str(layout.root)]
    one.environment = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
    one.headers["Authorization"] = f"Bearer {TOKEN}"
    return one


def crowded(asked: Workload, folder: Path) -> Contender:
    """A live release, a canary of 20%, and two shadows, the first of which runs code of its own."""
    import io
    import zipfile

    import msgspec

    from trimtab.records.blobs import Blobs
    from trimtab.records.durable import write_atomically
    from trimtab.records.layout import Layout
    from trimtab.records.model import ModelBundle, Route, Routes
    from trimtab.serving.config import server_config, write_config
    from trimtab.serving.spec import ServeSpec

    port = free_port()
    row = dict(zip((column.name for column in asked.signature.inputs), asked.row.tolist(), strict=True))
    one = Contender("Trimtab, crowded", "", "/predict", json.dumps([row]).encode(), None, port=port)
    layout = Layout(folder / "crowded")
    blobs = Blobs(layout.blobs)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("model.py", "def features(rows):\n    return rows\n")
    bundle, rival = (ModelBundle(onnx=blobs.put(g), signature=asked.signature) for g in (asked.graph, asked.rival))
    own = msgspec.structs.replace(rival, features_code=blobs.put(code.getvalue()), entry="model")
    routes = (
        Route(release="r1", model="m1", bundle=bundle, stage="live", weight=0.8),
        Route(release="r2", model="m2", bundle=rival, stage="canary", weight=0.2),
        Route(release="r3", model="m3", bundle=own, stage="shadow"),
        Route(release="r4", model="m4", bundle=bundle, stage="shadow"),
    )
    wanted = Routes(generation=1, system=SYSTEM, routes=routes, written=datetime.now(UTC))
    write_atomically(layout.routes, msgspec.json.encode(wanted))
    config = server_config(ServeSpec(port=port), SYSTEM, {"TRIMTAB_TOKEN": TOKEN})
    write_config(layout.serve_config, config)
    one.command = [sys.executable, "-m", "trimtab.serving", "--state", str(layout.root)]
    one.environment = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
    one.headers = {"Authorization": f"Bearer {TOKEN}"}
    return one
