"""Slices of rows in which a model was found to do worse."""

from __future__ import annotations

from trimtab.records.base import Record
from trimtab.records.fact import Fact


class WeakSlice(Record, kw_only=True):
    """Rows that all of `where` (column, value in words) hold for. `effect` is by how much they are worse, a mean over
    the rows that confirmed it, with its interval; `rows` counts all that there are, `share` of how many."""

    where: tuple[tuple[str, str], ...]
    rows: int
    share: float
    effect: float
    low: float
    high: float

    @property
    def in_words(self) -> str:
        """`dest=ORD and distance=500..900`."""
        return " and ".join(f"{column}={value}" for column, value in self.where)


class WeakSlicesFound(Fact, kw_only=True):
    """Where a candidate does worse than the live model, or (`against` empty) than it does on the whole, on the rows it
    was validated on. Effects are in `metric`, above zero is worse (`surprise`: the log loss less what the model's own
    probabilities promise); of what is told, a share of `rate` is expected to be false.
    Key: `weak:<release>:<against>:<pass>`."""

    release: str
    model: str
    against: str
    metric: str
    rows: int
    rate: float
    slices: tuple[WeakSlice, ...]
