"""The files that a path or glob names now, without those that somebody is still writing under another name."""

from __future__ import annotations

import glob
import os
import re
import stat
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".filepart", ".swp", "~")
_SETTLED = 10.0
_SKEW = 3_600.0


class Found(NamedTuple):
    """One file, which lies at `place` on this machine where it is at hand: its size in bytes, and `mark`, which changes
    whenever its content may have. One that was written to in the last seconds is `fresh`: what seems to be missing from
    it may be on its way."""

    place: str
    name: str
    size: int
    mark: str
    fresh: bool

    @property
    def path(self) -> Path:
        """The place; made when it is asked for, as most of many thousands of files are only looked at."""
        return Path(self.place)


class Shelf(Protocol):
    """Where the files of a source lie."""

    def listed(self) -> list[Found]:
        """The files now, in order of name. Raises DataError when none ever was there."""
        ...

    def at_hand(self, found: Found) -> AbstractContextManager[Found]:
        """The file with a `path` on this machine, for as long as it is read."""
        ...


class LocalShelf:
    """Files of this machine, by the path or glob of a source."""

    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        self._spec, self._folder = spec, folder

    def listed(self) -> list[Found]:
        """The files now."""
        return listed(self._spec, self._folder)

    def at_hand(self, found: Found) -> AbstractContextManager[Found]:
        """The file itself."""
        return nullcontext(found)


def is_draft(name: str) -> bool:
    """Whether a name is one under which programs keep what they have not finished."""
    return name.endswith(_UNFINISHED) or name.rsplit("/", 1)[-1].startswith((".", "~"))


def listed(spec: DatasetSpec, folder: Path) -> list[Found]:
    """The files now, in order of name. Raises DataError when none ever was there."""
    pattern = str(folder / spec.source)
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - absolute globs too
    now = time.time()  # how old a file is, is a matter of the real clock, whatever moment is asked for
    files = list[Found]()
    for name in names:
        if is_draft(name):
            continue
        try:
            found = os.stat(name)  # noqa: PTH116 - many thousands of files
        except OSError:
            continue  # it went away between the two calls
        if not stat.S_ISREG(found.st_mode):
            continue
        age = now - found.st_mtime
        mark = f"{found.st_size:x}.{found.st_mtime_ns:x}.{found.st_ino:x}"
        short = name.removeprefix(f"{folder}/")
        files.append(Found(name, short, found.st_size, mark, fresh=-_SKEW < age < _SETTLED))
    if not files:
        raise DataError(
            f"dataset {spec.name!r}: no file matches {spec.source!r}", hint=f"a path is relative to {folder}"
        )
    return files


def matching(pattern: str) -> re.Pattern[str]:
    """A glob as an expression: `*` and `?` stay within a folder, `**/` is any number of folders, `[a-c]` one letter."""
    parts, at = list[str](), 0
    while at < len(pattern):
        closing = pattern.find("]", at + 2)
        if pattern.startswith("**/", at):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif pattern[at] == "[" and closing > 0:
            inside = pattern[at + 1 : closing].replace("\\", "\\\\")
            parts.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
            at = closing + 1
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at])))
            at += 1
    return re.compile("".join(parts))
