"""Takes down what a training's code logs, in the worker: points by buffered append, files by copy."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trimtab.errors import PermanentError
from trimtab.records.tracking import Fit
from trimtab.training.tracking.segment import Frame, read_frames, write_frame

POINTS = "points.frames"
ARTIFACTS = "artifacts"
DROPPED = "dropped.txt"
_BUFFERED = 4096
_LONGEST = 1.0
"""Seconds for which a point may stay in memory alone."""
MOST_POINTS = 2_000_000
MOST_SERIES = 2_000
MOST_ARTIFACTS = 1_000
MOST_BYTES = 2**30
_NAME = re.compile(r"[^\s/\x00-\x1f][^\x00-\x1f]{0,198}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+=@()-]{0,99}")


class Recorder:
    """Writes below `folder`, which is made when something is first logged. Only the process that made it records;
    its threads may do so at once. A training is never ended by how much it logs: what is beyond the limits is left out,
    and said so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._attempt = 1
        self._fit: Fit = "evaluated"
        self._names: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self._series: list[int] = []
        self._steps: list[int] = []
        self._values: list[float] = []
        self._at: list[int] = []
        self._flushed = 0.0
        self._points = 0
        self._bytes = 0
        self._artifacts: set[str] = set()
        self._dropped: set[str] = set()

    def turn_to(self, fit: Fit) -> None:
        """What is logged from here on is of this fit."""
        with self._lock:
            self._flush()
            self._fit = fit
            self._names, self._next = {}, {}

    def metrics(self, values: Mapping[str, Any], step: int | None) -> None:
        """One point for each metric; without a step it is the one after the metric's last. PermanentError for what is
        no number, or has no name or step that could be kept; nothing of the call is recorded then."""
        if os.getpid() != self._owner:
            return
        checked = [(name, _number(name, value)) for name, value in values.items()]
        given = None if step is None else _step(step)
        with self._lock:
            now = time.time_ns() // 1000
            for name, value in checked:
                series = self._names.get(name)
                if series is None:
                    series = self._new(name)
                    if series is None:
                        continue
                at = self._next.get(name, 0) if given is None else given
                self._next[name] = at + 1
                self._series.append(series)
                self._steps.append(at)
                self._values.append(value)
                self._at.append(now)
            if len(self._series) >= _BUFFERED or time.monotonic() - self._flushed > _LONGEST:
                self._flush()

    def artifact(self, name: str, content: bytes | Path) -> None:
        """Keep a copy of a file, or bytes, under a name such as `plots/roc.png`; the same name again replaces it."""
        if os.getpid() != self._owner:
            return
        parts = name.split("/")
        if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts) or len(parts) > 8:
            raise PermanentError(
                f"{name!r} cannot be the name of an artifact",
                hint="letters, digits, blanks, . _ - + = @ ( ), with / between folders",
            )
        if isinstance(content, Path) and not content.is_file():
            raise PermanentError(f"there is no file {content} to keep as an artifact", hint="save it first")
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        with self._lock:
            whole = name if self._fit == "evaluated" else f"{self._fit}/{name}"
            if whole not in self._artifacts and len(self._artifacts) >= MOST_ARTIFACTS:
                self._drop(f"artifacts beyond the first {MOST_ARTIFACTS:,}")
                return
            if self._bytes + size > MOST_BYTES:
                self._drop(f"artifact {name!r}: more than {MOST_BYTES // 2**20:,} MiB in all")
                return
            self._bytes += size
            self._artifacts.add(whole)
            try:
                self._put(whole, content)
            except OSError as error:
                self._drop(f"artifact {name!r}: {error.strerror}")

    def _put(self, name: str, content: bytes | Path) -> None:
        """The file under its name, whole or not at all."""
        target = self._folder / ARTIFACTS / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f"{secrets.token_hex(8)}.tmp"
        if isinstance(content, Path):
            shutil.copyfile(content, draft)
        else:
            draft.write_bytes(content)
        draft.replace(target)

    def flush(self) -> None:
        """Put down what is still in memory; a kill of this process cannot take it then."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Put down what is still in memory."""
        with self._lock:
            self._flush()
            if self._file is not None:
                self._file.close()
                self._file = None

    def _new(self, name: str) -> int | None:
        if not _NAME.fullmatch(str(name)):
            raise PermanentError(f"{name!r} cannot be the name of a metric", hint="a short text in one line")
        if len(self._names) >= MOST_SERIES:
            self._drop(f"metrics beyond the first {MOST_SERIES:,} names")
            return None
        self._names[name] = len(self._names)
        return self._names[name]

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if not self._series:
            return
        columns = self._series, self._steps, self._values, self._at
        self._series, self._steps, self._values, self._at = [], [], [], []
        self._points += len(columns[0])
        if self._points > MOST_POINTS:
            self._drop(f"points beyond the first {MOST_POINTS:,}")
            return
        series, steps, values, at = (
            np.array(column, dtype=kind).tobytes()
            for column, kind in zip(columns, ("<u4", "<i8", "<f8", "<i8"), strict=True)
        )
        try:
            file = self._opened()  # first: it tells which attempt this is
            write_frame(file, Frame(self._attempt, self._fit, list(self._names), series, steps, values, at))
        except OSError as error:  # a full disk: the training itself may still get by
            self._drop(f"{len(columns[0])} points or more: {error.strerror}")

    def _opened(self) -> BinaryIO:
        """The file, without what a killed process left torn at its end."""
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / POINTS
            frames, whole = read_frames(path)
            self._attempt = 1 + max((frame.attempt for frame in frames), default=0)
            self._file = path.open("ab", buffering=0)
            self._file.truncate(whole)
        return self._file

    def _drop(self, what: str) -> None:
        if what not in self._dropped:
            self._dropped.add(what)
            print(f"not kept: {what}")
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                with (self._folder / DROPPED).open("a", encoding="utf-8") as file:
                    file.write(what + "\n")


def dropped_in(folder: Path) -> tuple[str, ...]:
    """What was left out, each once."""
    try:
        lines: Iterable[str] = (folder / DROPPED).read_text("utf-8").splitlines()
    except OSError:
        lines = ()
    return tuple(dict.fromkeys(lines))


def _number(name: str, value: Any) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, str | bytes):
        raise PermanentError(f"metric {name!r} is a text, {value!r}", hint="log numbers; a text is a hyper-parameter")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PermanentError(
            f"metric {name!r} is no number but {type(value).__name__}: {error}", hint="log one number a step"
        ) from error


def _step(step: Any) -> int:
    try:
        whole = int(step)
        exact = whole == step
    except (TypeError, ValueError, OverflowError):
        whole, exact = 0, False
    if not exact or not 0 <= whole < 2**62:
        raise PermanentError(f"{step!r} cannot be a step", hint="count steps in whole numbers from 0")
    return whole
