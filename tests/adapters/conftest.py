"""Outside programs that tests of several adapters share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.adapters.postgresql.server import Postgres, binaries
from tests.adapters.seaweedfs.server import WEED, Seaweed


def absent(what: str, command: str) -> None:
    """Leave the test out, saying what would bring the program; in CI it fails."""
    say = f"{what} is not there: run {command}"
    if os.environ.get("CI"):
        pytest.fail(say)
    pytest.skip(say)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server for all tests of a run: keep to a prefix of your own."""
    if not WEED.exists():
        absent("SeaweedFS", "tools/component seaweedfs")
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgres]:
    """A database server for all tests of a run: keep to tables of your own."""
    programs = binaries()
    if programs is None:
        absent("PostgreSQL", "tools/component postgresql")
        raise AssertionError("unreachable")
    server = Postgres(programs)
    server.start()
    yield server
    server.remove()
