"""The files that a path or glob names now, without those that somebody is still writing under another name."""

from __future__ import annotations

import glob
import os
import time
from dataclasses import dataclass
from pathlib import Path

from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".filepart", ".swp", "~")
_SETTLED = 10.0
_SKEW = 3_600.0


@dataclass(frozen=True)
class Found:
    """One file: its size in bytes, and `mark`, which changes whenever its content may have. One that was written to in
    the last seconds is `fresh`: what seems to be missing from it may be on its way."""

    path: Path
    name: str
    size: int
    mark: str
    fresh: bool


def listed(spec: DatasetSpec, folder: Path) -> list[Found]:
    """The files now, in order of name. Raises DataError when none ever was there."""
    pattern = str(folder / spec.source)
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute globs too
    now = time.time()  # how old a file is, is a matter of the real clock, whatever moment is asked for
    files = list[Found]()
    for name in names:
        if name.endswith(_UNFINISHED) or name.rsplit("/", 1)[-1].startswith((".", "~")):
            continue
        try:
            found = os.stat(name)  # noqa: PTH116 - many thousands of files
        except OSError:
            continue  # it went away between the two calls
        if not os.path.isfile(name):  # noqa: PTH113
            continue
        age = now - found.st_mtime
        mark = f"{found.st_size:x}.{found.st_mtime_ns:x}.{found.st_ino:x}"
        short = name.removeprefix(f"{folder}/")
        files.append(Found(Path(name), short, found.st_size, mark, fresh=-_SKEW < age < _SETTLED))
    if not files:
        raise DataError(
            f"dataset {spec.name!r}: no file matches {spec.source!r}", hint=f"a path is relative to {folder}"
        )
    return files
