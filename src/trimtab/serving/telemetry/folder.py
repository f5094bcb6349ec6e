"""What lies in a telemetry folder: segments in frames, and compacted ones, each once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from trimtab.serving.telemetry.archives.archive import MANIFEST, ArchivedSegment, read_manifest
from trimtab.serving.telemetry.events import Segment
from trimtab.serving.telemetry.framed import FramedSegment
from trimtab.serving.telemetry.segments import SUFFIX, Seal, read_seal

_SETTLED = 2_000_000_000  # nanoseconds after which a change of a folder cannot have another one behind it


class Found(NamedTuple):
    """One segment: its `name` and where it lies, a file of frames or a folder of Arrow files."""

    name: str
    path: Path

    @property
    def compacted(self) -> bool:
        """Whether it is a folder of Arrow files."""
        return self.path.suffix != SUFFIX

    def open(self) -> Segment:
        """For reading. Raises FileNotFoundError when it has gone or has just been compacted."""
        return ArchivedSegment(self.path) if self.compacted else FramedSegment(self.path)

    def seal(self) -> Seal | None:
        """What it holds in all; None for a segment that is still written. Raises FileNotFoundError likewise."""
        if not self.compacted:
            return read_seal(self.path)
        manifest = read_manifest(self.path)
        return Seal(manifest.first, manifest.last, manifest.answers + manifest.truths, manifest.orphans)


def segments_in(folder: Path) -> list[Found]:
    """All segments by name, which is by the moment of their first event. A missing folder is an empty one."""
    found: dict[str, Path] = {}
    # Frames first: a segment that is compacted while we look is then found in one form or in both, never in none.
    for path in folder.glob(f"*{SUFFIX}"):
        found[path.stem] = path
    for path in folder.glob(f"*/{MANIFEST}"):
        if not path.parent.name.startswith("."):
            found[path.parent.name] = path.parent
    return [Found(name, found[name]) for name in sorted(found)]


class Listing:
    """The segments of a folder, looked for again only when something in it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: list[Found] = []
        self._changed = -1

    def now(self) -> tuple[list[Found], bool]:
        """All segments by name, and whether they may be others than the last time."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return [], True
        if changed == self._changed:
            return self._found, False
        # A file system's clock ticks a few milliseconds at a time: what changes right after we look may not show.
        self._changed = changed if time.time_ns() - changed > _SETTLED else -1
        self._found = segments_in(self._folder)
        return self._found, True


def again(found: Found, folder: Path) -> Found | None:
    """The same segment in the form it has now; None when it was removed."""
    archived = folder / found.name
    if (archived / MANIFEST).is_file():
        return Found(found.name, archived)
    return found if found.path.exists() else None
