"""A batch through its model: no event loop, no files, so that it runs on the loop or in a thread."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from trimtab.errors import PermanentError, TrimtabError
from trimtab.inference.user_code import is_failure
from trimtab.serving.execution.batches import Batch
from trimtab.serving.execution.metrics import Run
from trimtab.serving.execution.pieces import Part, Piece, Rows
from trimtab.serving.routing.releases import Release
from trimtab.serving.routing.rows_error import RowsError

_LOOK_FOR = 1.0  # seconds that a row to blame is looked for
Scored = list[tuple[list[Piece], Part | Exception]]


def score_whole(batch: Batch, release: Release) -> Part:
    """Scores questions of one target that came encoded, by that release or one with the same encoding. Raises
    PermanentError when the model fails."""
    questions = batch.questions
    first = questions[0]
    if len(questions) == 1:
        assert first.matrix is not None
        data, rows = first.matrix, first.rows
    else:
        data = b"".join([one.matrix for one in questions])  # type: ignore[misc]
        rows = None if first.rows is None else [row for one in questions for row in one.rows or ()]
    begun = time.perf_counter()
    matrix = np.frombuffer(data, np.float32).reshape(-1, release.width)
    part = Part(release, None, matrix, release.answer(matrix), rows)
    took = time.perf_counter() - begun
    waited = begun * len(questions) - sum([one.started for one in questions])
    part.seconds = Run(batch.rows, len(questions), waited, 0.0, took)
    return part


def score(batch: Sequence[Piece]) -> Part:
    """Scores pieces of one kind; the part is of the batch, row by row in its order.

    Raises RowsError (the caller's rows) or whatever the model or the user's code raises.
    """
    first, release = batch[0], batch[0].release
    rows = first.rows() if len(batch) == 1 else None
    if len(batch) > 1 and first.question.rows is not None:
        rows = [row for piece in batch for row in piece.rows() or ()]
    begun = time.perf_counter()
    if first.encoded:
        data = first.cells() if len(batch) == 1 else b"".join([piece.cells() for piece in batch])
        matrix = np.frombuffer(data, np.float32).reshape(-1, release.width)
    else:
        assert rows is not None
        matrix = release.matrix(rows)
    ready = time.perf_counter()
    part = Part(release, None, matrix, release.answer(matrix), rows)
    took = time.perf_counter() - ready
    waited = begun * len(batch) - sum([piece.question.started for piece in batch])
    part.seconds = Run(len(part.matrix), len(batch), waited, ready - begun, took)
    return part


def attempt(batch: list[Piece]) -> Scored:
    """Scores a batch; where that fails, its halves, so that one piece does not spoil it for the others."""
    try:
        return [(batch, score(batch))]
    except RowsError as error:
        if len(batch) == 1:
            return [(batch, _placed(batch[0], error))]
    except BaseException as error:  # told to the caller by whoever settles the batch
        if not is_failure(error):
            raise
        if len(batch) == 1:
            return [(batch, _named(batch[0], _exception(error)))]
    half = len(batch) // 2
    return attempt(batch[:half]) + attempt(batch[half:])


def _exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else PermanentError(f"{type(error).__name__}: {error}")


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


def _named(piece: Piece, error: Exception) -> Exception:
    """The error of the user's own code with the number of a row that it fails for by itself, where there is one."""
    rows, release = piece.rows(), piece.release
    if rows is None or len(rows) < 2 or piece.encoded or not release.core.own_code:
        return error
    start, until = 0, time.perf_counter() + _LOOK_FOR
    while len(rows) > 1:
        half = len(rows) // 2
        for offset, those in ((0, rows[:half]), (half, rows[half:])):
            found = _trouble(release, those)
            if found is not None:
                start, rows, error = start + offset, those, found
                break
        else:
            return error  # only together
        if time.perf_counter() > until:
            return error
    place = start if piece.places is None else piece.places[start]
    told = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
    return PermanentError(f"row {place}: {told}")


def _trouble(release: Release, rows: Rows) -> Exception | None:
    try:
        release.answer(release.matrix(rows))
    except Exception as error:  # whatever the user's code raises
        return error
    return None
