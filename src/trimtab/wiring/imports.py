"""Stores of runs that other tools tracked, by what they are called: `mlflow:PLACE`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.adapters.catalog import find, names
from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from trimtab.experiments.importing import RunStore


def open_store(text: str) -> RunStore:
    """The store that `tool:place` names; paths are relative to where the command runs. Raises PermanentError for a tool
    whose runs nothing reads."""
    tool, colon, place = text.partition(":")
    adapter = find("imports", tool) if colon else None
    if adapter is None:
        known = ", ".join(f"{name}:PLACE" for name in names("imports"))
        raise PermanentError(f"{text!r} names no store of runs", hint=f"there is {known}")
    store: RunStore = adapter(place, Path.cwd())
    return store
