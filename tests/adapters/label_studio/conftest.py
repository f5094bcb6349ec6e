"""One Label Studio for all tests, with two annotators beside its owner."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.label_studio.studio import PROGRAM, Studio
from tests.cli.conftest import cli, fresh

__all__ = ["cli", "fresh", "studio"]

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A server that was started for these tests."""
    if not PROGRAM.exists():
        say = "Label Studio is not there: run tools/component label_studio"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    folder: Path = tmp_path_factory.mktemp("label-studio")
    found = Studio(folder)
    try:
        for person in (ANN, BOB):
            found.sign_up(person)
        yield found
    finally:
        found.stop()
