"""What all readers of a batch have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from trimtab.serving.batch.chunks import Chunk, Marks
from trimtab.serving.batch.frames import Setup

LONGEST_ID = 200
_ID = f"an id of 1 to {LONGEST_ID} characters"
_TIME = "an ISO 8601 moment with its offset"
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class Reader(Protocol):
    """Reads a batch from its start to its end, in little memory."""

    def chunks(self) -> Iterator[Chunk]:
        """The rows in their order. Raises RefusalError where the batch cannot be read, or not on from there."""
        ...


def read_marks(setup: Setup, ids: Sequence[object], times: Sequence[object], errors: dict[int, str]) -> Marks:
    """The ids and moments of rows, from their cells (empty: none are given). What cannot be one joins `errors`, by its
    place; there and where an error is already, the mark has no meaning."""
    marks = Marks()
    seen: set[str] = set()
    for place, cell in enumerate(ids):
        name = _id(cell)
        if not name or name in seen:
            problem = f"id {name!r} is given twice" if name else f"expected {_ID}, got {_short(cell)}"
            errors.setdefault(place, f"column {setup.ids!r}: {problem}")
        seen.add(name)
        marks.ids.append(name)
    for place, cell in enumerate(times):
        stamp = _stamp(cell)
        if stamp is None:
            errors.setdefault(place, f"column {setup.times!r}: expected {_TIME}, got {_short(cell)}")
        elif not 0 <= stamp <= setup.latest:
            when = "before 1970" if stamp < 0 else "in the future"
            errors.setdefault(place, f"column {setup.times!r}: {_short(cell)} is {when}")
        marks.at.append(stamp or 0)
    return marks


def _id(cell: object) -> str:
    """A prediction id, empty where it cannot be one."""
    text = str(cell) if type(cell) is int else cell
    return text if isinstance(text, str) and len(text) <= LONGEST_ID else ""


def _stamp(cell: object) -> int | None:
    """Microseconds since 1970; None for what is no moment."""
    try:
        moment = datetime.fromisoformat(cell) if isinstance(cell, str) else cell
    except ValueError:
        return None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        return None
    try:
        return (moment - _EPOCH) // _MICROSECOND
    except OverflowError:
        return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
