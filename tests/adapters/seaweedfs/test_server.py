"""The S3 server that other tests count on: what was put survives a kill, and one of many writers wins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from obstore.exceptions import AlreadyExistsError
from tests.adapters.seaweedfs.server import Seaweed

pytestmark = pytest.mark.component


def test_one_of_many_writers_wins(seaweed: Seaweed) -> None:
    """It honours If-None-Match."""
    store = seaweed.store("race")

    def write(number: int) -> bool:
        try:
            store.put("one", str(number).encode(), mode="create")
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(write, range(16)))
    assert sum(won) == 1
    assert bytes(store.get("one").bytes()) == str(won.index(True)).encode()


def test_what_was_put_survives_a_kill(seaweed: Seaweed, tmp_path: Path) -> None:
    """At the same address."""
    server = Seaweed(tmp_path)
    server.start()
    try:
        server.store().put("kept", b"x" * 100_000)
        server.kill()
        server.start()
        assert bytes(server.store().get("kept").bytes()) == b"x" * 100_000
    finally:
        server.kill()
