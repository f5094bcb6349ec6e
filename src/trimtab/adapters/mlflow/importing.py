"""Runs in an MLflow store: `http(s)://...` a server, `sqlite:///FILE` or a file its database, a folder its files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from trimtab.adapters.mlflow.folder import FolderStore
from trimtab.adapters.mlflow.served import ServedStore
from trimtab.experiments.importing import ImportingError, RunStore


def open_store(place: str, folder: Path) -> RunStore:
    """The store at a place; paths are relative to `folder`. Raises ImportingError for what is none."""
    if place.startswith(("http://", "https://")) or not place:
        return ServedStore(place)
    path = folder / Path(unquote(place.removeprefix("sqlite:///").removeprefix("file://"))).expanduser()
    if path.is_file():
        from trimtab.adapters.mlflow.database import DatabaseStore  # SQLAlchemy comes with it

        return DatabaseStore(path)
    if path.is_dir():
        return FolderStore(path)
    raise ImportingError(
        f"{place!r} is no MLflow store",
        hint="name a server (http://127.0.0.1:5000), its database (mlflow.db) or its folder (mlruns)",
    )
