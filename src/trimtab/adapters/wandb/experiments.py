"""Weights & Biases as a tracker: a run for each training, online where the environment holds a key, else a folder that
`wandb sync` sends."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from blake3 import blake3

from trimtab.adapters.own_process import ask, job_of
from trimtab.errors import DeclarationError
from trimtab.experiments.port import Contents, Told, TrackerError
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.base import canonical_json
from trimtab.records.model import Stage

_PLACE = re.compile(r"(?:(?P<entity>[\w.-]+)/)?(?P<project>[\w.-]+)?")
_SECONDS = 120.0
_NOTE = "trimtab.written"
_QUIET = {
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_NOTEBOOK_NAME": "",
}


def open_tracker(spec: TrackerSpec, folder: Path) -> WandbTracker:
    """The tracker of `wandb:ENTITY/PROJECT`; without a project it is called as the system is. WANDB_MODE says whether
    runs are sent (`online`) or kept (`offline`), else whether WANDB_API_KEY is set does; they are kept in `wandb` below
    WANDB_DIR, else beside the declaration."""
    found = _PLACE.fullmatch(spec.place.strip())
    if found is None:
        raise DeclarationError(
            f'"{spec.text}" names no project of W&B', line=spec.line, hint='write "wandb:entity/project"'
        )
    mode = os.environ.get("WANDB_MODE", "").strip() or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
    if mode not in ("online", "offline"):
        raise TrackerError(f"WANDB_MODE is {mode!r}, which writes nothing", hint="unset it, or set online or offline")
    home = folder / os.environ.get("WANDB_DIR", "")
    return WandbTracker(home, found["entity"] or "", found["project"] or "", online=mode == "online")


class WandbTracker:
    """Runs below `home`. The id of a run follows from its training: online it is resumed, offline a folder that a
    killed write left half done is removed."""

    def __init__(self, home: Path, entity: str, project: str, *, online: bool) -> None:
        self._home = home
        self._entity = entity
        self._project = project
        self._online = online

    def write(self, told: Told, contents: Contents) -> str:
        """Write one training; the folder, or the address that W&B shows it at."""
        whole = blake3(canonical_json(told)).hexdigest()
        run = blake3(f"{told.system}/{told.training.id}".encode()).hexdigest()[:24]
        for folder in self._folders(run):
            note = folder / _NOTE
            if not self._online and note.is_file() and note.read_text("utf-8") == whole:
                return str(folder)
            shutil.rmtree(folder)
        self._home.mkdir(parents=True, exist_ok=True)
        home = self._home.resolve()
        environment = _QUIET | {"WANDB_DATA_DIR": os.environ.get("WANDB_DATA_DIR", str(home / "wandb"))}
        with TemporaryDirectory() as kept:
            job = job_of(told, contents, Path(kept)) | {
                "id": run,
                "home": str(home),
                "project": self._project or told.system,
                "entity": self._entity,
                "mode": "online" if self._online else "offline",
            }
            found = ask("trimtab.adapters.wandb.writing", job, seconds=_SECONDS, named="W&B", environment=environment)
        for folder in self._folders(run):
            (folder / _NOTE).write_text(whole, "utf-8")
        return str(found)

    def stand(self, system: str, releases: Mapping[str, tuple[Stage, str]]) -> None:
        """W&B's registry is one of an organisation of its service; where releases stand is not written to it."""

    def close(self) -> None:
        """There is nothing to give back."""

    def _folders(self, run: str) -> list[Path]:
        return sorted((self._home / "wandb").glob(f"*run-*-{run}"))
