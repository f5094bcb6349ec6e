"""A server, and `tritonclient` in its own environment to ask it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.serving import models
from tests.serving.running import Running

from trimtab.records.server import ServerConfig

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "build" / "components" / "tritonclient" / "bin" / "python"
ASKING = Path(__file__).with_name("asking.py")
Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def tritonclient() -> Path:
    """The interpreter that has it."""
    if not PYTHON.exists():
        say = "tritonclient is not there: run tools/component tritonclient"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    return PYTHON


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(
        tmp_path_factory.mktemp("tritonclient"),
        ServerConfig(system=models.SYSTEM, port=0, grpc_port=0, max_rows=1000),
    )
    made.start()
    made.route(models.route("r1", models.bundle(made.blobs, models.sigmoid([0.001, 0.5]))))
    yield made
    made.local.stop()


@pytest.fixture
def ask(server: Running, tritonclient: Path) -> Ask:
    """`ask("http", do="infer", ...)`, or with a list of calls."""
    return asking(server, tritonclient)


def asking(server: Running, python: Path, token: str | None = None) -> Ask:
    """Asks `server` from the interpreter that has the client."""

    def ask(over: str, calls: list[dict[str, Any]] | None = None, **one: Any) -> Any:
        address = server.grpc if over == "grpc" else urlsplit(server.url).netloc
        words = [str(python), str(ASKING), over, address, *([token] if token else [])]
        done = subprocess.run(
            words, input=json.dumps(calls or [one]), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)
        return results if calls else results[0]

    return ask
