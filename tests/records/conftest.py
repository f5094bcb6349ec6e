"""Processes that are up in milliseconds, so that a test can kill many."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def _nursery() -> Any:
    """Children come from a server that has loaded the modules and opened nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.records.writers"])
    return context


@pytest.fixture
def start(_nursery: Any) -> Iterator[Callable[..., Any]]:
    """start(function, *arguments) -> the running process; whatever still runs at the end of the test is killed."""
    started: list[Any] = []

    def begin(function: Callable[..., None], *arguments: object) -> Any:
        process = _nursery.Process(target=function, args=arguments, daemon=True)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """until(condition): wait for it, at most 30 s."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "waited for over 30 s"
            time.sleep(0.002)

    return wait
