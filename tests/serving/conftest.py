"""Servers for the tests: `running` is a fresh one, `shared` one a module, with one live release of two columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serving import models
from tests.serving.running import Running

from trimtab.records.server import ServerConfig

Make = Callable[..., Running]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Starts servers with settings of their own: `make(max_rows=10)`."""
    made: list[Running] = []

    def one(token: str | None = None, **settings: object) -> Running:
        config = ServerConfig(**({"system": models.SYSTEM, "port": 0} | settings))  # type: ignore[arg-type]
        made.append(Running(tmp_path / f"state-{len(made)}", config, token))
        return made[-1].start()

    yield one
    for server in made:
        server.local.stop()


@pytest.fixture
def running(make: Make) -> Running:
    server = make()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    return server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("shared"), ServerConfig(system=models.SYSTEM, port=0, max_rows=1000))
    server.start()
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))))
    yield server
    server.local.stop()
