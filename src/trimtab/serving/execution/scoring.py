"""A micro-batch through the models: no event loop, no files, so that it runs on the loop or in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import TrimtabError
from trimtab.serving.execution.questions import Question
from trimtab.serving.routing.releases import Release

Rows = Sequence[Mapping[str, Any]]


class Part:
    """Rows of the batch that one release answered. `places` are their positions in the batch, None for all of it."""

    __slots__ = ("matrix", "places", "release", "rows", "scores")

    def __init__(
        self,
        release: Release,
        places: list[int] | None,
        matrix: NDArray[np.float32],
        scores: NDArray[np.float32],
        rows: Rows | None,
    ) -> None:
        self.release = release
        self.places = places
        self.matrix = matrix
        self.scores = scores
        self.rows = rows


class Stumble:
    """A release that could not score rows of the batch."""

    __slots__ = ("error", "release", "rows")

    def __init__(self, release: Release, rows: int, error: str) -> None:
        self.release = release
        self.rows = rows
        self.error = error


def score(batch: Sequence[Question]) -> tuple[list[Part], list[Stumble]]:
    """Scores a batch of one target whose questions all have rows, or all have none.

    A canary that fails leaves its rows to the target. Raises RowsError (the caller's rows) or PermanentError (the
    model) when the target itself cannot score the batch.
    """
    first = batch[0]
    target, fleet = first.target, first.fleet
    matrix: NDArray[np.float32] | None = None
    if first.matrix is not None:
        data = first.matrix if len(batch) == 1 else b"".join([one.matrix or b"" for one in batch])
        matrix = np.frombuffer(data, np.float32).reshape(-1, target.width)
    rows: Rows | None = None
    if first.rows is not None:
        rows = first.rows if len(batch) == 1 else [row for one in batch for row in one.rows or ()]
    parts: list[Part] = []
    stumbles: list[Stumble] = []
    places: list[int] | None = None
    if fleet.canaries and not first.pinned:
        ids = first.ids if len(batch) == 1 else [name for one in batch for name in one.ids]
        *shares, rest = fleet.shares.split(ids)
        for canary, share in zip(fleet.canaries, shares, strict=True):
            part = _try(canary, target, share, matrix, rows, stumbles) if share else None
            if part is None:
                rest += share
            else:
                parts.append(part)
        if len(rest) < len(ids):
            rest.sort()
            places = rest
    if places is None:
        whole = target.matrix(rows) if matrix is None and rows is not None else matrix
        assert whole is not None
        parts.append(Part(target, None, whole, target.scores(whole), rows))
    elif places:
        parts.append(_part(target, target, places, matrix, rows))
    return parts, stumbles


def _try(  # noqa: PLR0917
    canary: Release,
    target: Release,
    share: list[int],
    matrix: NDArray[np.float32] | None,
    rows: Rows | None,
    stumbles: list[Stumble],
) -> Part | None:
    if canary.key != target.key and rows is None:
        return None  # encoded by the caller for the target: the canary cannot read it
    try:
        return _part(canary, target, share, matrix, rows)
    except TrimtabError as error:
        stumbles.append(Stumble(canary, len(share), error.message))
    except Exception as error:  # a canary may fail in any way; the live release answers
        stumbles.append(Stumble(canary, len(share), f"{type(error).__name__}: {error}"))
    return None


def _part(
    release: Release, target: Release, places: list[int], matrix: NDArray[np.float32] | None, rows: Rows | None
) -> Part:
    chosen = None if rows is None else [rows[place] for place in places]
    if matrix is not None and release.key == target.key:
        own = matrix[places]
    else:
        assert chosen is not None
        own = release.matrix(chosen)
    return Part(release, places, own, release.scores(own), chosen)


Outcome = tuple[list[Part], list[Stumble]]


def attempt(batch: list[Question]) -> list[tuple[list[Question], Outcome | Exception]]:
    """Scores a batch; where that fails, each of its questions alone, so that one does not spoil it for the others."""
    try:
        return [(batch, score(batch))]
    except Exception as error:  # told to the caller by whoever settles the batch
        if len(batch) == 1:
            return [(batch, error)]
        return [settled for one in batch for settled in attempt([one])]
