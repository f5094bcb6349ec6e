"""The rows of an answer, and what a format makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from trimtab.serving.batch.chunks import Chunk
from trimtab.serving.batch.frames import Answered


class Line(NamedTuple):
    """One row of an answer: `score` and `label` as JSON, or `error`."""

    row: int
    id: str
    score: bytes
    label: bytes
    release: str
    model: str
    error: str


class Writer(Protocol):
    """Makes the bytes of an answer."""

    def rows(self, lines: Iterable[Line]) -> bytes:
        """What these rows add."""
        ...

    def end(self) -> bytes:
        """What follows the last row."""
        ...

    def broken(self, message: str) -> bytes:
        """What tells, in place of further rows, that there are none; empty where the format has no way to."""
        ...


def merged(chunk: Chunk, answered: Answered | None) -> Iterator[Line]:
    """The rows of a chunk in their order: answers, and the errors of those that could not be scored."""
    place = -1
    for offset in range(chunk.count):
        error = chunk.errors.get(offset, "")
        if not error and answered is not None:
            place += 1
            error = answered.errors.get(place, "")
            if not error:
                release, model = answered.releases[answered.release[place]]
                yield Line(
                    chunk.first + offset, answered.ids[place], answered.scores[place], answered.labels[place],
                    release, model, "",
                )  # fmt: skip
                continue
        yield Line(chunk.first + offset, "", b"", b"", "", "", error)
