"""What runs have in common in every kind of MLflow store: what became of them, their moments, tags and files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from trimtab.records.imported import ImportedFile

TOOL = "mlflow"
_PERSONAL = ("mlflow.user", "mlflow.databricks.webappURL")
_BOOKKEEPING = ("mlflow.log-model.history", "mlflow.loggedArtifacts")
Outcome = Literal["finished", "failed", "running", "deleted"]


def outcome_of(status: str, lifecycle: str) -> Outcome:
    """What became of a run."""
    if lifecycle == "deleted":
        return "deleted"
    return "finished" if status == "FINISHED" else "failed" if status in ("FAILED", "KILLED") else "running"


def moment(milliseconds: Any) -> datetime | None:
    """A moment as MLflow keeps it."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def started(milliseconds: Any) -> datetime:
    """When a run began; one that does not say did so at the beginning of time."""
    return moment(milliseconds) or datetime.fromtimestamp(0, UTC)


def kept(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags without people, and without what MLflow notes for itself."""
    return {name: value for name, value in sorted(tags.items()) if name not in (*_PERSONAL, *_BOOKKEEPING)}


def local(uri: str, roots: Mapping[str, Path]) -> Path | None:
    """The folder of an artifact location on this machine; None where it is elsewhere. `roots` says by scheme where what
    is no path of its own lies."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        found = Path(unquote(parts.path))
    elif parts.scheme in roots:
        found = roots[parts.scheme] / unquote(parts.path).lstrip("/")
    else:
        return None
    return found if found.is_dir() else None


def listed(folders: Mapping[str, Path]) -> dict[str, tuple[Path, int]]:
    """Every file below these folders with its size, by its path there; `folders` are by what their paths begin with."""
    found: dict[str, tuple[Path, int]] = {}
    for begin, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                found[f"{begin}{path.relative_to(folder).as_posix()}"] = (path, path.stat().st_size)
    return dict(sorted(found.items()))


def files_in(folders: Mapping[str, Path]) -> list[ImportedFile]:
    """These as files of a run."""
    return [ImportedFile(path=name, size=size) for name, (_, size) in listed(folders).items()]
