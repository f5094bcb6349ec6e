"""Dataset versions in a folder that several processes share."""

from __future__ import annotations

from pathlib import Path

from trimtab.data.store.home import Home
from trimtab.testing.datasets import DatasetStoreSuite


class TestFolder(DatasetStoreSuite):
    def home(self, folder: Path, machine: str = "one") -> Home:
        return Home(folder)
