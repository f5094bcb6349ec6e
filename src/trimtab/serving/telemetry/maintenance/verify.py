"""Whether every row that was written can still be read as it was written."""

from __future__ import annotations

from pathlib import Path

import blake3
import polars as pl

from trimtab.errors import TrimtabError
from trimtab.records.base import Record
from trimtab.serving.telemetry.archives.archive import ArchivedSegment, Manifest
from trimtab.serving.telemetry.folder import Found, again, segments_in
from trimtab.serving.telemetry.framed import FramedSegment
from trimtab.serving.telemetry.segments import SUFFIX, read_seal


class SegmentState(Record, kw_only=True):
    """One segment as it lies there. `form`: `open` (a server writes it, or died doing so), `sealed` or `compacted`.
    `first` and `last` are microseconds since 1970 (0 where it holds nothing); `problems` are empty when it is sound."""

    name: str
    form: str
    first: int = 0
    last: int = 0
    answers: int = 0
    truths: int = 0
    failures: int = 0
    dropped: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()


class FolderState(Record, kw_only=True):
    """All segments by name, and files beside them that are no segments: tails that were cut, files that are foreign."""

    segments: tuple[SegmentState, ...]
    aside: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not any(one.problems for one in self.segments)


def verify(folder: Path) -> FolderState:
    """Reads everything: the checksum of each frame, the digest of each Arrow file, and the rows of both against what
    was promised when they were sealed."""
    return _look(folder, deep=True)


def listed(folder: Path) -> FolderState:
    """What lies there, by what is said of it: compacted segments are not read."""
    return _look(folder, deep=False)


def _look(folder: Path, *, deep: bool) -> FolderState:
    states = []
    for found in segments_in(folder):
        try:
            states.append(_state(found, deep=deep))
        except FileNotFoundError:  # compacted while we looked
            moved = again(found, folder)
            if moved is not None:
                states.append(_state(moved, deep=deep))
    aside = [path.name for path in sorted(folder.glob(f"*{SUFFIX}.*"))] if folder.is_dir() else []
    return FolderState(segments=tuple(states), aside=tuple(aside))


def _state(found: Found, *, deep: bool) -> SegmentState:
    try:
        return _archived(found, deep=deep) if found.compacted else _framed(found)
    except TrimtabError as error:
        form = "compacted" if found.compacted else "open"
        return SegmentState(name=found.name, form=form, problems=(error.message,))


def _framed(found: Found) -> SegmentState:
    segment = FramedSegment(found.path)
    events = segment.read()
    seal = read_seal(found.path)
    size = found.path.stat().st_size
    problems = [segment.damaged] if segment.damaged else []
    if seal is None and segment.read_to < size:
        problems.append(f"{size - segment.read_to:,} bytes at its end are no whole frame: being written, or torn")
    stamps = [one.at for one in events.answers] + [one.at for one in events.told]
    first = min((int(at.min()) for at in stamps), default=0)
    last = max((int(at.max()) for at in stamps), default=0)
    return SegmentState(
        name=found.name,
        form="open" if seal is None else "sealed",
        first=first if seal is None else seal.first,
        last=last if seal is None else seal.last,
        answers=sum(len(one.at) for one in events.answers),
        truths=sum(len(one.at) for one in events.told),
        failures=sum(one.rows for one in events.failures),
        dropped=sum(one.rows for one in events.gaps),
        bytes=size,
        problems=tuple(problems),
    )


def _archived(found: Found, *, deep: bool) -> SegmentState:
    segment = ArchivedSegment(found.path)
    manifest = segment.manifest
    problems = _problems(found.path, manifest) if deep else []
    return SegmentState(
        name=found.name,
        form="compacted",
        first=manifest.first,
        last=manifest.last,
        answers=manifest.answers,
        truths=manifest.truths,
        failures=manifest.failures,
        dropped=sum(gap.rows for gap in manifest.gaps),
        bytes=sum(file.bytes for file in manifest.files),
        problems=tuple(problems),
    )


def _problems(folder: Path, manifest: Manifest) -> list[str]:
    problems, rows = [], {"answers": 0, "truths": 0}
    for file in manifest.files:
        path = folder / file.name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            problems.append(f"{file.name} is missing")
            continue
        if blake3.blake3(data).hexdigest() != file.blake3:
            problems.append(f"{file.name} is damaged: its content is not what was written")
        elif file.kind in rows:
            rows[file.kind] += pl.scan_ipc(path).select(pl.len()).collect().item()
    for kind, promised in (("answers", manifest.answers), ("truths", manifest.truths)):
        if not problems and rows[kind] != promised:
            problems.append(f"{rows[kind]:,} {kind} of {promised:,}")
    return problems
