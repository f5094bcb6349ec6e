"""Folders that outlive a killed training: what it left there lets the next one of the same identity go on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_KEPT = 7 * 86400.0
"""Seconds after which nobody comes back for them: the code or the data have changed."""


class Checkpoints:
    """A folder for each identity below `work`; one is there once something was written into it."""

    def __init__(self, work: Path) -> None:
        self._home = work / "checkpoints"

    @contextmanager
    def of(self, identity: str) -> Iterator[Path]:
        """The folder of one training, removed when that has ended with a model or without; not when it was broken off
        by an exception or a kill."""
        folder = self._home / identity
        yield folder
        self._remove(folder)

    def sweep(self, known: Callable[[str], bool]) -> None:
        """Remove those of models that are `known`, by their identity, and those of more than a week ago."""
        if not self._home.is_dir():
            return
        for folder in self._home.iterdir():
            with suppress(OSError):
                if known(folder.name) or time.time() - folder.stat().st_mtime > _KEPT:
                    self._remove(folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others are there, or none was
            self._home.rmdir()


def tracked_in(checkpoints: Path) -> Path:
    """Where what a training logs lies until it ends, in the folder of its checkpoints: it goes on like them."""
    return checkpoints / ".tracked"


def tracked_folders(work: Path) -> list[tuple[str, Path]]:
    """Identity and such a folder of every training that has not ended."""
    home = work / "checkpoints"
    folders = sorted(home.iterdir()) if home.is_dir() else []
    return [(folder.name, tracked_in(folder)) for folder in folders if tracked_in(folder).is_dir()]
