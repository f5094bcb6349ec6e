"""Which prediction ids the server has given out lately: asked whenever truth comes back."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.segments import ANSWERED, MAGIC, SUFFIX, Scored, run_of, salvaged
from trimtab.serving.telemetry.writing.spans import IdSpans

_RUN = 2**20  # ids in the largest sorted run
_LIMIT = 4 * _RUN


class KnownIds:
    """The ids of segments that are not compacted, by segment; those of compacted ones are found on disk (`IdHistory`).

    Ids that this process made lie in spans. Any other is kept as Python's own 64-bit hash, salted anew in each process,
    so that nobody can forge a collision: 8 bytes an id. Beyond `limit` of them the oldest segments go, and their ids
    count as unknown.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._segments: dict[str, _Ids] = {}
        self._name = ""
        self._newest = self._segments[""] = _Ids()

    def __len__(self) -> int:
        return sum(map(len, self._segments.values()))

    @property
    def segments(self) -> list[str]:
        """Names of the segments whose ids are known here, oldest first."""
        return list(self._segments)

    def add(self, ids: Sequence[str], segment: str = "", *, own: bool = False) -> None:
        """Ids that were just answered, and the segment that has them; `own`: this process made all of them."""
        if segment != self._name:
            self._name = segment
            self._newest = self._segments.setdefault(segment, _Ids())
            while len(self._segments) > 1 and len(self) > self._limit:
                del self._segments[next(iter(self._segments))]
        if not (own and self._newest.spans.add(ids)):
            self._newest.add(ids)

    def missing(self, ids: Sequence[str]) -> list[int]:
        """Positions in `ids` of those that are in no segment here."""
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
        found = np.zeros(len(hashes), bool)
        for held in reversed(self._segments.values()):
            if found.all():
                break
            held.spans.mark(ids, found)
            held.mark(hashes, found)
        return [int(place) for place in np.flatnonzero(~found)]

    def adopt(self, older: KnownIds) -> None:
        """Takes over the ids of segments from before this one's first."""
        self._segments = older._segments | self._segments

    def forget(self, segment: str) -> None:
        """Lets go of a segment's ids: they can be found elsewhere."""
        if segment != self._name:
            self._segments.pop(segment, None)


class _Ids:
    """One segment's ids: `spans` of the process's own, all others as hashes in sorted runs."""

    def __init__(self) -> None:
        self.spans = IdSpans()
        self._fresh = array("q")
        self._runs: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self.spans) + len(self._fresh) + sum(map(len, self._runs))

    def add(self, ids: Iterable[str]) -> None:
        self._fresh.extend(map(hash, ids))
        if len(self._fresh) >= 2**16:
            self._fold()

    def mark(self, hashes: NDArray[np.int64], found: NDArray[np.bool_]) -> None:
        """Sets what is here in `found`."""
        if self._fresh:
            self._fold()
        for run in reversed(self._runs):
            places = np.searchsorted(run, hashes)
            found |= run[np.minimum(places, len(run) - 1)] == hashes

    def _fold(self) -> None:
        run = np.sort(np.frombuffer(self._fresh, np.int64))
        self._fresh = array("q")
        while self._runs and len(self._runs[-1]) <= 2 * len(run) and len(self._runs[-1]) + len(run) <= _RUN:
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)


def ids_in(folder: Path, run: int, ours: Callable[[int], bool] = lambda _: True, limit: int = _LIMIT) -> KnownIds:
    """The ids answered in segments of frames that `run` did not write, of `ours`: the newest `limit` of them. Compacted
    segments are not looked at, so that this takes no longer the more of them there are."""
    found: list[tuple[str, list[str]]] = []
    count = 0
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        wrote = run_of(path)
        if wrote == run or not ours(wrote) or count >= limit:
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # compacted meanwhile
            continue
        ids: list[str] = []
        for frame in salvaged(data[len(MAGIC) :]):
            if frame.kind == ANSWERED:
                ids += msgspec.msgpack.decode(frame.meta, type=Scored).ids
        found.append((path.stem, ids))
        count += len(ids)
    known = KnownIds(limit)
    for name, ids in reversed(found):
        known.add(ids, name)
    return known
