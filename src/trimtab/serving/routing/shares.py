"""Which release answers a row: decided by the prediction's id alone, so that asking again gives the same release."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

BUCKETS = 10_000


def bucket(prediction_id: str) -> int:
    """The id's place, 0 to 9,999, evenly spread; the same in every process and at every time."""
    digest = blake2b(prediction_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % BUCKETS


class Shares:
    """Cuts the buckets among canaries: the first takes those below weight times 10,000, the next what follows, and the
    live release what is left."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._ends = [round(end * BUCKETS) for end in accumulate(weights)]

    def pick(self, prediction_id: str) -> int:
        """Position of the canary that answers, or the number of canaries for the live release."""
        return bisect_right(self._ends, bucket(prediction_id))

    def split(self, ids: Sequence[str]) -> list[list[int]]:
        """Positions in `ids` for each canary, and last for the live release."""
        parts: list[list[int]] = [[] for _ in range(len(self._ends) + 1)]
        for position, prediction_id in enumerate(ids):
            parts[self.pick(prediction_id)].append(position)
        return parts
