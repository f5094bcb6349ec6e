"""Where a model is run and how much of it at once: decided from its measured profile alone."""

from __future__ import annotations

from typing import Literal

from trimtab.records.base import Record
from trimtab.serving.routing.profile import Profile, span

HAND_OVER = 0.0002  # seconds that giving a batch to a thread and taking its answer back costs, switches included
_INLINE_ROW = 0.00025  # a single row that takes longer than this is worth a thread
_INLINE_SHARE = 0.000025  # so are rows that take longer than this in a batch: more threads answer more of them
_STALL = 0.002  # the longest that one batch may keep the loop
_BATCH = 0.05  # the longest that one batch may keep a thread
_ALONE = 1.5  # but where one row alone takes it as long, others may come along that make it hardly longer
_GAIN = 1.02  # a batch grows until a row costs at most this much more than it would at the best size
_MOST_ROWS = 4096


class Choice(Record):
    """`inline`: on the event loop; `threads`: in that many threads that share the model's session. `largest` is the
    most rows of one batch, `reason` why, in words."""

    kind: Literal["inline", "threads"]
    largest: int
    threads: int
    reason: str


def choose(profile: Profile, *, own_code: bool, cores: int) -> Choice:
    """How a model of that profile is run on `cores` cores. `own_code`: the user's functions are part of it, which may
    do anything, and so never run on the loop."""
    row, top = profile.seconds[0], profile.rows[-1]
    share = profile.seconds[-1] / top
    if own_code:
        return threaded(profile, cores, "it runs code of its own")
    if row > _INLINE_ROW:
        return threaded(profile, cores, f"one row takes {span(row)}")
    if share > _INLINE_SHARE:
        return threaded(profile, cores, f"a row of {top} takes {span(share)}")
    largest = max((size for size in _sizes() if profile.time(size) <= _STALL), default=1)
    return Choice(kind="inline", largest=largest, threads=1, reason=f"one row takes {span(row)}")


def threaded(profile: Profile, cores: int, reason: str) -> Choice:
    """The choice of threads: the smallest batch that is nearly as good as the best, so that answers come evenly."""
    most = longest(profile)
    fitting = [size for size in _sizes() if size == 1 or profile.time(size) <= most]
    cost = {size: (profile.time(size) + HAND_OVER) / size for size in fitting}
    best = min(cost.values())
    largest = next(size for size in fitting if cost[size] <= _GAIN * best)
    return Choice(kind="threads", largest=largest, threads=cores, reason=reason)


def longest(profile: Profile, times: float = 1.0) -> float:
    """Seconds that one batch may keep a thread, where everything takes so many times what was measured."""
    return max(_BATCH, _ALONE * times * profile.time(1))


def _sizes() -> list[int]:
    return [1 << power for power in range(_MOST_ROWS.bit_length())]
