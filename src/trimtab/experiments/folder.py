"""The embedded tracker: a folder of plain files for each training, which anything can read."""

from __future__ import annotations

import csv
import io
import math
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trimtab.errors import DeclarationError, PermanentError, TemporaryError
from trimtab.experiments.port import Contents, Told
from trimtab.experiments.spec import TrackerSpec
from trimtab.records.durable import flush_folder, make_folder, write_atomically
from trimtab.records.model import Stage

TRAINING = "training.json"
POINTS = "points.csv"
RELEASES = "releases.json"


class FolderTracker:
    """`folder:DIR`: DIR/SYSTEM/ID with `training.json` (a Told), `points.csv` (title, step, value, microseconds since
    1970), `code.patch`, and the artifacts below `artifacts/`; `releases.json` beside says where releases stand."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def write(self, told: Told, contents: Contents) -> str:
        """Write the folder beside its place and put it there whole."""
        place = self._home / told.system / told.training.id
        try:
            make_folder(place.parent)
            draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}.tmp")
            try:
                self._fill(draft, told, contents)
                if place.exists():
                    shutil.rmtree(place)
                draft.rename(place)
                flush_folder(place.parent)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        except OSError as error:
            raise _translated(error, place) from error
        return str(place)

    def stand(self, system: str, releases: Mapping[str, tuple[Stage, str]]) -> None:
        """Write down where releases stand."""
        shown = {name: {"stage": stage, "training": training} for name, (stage, training) in releases.items()}
        place = self._home / system / RELEASES
        try:
            write_atomically(place, msgspec.json.format(msgspec.json.encode(shown), indent=2))
        except OSError as error:
            raise _translated(error, place) from error

    def close(self) -> None:
        """There is nothing to give back."""

    def _fill(self, folder: Path, told: Told, contents: Contents) -> None:
        content = msgspec.json.format(msgspec.json.encode(told), indent=2)
        write_atomically(folder / TRAINING, content)
        out = io.StringIO()
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(("metric", "step", "value", "at"))
        for curve in contents.curves():
            for step, value, at in zip(curve.steps.tolist(), curve.values.tolist(), curve.at.tolist(), strict=True):
                lines.writerow((curve.title, step, value if math.isfinite(value) else str(value), at))
        write_atomically(folder / POINTS, out.getvalue().encode())
        patch = contents.patch()
        if patch:
            write_atomically(folder / "code.patch", patch.encode())
        for artifact in told.training.artifacts:
            target = folder / "artifacts" / artifact.name
            make_folder(target.parent)
            shutil.copyfile(contents.artifact(artifact), target)


def open_folder(spec: TrackerSpec, folder: Path) -> FolderTracker:
    """The tracker of a `folder:DIR`, below the declaration's folder where it is relative."""
    if not spec.place.strip():
        raise DeclarationError(f'"{spec.text}" names no folder', line=spec.line, hint='write "folder:trainings"')
    return FolderTracker(folder / spec.place)


def _translated(error: OSError, place: Path) -> PermanentError | TemporaryError:
    message = f"trainings cannot be written to {place}: {error.strerror}"
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
        return PermanentError(message, hint="look at the folder's owner and names")
    return TemporaryError(message, delay=10.0, hint="look at the disk")
