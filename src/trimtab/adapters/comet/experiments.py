"""Comet as a tracker: an archive for each training, which is sent where the environment holds a key.

Archives are what Comet's own package writes offline. One stands whole under the name that follows from its training, or
not at all, so that writing again puts the same in its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from blake3 import blake3

from trimtab.adapters.own_process import ask, job_of
from trimtab.errors import DeclarationError
from trimtab.experiments.port import Contents, Told
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.base import canonical_json
from trimtab.records.model import Stage

_PLACE = re.compile(r"(?:(?P<workspace>[\w.-]+)/)?(?P<project>[\w. -]+)?")
_SECONDS = 120.0
KEY, FOLDER = "COMET_API_KEY", "COMET_OFFLINE_DIRECTORY"
_QUIET = {
    "COMET_DISABLE_AUTO_LOGGING": "1",
    "COMET_ERROR_TRACKING_ENABLE": "false",
    "COMET_OFFLINE_SAMPLING_SIZE": "100000000",  # else it leaves points out
    "COMET_HTTP_SESSION_RETRY_TOTAL": "1",  # the next pass tries again
    "COMET_GET_OR_ADD_EXPERIMENT_RETRY_TOTAL": "1",
    "COMET_GET_OR_ADD_EXPERIMENT_RETRY_CONNECT": "1",
}


def open_tracker(spec: TrackerSpec, folder: Path) -> CometTracker:
    """The tracker of `comet:WORKSPACE/PROJECT`; without a project it is called as the system is. Archives lie where
    COMET_OFFLINE_DIRECTORY says, else in `comet` beside the declaration."""
    found = _PLACE.fullmatch(spec.place.strip())
    if found is None:
        raise DeclarationError(
            f'"{spec.text}" names no project of Comet', line=spec.line, hint='write "comet:workspace/project"'
        )
    home = folder / os.environ.get(FOLDER, "comet")
    return CometTracker(home, found["workspace"] or "", found["project"] or "", send=bool(os.environ.get(KEY)))


class CometTracker:
    """Archives in one folder; with `send` each is sent to Comet once."""

    def __init__(self, home: Path, workspace: str, project: str, *, send: bool) -> None:
        self._home = home
        self._workspace = workspace
        self._project = project
        self._send = send

    def write(self, told: Told, contents: Contents) -> str:
        """Write one training; the archive, or the address that Comet shows it at."""
        whole = blake3(canonical_json(told)).hexdigest()
        key = blake3(f"{told.system}/{told.training.id}".encode()).hexdigest()[:32]
        archive, note = self._home / f"{key}.zip", self._home / f".{key}.written"
        written = note.read_text("utf-8").split() if note.is_file() and archive.is_file() else []
        if written[:1] != [whole]:
            note.unlink(missing_ok=True)
            self._home.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory() as folder:
                job = job_of(told, contents, Path(folder)) | {
                    "key": key,
                    "archive": str(archive.resolve()),
                    "project": self._project or told.system,
                    "workspace": self._workspace,
                }
                self._ask(job)
            note.write_text(whole, "utf-8")
            written = [whole]
        if self._send and len(written) < 2:
            self._ask({"send": str(archive.resolve())})
            note.write_text(f"{whole} sent", "utf-8")
        return str(archive)

    def stand(self, system: str, releases: Mapping[str, tuple[Stage, str]]) -> None:
        """Comet's registry is one of a workspace of its service; where releases stand is not written to it."""

    def close(self) -> None:
        """There is nothing to give back."""

    def _ask(self, job: Mapping[str, object]) -> None:
        ask("trimtab.adapters.comet.writing", job, seconds=_SECONDS, named="Comet", environment=_QUIET)
