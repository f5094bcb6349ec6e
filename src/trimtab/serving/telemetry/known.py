"""Which prediction ids the server has given out: asked whenever truth comes back."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.segments import ANSWERED, MAGIC, SUFFIX, Scored, frames, run_of

_RUN = 2**20  # ids in the largest sorted run; runs are dropped whole, oldest first


class KnownIds:
    """A set of ids as 64-bit hashes in sorted runs: 8 bytes an id, the newest `limit` of them (older ones count as
    unknown). Hashes are Python's own, salted anew in each process, so nobody can forge a collision.
    """

    def __init__(self, limit: int = 4 * _RUN) -> None:
        self._limit = limit
        self._fresh = array("q")
        self._runs: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self._fresh) + sum(map(len, self._runs))

    def add(self, ids: Iterable[str]) -> None:
        """Ids that were just answered."""
        self._fresh.extend(map(hash, ids))
        if len(self._fresh) >= 2**16:
            self._fold()

    def missing(self, ids: Sequence[str]) -> list[int]:
        """Positions in `ids` of those that were never given out."""
        if self._fresh:
            self._fold()
        hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
        found = np.zeros(len(hashes), bool)
        for run in reversed(self._runs):
            if found.all():
                break
            places = np.searchsorted(run, hashes)
            found |= run[np.minimum(places, len(run) - 1)] == hashes
        return [int(place) for place in np.flatnonzero(~found)]

    def adopt(self, older: KnownIds) -> None:
        """Takes over ids from before this one's first."""
        older._fold()
        self._runs[:0] = older._runs
        self._trim()

    def _fold(self) -> None:
        if not self._fresh:
            return
        run = np.sort(np.frombuffer(self._fresh, np.int64))
        self._fresh = array("q")
        while self._runs and len(self._runs[-1]) <= 2 * len(run) and len(self._runs[-1]) + len(run) <= _RUN:
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        self._runs.append(run)
        self._trim()

    def _trim(self) -> None:
        while len(self._runs) > 1 and sum(map(len, self._runs)) > self._limit:
            del self._runs[0]


def ids_in(folder: Path, run: int, ours: Callable[[int], bool] = lambda _: True, limit: int = 4 * _RUN) -> KnownIds:
    """The ids answered in the segments of `folder` that `run` did not write, of `ours`: the newest `limit` of them."""
    batches: list[list[str]] = []
    count = 0
    for path in sorted(folder.glob(f"*{SUFFIX}"), reverse=True):
        wrote = run_of(path)
        if wrote == run or not ours(wrote) or count >= limit:
            continue
        found = [
            msgspec.msgpack.decode(frame.meta, type=Scored).ids
            for frame in frames(path.read_bytes()[len(MAGIC) :])
            if frame.kind == ANSWERED
        ]
        batches[:0] = found
        count += sum(map(len, found))
    known = KnownIds(limit)
    for ids in batches:
        known.add(ids)
    return known
