"""One MLflow server for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.adapters.conftest import absent
from tests.adapters.mlflow.server import PYTHON, Mlflow
from tests.cli.conftest import cli, free_port, fresh

__all__ = ["cli", "free_port", "fresh", "mlflow"]


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """A server that was started for these tests: keep to experiments of your own."""
    if not PYTHON.exists():
        absent("MLflow", "tools/component mlflow")
    server = Mlflow(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()
