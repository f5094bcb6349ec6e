"""Sealed segments become Arrow files, one at a time, so that a kill at any instant leaves each row exactly once.

A segment's files are written into a folder that no reader looks at, brought to the disk, read back and compared; then
the folder gets the segment's name in one step, and only then the frames go. From that step on readers take the folder
and pass over the frames, should they still be there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import blake3
import msgspec
import numpy as np
import polars as pl

from trimtab.errors import PermanentError
from trimtab.records.durable import flush_file, flush_folder
from trimtab.serving.telemetry.archives.archive import MANIFEST, VERSION, ArchivedFile, Manifest, read_manifest
from trimtab.serving.telemetry.archives.history import IDS, hashed_ids, secret_of
from trimtab.serving.telemetry.archives.tables import answers_table, failures_table, truths_table, unnamed
from trimtab.serving.telemetry.events import Events
from trimtab.serving.telemetry.framed import FramedSegment
from trimtab.serving.telemetry.maintenance.alone import alone
from trimtab.serving.telemetry.segments import SUFFIX, read_seal

_DRAFT = ".draft"
_BATCH = 8192  # rows that are read together
Step = Callable[[str], None]


def compact(folder: Path, *, step: Step = lambda _: None, told: Step = lambda _: None) -> list[str]:
    """Compacts every sealed segment of a telemetry folder; returns their names. What another process compacts at this
    moment is left to it. A damaged segment stays as it is, and is `told`. `step` hears of each step as it is taken.

    Raises OSError where the disk does not take the files; what was compacted before stands.
    """
    done: list[str] = []
    with alone(folder) as free:
        if not free:
            return done
        for draft in folder.glob(f"*{_DRAFT}"):
            shutil.rmtree(draft)
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if (folder / path.stem / MANIFEST).is_file():
                path.unlink()  # its folder was there in full before somebody was killed
            elif read_seal(path) is not None:
                try:
                    _compact(path, step)
                except PermanentError as error:
                    told(error.in_one_line())
                else:
                    done.append(path.stem)
        flush_folder(folder)
    return done


def _compact(path: Path, step: Step) -> None:
    segment = FramedSegment(path)
    events = segment.read()
    if segment.damaged:
        raise PermanentError(f"{path.name} is damaged: {segment.damaged}", hint="it is left as it is, and read so")
    draft = path.with_name(f".{path.stem}{_DRAFT}")
    draft.mkdir(mode=0o700)  # inputs are nobody else's to read
    step("folder")
    try:
        _draw_up(draft, path, segment, events, step)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)  # on a full disk it would be in the way
        raise
    draft.rename(path.with_suffix(""))
    step("renamed")
    flush_folder(path.parent)
    step("flushed")
    path.unlink()
    step("removed")


def _draw_up(draft: Path, path: Path, segment: FramedSegment, events: Events, step: Step) -> None:
    """All that the folder of a segment holds, on the disk and read back."""
    files = []
    for file, table in _tables(segment, path.read_bytes(), events):
        files.append(write_table(draft, file, table))
        step(file.name)
    files.append(_write_ids(draft, path.parent, events))
    step(IDS)
    seal = read_seal(path)
    assert seal is not None
    manifest = Manifest(
        version=VERSION,
        segment=path.stem,
        first=seal.first,
        last=seal.last,
        answers=sum(len(one.at) for one in events.answers),
        truths=sum(len(one.at) for one in events.told),
        orphans=sum(int(one.orphan.sum()) for one in events.told),
        failures=sum(one.rows for one in events.failures),
        gaps=tuple(events.gaps),
        encodings=tuple(segment.encodings.get(one.encoding) or unnamed(one) for one in segment.groups.values()),
        files=tuple(files),
    )
    (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    flush_file(draft / MANIFEST)
    flush_folder(draft)
    step(MANIFEST)
    _check(draft, seal.rows)
    step("checked")


def _tables(segment: FramedSegment, content: bytes, events: Events) -> Iterator[tuple[ArchivedFile, pl.DataFrame]]:
    blank = {"rows": 0, "bytes": 0, "blake3": ""}
    for answers in events.answers:
        encoding = segment.groups[answers.group].encoding
        name = f"answers-{answers.group}.arrow"
        file = ArchivedFile(name=name, kind="answers", group=answers.group, encoding=encoding, **blank)  # type: ignore[arg-type]
        yield file, answers_table(segment, content, answers)
    if events.told:
        yield ArchivedFile(name="truths.arrow", kind="truths", **blank), truths_table(events.told[0])  # type: ignore[arg-type]
    if events.failures:
        yield ArchivedFile(name="failures.arrow", kind="failures", **blank), failures_table(events.failures)  # type: ignore[arg-type]


def write_table(draft: Path, file: ArchivedFile, table: pl.DataFrame) -> ArchivedFile:
    """Write one file of a segment's folder, and wait until it is on the disk; what it is then."""
    path = draft / file.name
    oldest = pl.CompatLevel.oldest()  # types that any Arrow library knows
    table.write_ipc(path, compression="zstd", compat_level=oldest, record_batch_size=_BATCH)
    return _sized(path, msgspec.structs.replace(file, rows=table.height))


def _write_ids(draft: Path, folder: Path, events: Events) -> ArchivedFile:
    answered = [one.ids.to_list() for one in events.answers]
    stages = [np.array([origin.stage != "shadow" for origin in one.origins])[one.origin] for one in events.answers]
    ids = [
        name
        for names, own in zip(answered, stages, strict=True)
        for name, is_own in zip(names, own, strict=True)
        if is_own
    ]
    return write_id_hashes(draft, folder, ids)


def write_id_hashes(draft: Path, folder: Path, ids: list[str]) -> ArchivedFile:
    """The ids that were answered, as sorted 64-bit hashes, for a server that asks whether it gave an id out."""
    path = draft / IDS
    hashes = np.unique(hashed_ids(ids, secret_of(folder)))
    path.write_bytes(hashes.astype("<u8").tobytes())
    return _sized(path, ArchivedFile(name=IDS, kind="ids", rows=len(hashes), bytes=0, blake3=""))


def _sized(path: Path, file: ArchivedFile) -> ArchivedFile:
    flush_file(path)
    data = path.read_bytes()
    return msgspec.structs.replace(file, bytes=len(data), blake3=blake3.blake3(data).hexdigest())


def _check(draft: Path, rows: int) -> None:
    """Reads back what was written. Raises PermanentError when it does not have every row."""
    found = 0
    for file in read_manifest(draft).files:
        if file.kind in ("answers", "truths"):
            found += pl.scan_ipc(draft / file.name).select(pl.len()).collect().item()
    if found != rows:
        raise PermanentError(f"{draft.name}: {found:,} rows came back of {rows:,}", hint="the frames stay")
