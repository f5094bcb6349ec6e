"""The package of Weights & Biases, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.adapters.conftest import absent

HOME = Path(__file__).parents[3] / "build" / "components" / "wandb"


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that tests start see the package, this one does not."""
    found = next(iter(HOME.glob("lib/python*/site-packages")), None)
    if found is None:
        absent("The package of W&B", "tools/component wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(found))
