"""Rows of a person are taken out of telemetry: a segment that has some is written again without them.

The new segment gets a name of its own and takes its place in one step before the old one goes, so that a kill at any
instant loses no row of anybody else; readers count a row that is in both once.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import polars as pl

from trimtab.errors import TemporaryError
from trimtab.records.durable import flush_file, flush_folder
from trimtab.serving.telemetry.archives.archive import MANIFEST, ArchivedFile, ArchivedSegment, Manifest
from trimtab.serving.telemetry.folder import Found, segments_in
from trimtab.serving.telemetry.maintenance.alone import alone
from trimtab.serving.telemetry.maintenance.compaction import compact, write_id_hashes, write_table
from trimtab.serving.telemetry.segments import SUFFIX
from trimtab.serving.telemetry.writing.recovery import abandoned

_GOING = ".going"
_AGAIN = 100_000  # added to a segment's number each time it is written again
_DEBRIS = (f"*{SUFFIX}.torn", f"*{SUFFIX}.damaged", f"*{SUFFIX}.part")


@dataclass(frozen=True)
class Traces:
    """What tells a person: `ids`, texts that are the person's as a whole (keys of their rows), and `words`, which may
    stand within a text, but not within a longer word (their name, their address)."""

    ids: frozenset[str]
    words: tuple[str, ...]

    @cached_property
    def pattern(self) -> str:
        """Finds any of the words in a text."""
        return rf"(?:^|[^\pL\pN])(?:{'|'.join(map(re.escape, self.words))})(?:$|[^\pL\pN])"

    @cached_property
    def raw(self) -> tuple[bytes, ...]:
        """All of them as they may lie in a file."""
        return tuple(text.encode("utf-8", "surrogatepass") for text in sorted({*self.ids, *self.words}))

    def maybe_in(self, data: bytes) -> bool:
        """Whether any of them may be in this content; never false where one is, uncompressed."""
        return any(one in data for one in self.raw)

    def matches(self, frame: pl.DataFrame) -> pl.Series:
        """Which rows tell the person, in any column of texts or bytes."""
        found = [pl.lit(value=False)]
        for name, dtype in frame.schema.items():
            if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
                text = pl.col(name).cast(pl.String)
                found.append(text.is_in(list(self.ids)).fill_null(value=False))
                if self.words:
                    found.append(text.str.contains(self.pattern).fill_null(value=False))
            elif isinstance(dtype, pl.Binary):
                long = [one for one in self.raw if len(one) >= 4]
                found += [pl.col(name).bin.contains(one).fill_null(value=False) for one in long]
        return frame.select(pl.any_horizontal(found).alias("tells")).to_series() if frame.height else _none()


class Erased(msgspec.Struct, frozen=True):
    """What a segment held of a person."""

    segment: str
    answers: int
    truths: int


def prepare(folder: Path, traces: Traces, turn: Callable[[], None], patience: float = 10.0) -> None:
    """Bring every segment that may tell the person into the form that can be written again; `turn` has a server end the
    one it writes. Raises TemporaryError where one does not, for so many seconds."""
    if not folder.is_dir():
        return
    _seal_those_left(folder, traces)
    until, asked = time.monotonic() + patience, False
    while True:
        compact(folder)
        still = [path for path in folder.glob(f"*{SUFFIX}") if traces.maybe_in(_content(path))]
        if not still:
            return
        if not asked:
            turn()
            asked = True
        elif time.monotonic() > until:
            raise TemporaryError(
                f"a server is still writing {still[0].name}, which has rows of this person; nothing was destroyed",
                delay=60,
                hint="restart the server, and run the same command again",
            )
        time.sleep(0.1)


def _seal_those_left(folder: Path, traces: Traces) -> None:
    """What a server that died left behind."""
    for left in abandoned(folder):
        if traces.maybe_in(bytes(left.data)):
            left.seal()
        else:
            left.let_go()
    for pattern in _DEBRIS:
        for path in folder.glob(pattern):
            if traces.maybe_in(path.read_bytes()):
                path.unlink()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # compacted by the server's own process a moment ago
        return b""


def holding(folder: Path, traces: Traces) -> list[Erased]:
    """The segments that tell the person."""
    ids, found = set[str](), dict[str, int]()
    for segment in _archived(folder):
        answers = 0
        for file, frame in _tables(segment):
            mine = frame.filter(traces.matches(frame))
            answers += mine.height if file.kind == "answers" else 0
            ids.update(mine.get_column("id").to_list() if "id" in mine.columns else [])
        found[segment.name] = answers
    erased = []
    for segment in _archived(folder):
        truths = sum(int(_told(traces, frame, ids).sum()) for file, frame in _tables(segment) if file.kind != "answers")
        if found[segment.name] or truths:
            erased.append(Erased(segment.name, found[segment.name], truths))
    return erased


def erase(folder: Path, traces: Traces) -> list[Erased]:
    """Write the segments that tell the person again without those rows; returns what they held. Doing so again, also
    after a kill, finds what is left."""
    if not folder.is_dir():
        return []
    with alone(folder, wait=True):
        return _erase(folder, traces)


def _erase(folder: Path, traces: Traces) -> list[Erased]:
    those = holding(folder, traces)
    ids = set[str]()
    for segment in _archived(folder):
        for _, frame in _tables(segment):
            if "id" in frame.columns:
                ids.update(frame.filter(traces.matches(frame)).get_column("id").to_list())
    for one in those:
        _write_again(folder, one.segment, traces, ids)
    flush_folder(folder)
    for path in folder.glob(f".*{_GOING}"):
        shutil.rmtree(path)
    return those


def _write_again(folder: Path, name: str, traces: Traces, ids: set[str]) -> None:
    segment = ArchivedSegment(folder / name)
    new = _next_name(name)
    if not (folder / new / MANIFEST).is_file():
        draft = folder / f".{new}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        _draw_up(draft, segment, new, traces, ids)
        draft.rename(folder / new)
        flush_folder(folder)
    (folder / name).rename(folder / f".{name}{_GOING}")


def _draw_up(draft: Path, segment: ArchivedSegment, new: str, traces: Traces, ids: set[str]) -> None:
    files, answered, counts = list[ArchivedFile](), list[str](), {"answers": 0, "truths": 0, "failures": 0}
    orphans = 0
    for file, frame in _tables(segment):
        kept = frame.filter(~_told(traces, frame, ids))
        files.append(write_table(draft, file, kept))
        counts[file.kind] += kept.height if file.kind != "failures" else int(kept["rows"].sum())
        if file.kind == "answers":
            answered += kept.filter(pl.col("stage") != "shadow").get_column("id").to_list()
        if file.kind == "truths":
            orphans += int(kept.get_column("orphan").sum())
    files.append(write_id_hashes(draft, draft.parent, answered))
    manifest = msgspec.structs.replace(segment.manifest, segment=new, orphans=orphans, files=tuple(files), **counts)
    (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    flush_file(draft / MANIFEST)
    flush_folder(draft)


def _told(traces: Traces, frame: pl.DataFrame, ids: Iterable[str]) -> pl.Series:
    found = traces.matches(frame)
    if "id" in frame.columns and frame.height:
        found |= frame.get_column("id").is_in(list(ids))
    return found


def _archived(folder: Path) -> Iterator[ArchivedSegment]:
    for found in segments_in(folder):
        if found.compacted:
            yield _opened(found)


def _opened(found: Found) -> ArchivedSegment:
    return ArchivedSegment(found.path)


def _tables(segment: ArchivedSegment) -> Iterator[tuple[ArchivedFile, pl.DataFrame]]:
    manifest: Manifest = segment.manifest
    for file in manifest.files:
        if file.kind != "ids":
            yield file, segment.frame(file)


def _next_name(name: str) -> str:
    head, _, number = name.rpartition("-")
    return f"{head}-{int(number) + _AGAIN:06d}" if number.isdecimal() else f"{name}-{_AGAIN}"


def _none() -> pl.Series:
    return pl.Series("tells", [], dtype=pl.Boolean)
