"""A server with gRPC, one a module, and a caller of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.serving import models
from tests.serving.grpc.calls import Caller
from tests.serving.running import Running

from trimtab.records.server import ServerConfig


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(
        tmp_path_factory.mktemp("grpc"),
        ServerConfig(system=models.SYSTEM, port=0, grpc_port=0, max_rows=1000, max_body=100_000),
    )
    made.start()
    made.route(models.route("r1", models.bundle(made.blobs, models.sigmoid([0.001, 0.5]))))
    yield made
    made.local.stop()


@pytest.fixture
def call(server: Running) -> Iterator[Caller]:
    with Caller(server.grpc) as caller:
        yield caller
