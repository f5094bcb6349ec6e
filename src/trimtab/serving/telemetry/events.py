"""What a segment tells, in columns, in whatever form it lies on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.serving.telemetry.segments import Failure, Gap

if TYPE_CHECKING:
    import polars as pl


class Origin(NamedTuple):
    """Who scored a row."""

    release: str
    model: str
    stage: str
    generation: int


class Answers(NamedTuple):
    """Rows that one segment has in one `group` (an encoding and a number of outputs), in its order from `start` on:
    `at` int64 microseconds, `latency` and `score` float32 (the highest of several outputs), `origin` positions in
    `origins`, `kept` whether their inputs are there, `share` how likely that was."""

    group: str
    start: int
    ids: pl.Series
    at: NDArray[np.int64]
    latency: NDArray[np.float32]
    score: NDArray[np.float32]
    origin: NDArray[np.int32]
    origins: list[Origin]
    kept: NDArray[np.bool_]
    share: NDArray[np.float32]


class Told(NamedTuple):
    """Truths in the order of one segment, from `start` on: `at` int64 microseconds, `number` float64 (NaN where the
    truth is words), `words` by position, `orphan` whether the id was not known then."""

    start: int
    ids: pl.Series
    at: NDArray[np.int64]
    number: NDArray[np.float64]
    words: dict[int, str]
    orphan: NDArray[np.bool_]


class Events(NamedTuple):
    """All that a segment tells, or what is new in it."""

    answers: list[Answers]
    told: list[Told]
    failures: list[Failure]
    gaps: list[Gap]

    def __len__(self) -> int:
        """Answers, truths, failures and gaps together."""
        return (
            sum(len(one.at) for one in self.answers)
            + sum(len(one.at) for one in self.told)
            + len(self.failures)
            + len(self.gaps)
        )


class Segment(Protocol):
    """One segment, open or sealed, in frames or in Arrow files. Both forms number the rows of a group alike, so that
    rows read from one have their inputs in the other. All of it raises FileNotFoundError once the segment has gone or
    has taken another form."""

    name: str

    @property
    def whole(self) -> bool:
        """Whether nothing will be added."""
        ...

    @property
    def damaged(self) -> str:
        """What is wrong with it; empty when it is sound."""
        ...

    def read(self) -> Events:
        """What was added since the last time."""
        ...

    def inputs(self, group: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The encoded rows [places, features] at these places of a group; NaN where they are not kept."""
        ...

    def scores(self, group: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """All outputs [places, outputs]."""
        ...


def group_name(encoding: str, outputs: int) -> str:
    """The name of a group."""
    return encoding if outputs == 1 else f"{encoding}-{outputs}"


def pick(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of a matrix; those that are all of it in order cost nothing."""
    whole = len(places) == len(values) and (len(places) == 0 or (places[0] == 0 and bool((np.diff(places) == 1).all())))
    return values if whole else values[places]
