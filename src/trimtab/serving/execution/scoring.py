"""A batch through its model: no event loop, no files, so that it runs on the loop or in a thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.serving.execution.pieces import Part, Piece
from trimtab.serving.execution.questions import Question
from trimtab.serving.routing.releases import Release
from trimtab.serving.routing.rows_error import RowsError

Scored = list[tuple[list[Piece], Part | Exception]]


def score_whole(batch: Sequence[Question], release: Release) -> Part:
    """Scores questions of one target that came encoded, by that release or one with the same encoding. Raises
    PermanentError when the model fails."""
    first = batch[0]
    if len(batch) == 1:
        assert first.matrix is not None
        matrix = np.frombuffer(first.matrix, np.float32).reshape(-1, release.width)
        return Part(release, None, matrix, release.answer(matrix), first.rows)
    data = b"".join([one.matrix for one in batch])  # type: ignore[misc]
    matrix = np.frombuffer(data, np.float32).reshape(-1, release.width)
    rows = None if first.rows is None else [row for one in batch for row in one.rows or ()]
    return Part(release, None, matrix, release.answer(matrix), rows)


def score(batch: Sequence[Piece]) -> Part:
    """Scores pieces of one kind; the part is of the batch, row by row in its order.

    Raises RowsError (the caller's rows) or whatever the model or the user's code raises.
    """
    first, release = batch[0], batch[0].release
    rows = first.rows() if len(batch) == 1 else None
    if len(batch) > 1 and first.question.rows is not None:
        rows = [row for piece in batch for row in piece.rows() or ()]
    if first.encoded:
        data = first.cells() if len(batch) == 1 else b"".join([piece.cells() for piece in batch])
        matrix = np.frombuffer(data, np.float32).reshape(-1, release.width)
    else:
        assert rows is not None
        matrix = release.matrix(rows)
    return Part(release, None, matrix, release.answer(matrix), rows)


def attempt(batch: list[Piece]) -> Scored:
    """Scores a batch; where that fails, its halves, so that one piece does not spoil it for the others."""
    try:
        return [(batch, score(batch))]
    except RowsError as error:
        if len(batch) == 1:
            return [(batch, _placed(batch[0], error))]
    except Exception as error:  # told to the caller by whoever settles the batch
        if len(batch) == 1:
            return [(batch, error)]
    half = len(batch) // 2
    return attempt(batch[:half]) + attempt(batch[half:])


def _placed(piece: Piece, error: RowsError) -> RowsError:
    """The error with the row's number in the question, not in the piece."""
    if piece.places is None:
        return error
    try:
        piece.release.matrix(piece.question.rows or ())
    except RowsError as told:
        return told
    except Exception:  # the user's own code, which had no part in the error
        return error
    return error
