"""The embedded tool: tasks and answers as lines of JSON in files, for people who label with what they have.

`push` adds to `tasks.ndjson` beside the answers. An answer is one line:
`{"item": "17", "annotator": "ann", "value": "late", "at": "2026-01-31T09:00:00Z", "seconds": 4.5}`; with an "id" it may
be revised by a later line of the same id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from trimtab.labels.port import Annotation, Item, LabelsError, NotALabel, Pull, Push
from trimtab.labels.spec import LabelsSpec
from trimtab.labels.values import read_value

TASKS = "tasks.ndjson"
_MAX_LINE = 2**20
_NO_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)


class FileTool:
    """Answers from every file that matches `files`, below the folder of the declaration."""

    def __init__(self, spec: LabelsSpec, folder: Path) -> None:
        self._spec = spec
        self._root = folder
        self._tasks = (folder / spec.files).parent / TASKS

    def push(self, items: Sequence[Item]) -> Push:
        """Append tasks that are not there; a half-written last line of a killed process is written anew."""
        there, whole = self._there()
        new = [item for item in items if item.item not in there]
        if new:
            self._tasks.parent.mkdir(parents=True, exist_ok=True)
            with self._tasks.open("r+b" if self._tasks.exists() else "w+b") as file:
                file.truncate(whole)
                file.seek(whole)
                file.writelines(msgspec.json.encode(item) + b"\n" for item in new)
                file.flush()
                os.fsync(file.fileno())
        return Push(added=len(new), there=len(items) - len(new), where=str(self._tasks))

    def pull(self, cursor: str = "") -> Pull:  # noqa: ARG002 - files are read whole
        """Every line of every file; a last line without its end is still being written and waits."""
        found: list[Annotation] = []
        for path in sorted(self._root.glob(self._spec.files)):
            if path.name != TASKS:
                found += self._lines(path)
        return Pull(items=tuple(dict.fromkeys(a.item for a in found)), annotations=tuple(found), cursor="")

    def _there(self) -> tuple[set[str], int]:
        if not self._tasks.exists():
            return set(), 0
        content = self._tasks.read_bytes()
        whole = content.rfind(b"\n") + 1
        return {json.loads(line)["item"] for line in content[:whole].splitlines() if line.strip()}, whole

    def _lines(self, path: Path) -> Iterator[Annotation]:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise LabelsError(f"{path} cannot be read: {error.strerror}") from error
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].split(b"\n"), start=1):
            if line.strip():
                yield self._read(line, f"{path.name}:{number}")

    def _read(self, line: bytes, place: str) -> Annotation:
        text = line[:_MAX_LINE].decode("utf-8", "replace").strip()
        try:
            found: Any = json.loads(line) if len(line) <= _MAX_LINE else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return _refused(f"{place}: is not one JSON object", place, text)
        item, annotator, at = found.get("item"), found.get("annotator"), _moment(found.get("at"))
        if not isinstance(item, str | int) or isinstance(item, bool):
            return _refused(f"{place}: names no item", place, text)
        if not isinstance(annotator, str) or not annotator:
            return _refused(f"{place}: names no annotator", place, text, str(item))
        if at is None:
            reason = f'{place}: has no moment "at" with a time zone'
            return _refused(reason, place, text, str(item), annotator)
        name = f"files:{found['id']}" if found.get("id") else f"files:{place}"
        try:
            value = read_value(found.get("value"), self._spec)
        except NotALabel as error:
            return Annotation(
                id=name, item=str(item), annotator=annotator, at=at, state="refused", reason=str(error), given=text
            )
        seconds = found.get("seconds")
        took = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else None
        return Annotation(id=name, item=str(item), annotator=annotator, at=at, value=value, seconds=took)


def _refused(reason: str, place: str, text: str, item: str = "", annotator: str = "") -> Annotation:
    """A line without a moment of its own stands at one that never changes, so that it is refused once."""
    return Annotation(
        id=f"files:{place}", item=item, annotator=annotator, at=_NO_MOMENT, state="refused", reason=reason, given=text
    )


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
