"""Which ids are in compacted segments: asked on disk, so that a start does not depend on how long the history is."""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

IDS = "ids.u64"
_SECRET = "ids.key"
_OPEN = 256  # files that stay open between two questions


class IdHistory:
    """The ids of a telemetry folder's compacted segments. Each has a file of sorted 64-bit hashes; a question is a
    binary search in them, newest first. Nothing is read before the first question. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._changed = -1
        self._names: list[str] = []
        self._maps: OrderedDict[str, NDArray[np.uint64]] = OrderedDict()

    def is_empty(self) -> bool:
        """Whether there is no compacted segment."""
        with self._lock:
            return not self._segments()

    def refresh(self) -> None:
        """Looks through the folder again at the next question, whatever its own moment says."""
        with self._lock:
            self._changed = -1

    def missing(self, ids: Sequence[str]) -> list[int]:
        """Positions in `ids` of those that no compacted segment has."""
        with self._lock:
            names = self._segments()
            left = np.arange(len(ids))
            if not names:
                return left.tolist()
            hashes = hashed_ids(ids, secret_of(self._folder))
            for name in names:
                found = self._map(name)
                if found is not None and len(found):
                    places = np.minimum(np.searchsorted(found, hashes), len(found) - 1)
                    absent = found[places] != hashes
                    left, hashes = left[absent], hashes[absent]
                    if not len(left):
                        break
            return [int(place) for place in left]

    def _segments(self) -> list[str]:
        """Newest first; the folder is looked through only when something in it has changed."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if changed != self._changed:
            names = [path.parent.name for path in self._folder.glob(f"*/{IDS}")]
            self._names = sorted((name for name in names if not name.startswith(".")), reverse=True)
            self._changed = changed
        return self._names

    def _map(self, name: str) -> NDArray[np.uint64] | None:
        held = self._maps.get(name)
        if held is None:
            path = self._folder / name / IDS
            try:
                held = np.memmap(path, "<u8", "r") if path.stat().st_size else np.empty(0, np.uint64)
            except FileNotFoundError:  # removed meanwhile
                return None
            self._maps[name] = held
            if len(self._maps) > _OPEN:
                self._maps.popitem(last=False)
        self._maps.move_to_end(name)
        return held


def secret_of(folder: Path) -> bytes:
    """What ids of this folder are hashed with, so that nobody outside can make two of them meet; made when missing."""
    path = folder / _SECRET
    try:
        return path.read_bytes()
    except FileNotFoundError:
        draft = folder / f".{_SECRET}.{os.getpid()}"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):  # another process was quicker: its secret holds
            os.link(draft, path)
        draft.unlink()
        return path.read_bytes()


def hashed_ids(ids: Sequence[str], secret: bytes) -> NDArray[np.uint64]:
    """64 bits of each id, the same in every process that knows the secret."""
    words = b"".join(
        [blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=secret).digest() for name in ids]
    )
    return np.frombuffer(words, "<u8")
