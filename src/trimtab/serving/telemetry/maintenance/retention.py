"""Old telemetry that may go."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from trimtab.records.base import Record
from trimtab.records.durable import flush_folder
from trimtab.serving.telemetry.archives.archive import read_manifest
from trimtab.serving.telemetry.folder import segments_in
from trimtab.serving.telemetry.maintenance.alone import alone
from trimtab.serving.telemetry.segments import micros

_GOING = ".going"


class Prunable(Record, kw_only=True):
    """A compacted segment that is older than what is to stay; moments in microseconds since 1970."""

    name: str
    first: int
    last: int
    answers: int
    truths: int
    bytes: int


def prunable(folder: Path, before: datetime) -> list[Prunable]:
    """Compacted segments whose last event was before that moment, oldest first. Frames are never taken."""
    found = []
    for segment in segments_in(folder):
        if segment.compacted:
            manifest = read_manifest(segment.path)
            if manifest.last < micros(before):
                found.append(
                    Prunable(
                        name=segment.name,
                        first=manifest.first,
                        last=manifest.last,
                        answers=manifest.answers,
                        truths=manifest.truths,
                        bytes=sum(file.bytes for file in manifest.files),
                    )
                )
    return found


def prune(folder: Path, those: Sequence[Prunable]) -> None:
    """Removes them: each goes from the readers' sight in one step, and then from the disk. What a killed run has left
    half removed goes, too."""
    if not folder.is_dir():
        return
    with alone(folder, wait=True):
        for one in those:
            with suppress(FileNotFoundError):  # somebody was forgotten meanwhile: it has another name now
                (folder / one.name).rename(folder / f".{one.name}{_GOING}")
        flush_folder(folder)
        for path in folder.glob(f".*{_GOING}"):
            shutil.rmtree(path)
