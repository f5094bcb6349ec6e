"""Which release answers a row: decided by the prediction's id, or by a sticky key in its place, and by nothing else, so
that asking again gives the same release."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

BUCKETS = 10_000


def bucket(key: str) -> int:
    """The key's place, 0 to 9,999, evenly spread; the same in every process and at every time."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % BUCKETS


def sticky_key(value: object) -> str | None:
    """The key that a cell of the column stands for: rows of one value have one key, however it is written. None where
    there is no value: the row then goes by its id."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return repr(float(value)) if isinstance(value, int | float) else str(value)
    except OverflowError:
        return str(value)


class Shares:
    """Cuts the buckets among canaries: the first takes those below weight times 10,000, the next what follows, and the
    live release what is left."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._ends = [round(end * BUCKETS) for end in accumulate(weights)]

    def pick(self, key: str) -> int:
        """Position of the canary that answers, or the number of canaries for the live release."""
        return bisect_right(self._ends, bucket(key))

    def split(self, keys: Sequence[str]) -> list[list[int]]:
        """Positions in `keys` for each canary, and last for the live release."""
        parts: list[list[int]] = [[] for _ in range(len(self._ends) + 1)]
        for position, key in enumerate(keys):
            parts[self.pick(key)].append(position)
        return parts
