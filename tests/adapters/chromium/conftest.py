"""A browser for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.chromium.chrome import Chrome, program
from tests.adapters.conftest import absent


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    if program() is None:
        absent("Chromium", "apt-get install chromium")
    with Chrome(tmp_path) as browser:
        yield browser
