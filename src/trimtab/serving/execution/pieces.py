"""What one release is asked to score of one question: all of its rows, or some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.postprocess_code import Named
from trimtab.inference.tensors.model import Outcome
from trimtab.inference.tensors.sent import EncodedRows
from trimtab.serving.execution.metrics import Run
from trimtab.serving.execution.questions import Question
from trimtab.serving.routing.releases import Release

Rows = Sequence[Any]
Matrix = NDArray[np.float32] | EncodedRows


class Part:
    """Rows that one release scored. `places` are their positions in the question or batch, None for all of it; `named`
    are further outputs, by name, one dict a row (None: there are none). `seconds` is the run that it came from."""

    __slots__ = ("matrix", "named", "places", "release", "rows", "scores", "seconds")

    def __init__(
        self,
        release: Release,
        places: Sequence[int] | None,
        matrix: Matrix,
        outcome: Outcome,
        rows: Rows | None,
    ) -> None:
        self.release = release
        self.places = places
        self.matrix = matrix
        self.scores = outcome.scores
        self.named = outcome.named
        self.rows = rows
        self.seconds = Run()


class Piece:
    """`places` are positions in the question, None for all of its rows; `count` is how many. `since` is when it began
    to wait."""

    __slots__ = ("count", "places", "question", "release", "since")

    def __init__(self, question: Question, release: Release, places: Sequence[int] | None = None) -> None:
        self.question = question
        self.release = release
        self.places = places
        self.count = question.count if places is None else len(places)
        self.since = 0.0

    @property
    def kind(self) -> tuple[Release, Release, bool, bool]:
        """Pieces of one kind can be scored, and kept, as one batch."""
        question = self.question
        return self.release, question.target, self.encoded, question.rows is None

    @property
    def encoded(self) -> bool:
        """Whether its release reads the encoding that the question has."""
        return self.question.matrix is not None and self.release.key == self.question.target.key

    @property
    def readable(self) -> bool:
        """Whether its release can read it at all."""
        return self.question.rows is not None or self.encoded

    def cut(self, rows: int) -> Piece:
        """Takes that many rows off the front."""
        places = range(self.count) if self.places is None else self.places
        taken = Piece(self.question, self.release, places[:rows])
        self.places = places[rows:]
        self.count -= rows
        return taken

    def cells(self) -> bytes | memoryview:
        """Its rows of the question's matrix."""
        whole, places = self.question.matrix, self.places
        assert whole is not None
        if places is None:
            return whole
        width = 4 * self.release.width
        if isinstance(places, range):
            return memoryview(whole)[width * places.start : width * places.stop]
        return np.frombuffer(whole, np.float32).reshape(-1, self.release.width)[list(places)].tobytes()

    def rows(self) -> Rows | None:
        """Its rows as they came, where they were kept."""
        whole, places = self.question.rows, self.places
        if whole is None or places is None:
            return whole
        return whole[places.start : places.stop] if isinstance(places, range) else [whole[place] for place in places]


def merge(parts: list[Part]) -> list[Part]:
    """One part for each release, of parts of one question."""
    merged: dict[Release, list[Part]] = {}
    for part in parts:
        merged.setdefault(part.release, []).append(part)
    return [group[0] if len(group) == 1 else joined(group) for group in merged.values()]


def pick(part: Part, places: Sequence[int] | None, rows: slice) -> Part:
    """Some rows of a part that is of a whole batch, as a part of one question, where they are at `places`."""
    named = None if part.named is None else part.named[rows]
    kept = None if part.rows is None else part.rows[rows]
    return Part(part.release, places, part.matrix[rows], Outcome(part.scores[rows], named), kept)


def joined(group: list[Part]) -> Part:
    """Parts that one release scored, as one."""
    places = [place for part in group for place in part.places or ()]
    rows = None if group[0].rows is None else [row for part in group for row in part.rows or ()]
    named: Named | None = None
    if group[0].named is not None:
        named = [row for part in group for row in part.named or ()]
    outcome = Outcome(np.concatenate([part.scores for part in group]), named)
    return Part(group[0].release, places, stacked([part.matrix for part in group]), outcome, rows)


def stacked(matrices: Sequence[Matrix]) -> Matrix:
    """Rows below each other."""
    if len(matrices) == 1:
        return matrices[0]
    encoded = [one for one in matrices if isinstance(one, EncodedRows)]
    if encoded:
        return EncodedRows.joined(encoded)
    return np.concatenate([one for one in matrices if not isinstance(one, EncodedRows)])
