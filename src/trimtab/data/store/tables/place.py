"""Where one table lies: in a folder of this machine, or in a bucket. What can be told there without opening it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from trimtab.records.durable import write_atomically
from trimtab.records.objects import BucketObjects, LocalObjects, s3_options, without_keys

_TICK = 50_000_000
"""Longer than a tick of any file system's clock, in nanoseconds."""


class TablePlace(Protocol):
    """The place of one table. `shared`: other machines may write to it, so that no lock of this one is enough."""

    shared: bool

    @property
    def uri(self) -> str:
        """The place, as Lance and people are told it."""
        ...

    @property
    def options(self) -> dict[str, str] | None:
        """What Lance needs to open it; it may hold keys."""
        ...

    def ready(self) -> None:
        """Make what must be there before a table can be written."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a file of the table; it lasts when this returns."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder of the table, and their sizes in bytes."""
        ...

    def exists(self) -> bool:
        """Whether a version was ever committed."""
        ...

    def changed(self) -> int:
        """When the newest commit was made, as far as can be told at no cost (ns); 0 for not at all."""
        ...

    def settled(self, changed: int) -> bool:
        """Whether no commit since can have left the same time behind."""
        ...

    def mark(self) -> str:
        """Changes with every commit; empty while that is not sure."""
        ...

    def has_tag(self, tag: str) -> bool:
        """Whether a version is named so."""
        ...

    def without_keys(self, text: str) -> str:
        """A message that can be shown."""
        ...


class FolderPlace:
    """A folder; `root` is the table that a branch lies below, where the tags are."""

    shared = False
    options = None

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self._path = path
        self._root = root or path

    @property
    def uri(self) -> str:
        return str(self._path)

    def ready(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes) -> None:
        write_atomically(self._path / name, data)

    def sizes(self, folder: str) -> dict[str, int]:
        return LocalObjects(self._path).sizes(folder)

    def exists(self) -> bool:
        return any((self._path / "_versions").glob("*.manifest"))

    def changed(self) -> int:
        try:
            return (self._path / "_versions").stat().st_mtime_ns
        except OSError:
            return 0

    def settled(self, changed: int) -> bool:
        return time.time_ns() - changed > _TICK

    def mark(self) -> str:
        changed = self.changed()
        try:
            names = sorted(entry.name for entry in os.scandir(self._path / "_versions"))
        except OSError:
            return ""
        if not self.settled(changed) or not names:
            return ""
        return f"{changed}:{len(names)}:{names[0]}:{names[-1]}"

    def has_tag(self, tag: str) -> bool:
        return (self._root / "_refs" / "tags" / f"{tag}.json").is_file()

    def without_keys(self, text: str) -> str:
        return text


class BucketPlace:
    """Below `s3://bucket/prefix`; `branch` lies below the table, where the tags are. Manifests are named so that the
    newest comes first."""

    shared = True

    def __init__(self, url: str, environ: Mapping[str, str], branch: str = "") -> None:
        self._branch = f"tree/{branch}/" if branch else ""
        self._url = url
        self._environ = environ
        self._objects = BucketObjects(url, environ)

    @property
    def uri(self) -> str:
        return f"{self._url}/{self._branch}".rstrip("/")

    @property
    def options(self) -> dict[str, str] | None:
        return s3_options(self._environ)

    def ready(self) -> None:
        """A bucket has no folders."""

    def put(self, name: str, data: bytes) -> None:
        self._objects.put(f"{self._branch}{name}", data)

    def sizes(self, folder: str) -> dict[str, int]:
        return self._objects.sizes(f"{self._branch}{folder}")

    def exists(self) -> bool:
        return bool(self.mark())

    def changed(self) -> int:
        return 0

    def settled(self, changed: int) -> bool:  # noqa: ARG002 - the clock of a bucket is not known here
        return False

    def mark(self) -> str:
        return self._objects.first(f"{self._branch}_versions")

    def has_tag(self, tag: str) -> bool:
        return self._objects.get(f"_refs/tags/{tag}.json") is not None

    def without_keys(self, text: str) -> str:
        return without_keys(text, self._environ)
