"""Comet's package, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.adapters.conftest import absent

HOME = Path(__file__).parents[3] / "build" / "components" / "comet"


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that tests start see the package, this one does not."""
    found = next(iter(HOME.glob("lib/python*/site-packages")), None)
    if found is None:
        absent("Comet's package", "tools/component comet")
    for name in ("COMET_API_KEY", "COMET_OFFLINE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(found))
