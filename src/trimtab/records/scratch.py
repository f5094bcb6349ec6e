"""Folders that a process has for its work alone, named `<name>-<pid>-...`, and what killed ones leave."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def sweep_scratch(place: Path, name: str) -> None:
    """Removes the folders of that name in `place` whose process is gone."""
    for folder in place.glob(f"{name}-*-*"):
        owner = folder.name.removeprefix(f"{name}-").split("-")[0]
        if owner.isdigit() and not _runs(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
