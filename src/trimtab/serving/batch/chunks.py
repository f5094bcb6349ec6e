"""Rows of a batch on their way: read, encoded as the model takes them, and those that do not fit set apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.encode import RowEncoder, encode_frame, frame_of_rows
from trimtab.inference.features_code import derive, load_features
from trimtab.inference.mistakes import MistakenRowsError, mistaken
from trimtab.serving.batch.frames import Ask, Setup

if TYPE_CHECKING:
    import polars as pl


@dataclass(slots=True)
class Chunk:
    """`count` rows from row `first` on. `errors` says of a place (0 is `first`) why it cannot be scored; `ask` has the
    others in their order, None where there are none."""

    first: int
    count: int
    errors: dict[int, str] = field(default_factory=dict)
    ask: Ask | None = None


@dataclass(slots=True)
class Marks:
    """What a caller says of its rows beside the model's columns: ids and moments (microseconds), empty: not given."""

    ids: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def of(self, places: Sequence[int]) -> Marks:
        """Those of some of the rows."""
        return Marks([self.ids[p] for p in places] if self.ids else [], [self.at[p] for p in places] if self.at else [])


class Encoding:
    """Turns rows, plain or in a frame, into the model's matrix."""

    def __init__(self, setup: Setup) -> None:
        self._signature = setup.signature
        self._needs_rows = setup.needs_rows
        self._function = load_features(setup.code, setup.entry) if setup.code else None
        self._encoder = None if setup.code else RowEncoder(setup.signature)

    def plain(self, first: int, rows: Sequence[Mapping[str, Any]], errors: dict[int, str], marks: Marks) -> Chunk:
        """Rows as dicts of the model's columns, at the places that are not in `errors`."""
        places = [place for place in range(len(rows)) if place not in errors]
        if not places:
            return Chunk(first, len(rows), errors)
        good = rows if len(places) == len(rows) else [rows[place] for place in places]
        try:
            matrix = self._matrix(good)
        except MistakenRowsError:
            for place in places:
                wrong = mistaken([rows[place]], self._signature.inputs)
                if wrong is not None:
                    errors[place] = _told(wrong)
            return self.plain(first, rows, errors, marks)
        except PermanentError as error:  # the model's own code failed: for some of the rows, or all
            return self._halve(first, rows, errors, marks, error)
        return self._chunk(first, len(rows), errors, matrix, good, marks.of(places))

    def incomplete(self, first: int, rows: Sequence[Mapping[str, Any]], errors: dict[int, str], marks: Marks) -> Chunk:
        """Rows that leave out what the server looks up: it takes them as they came."""
        places = [place for place in range(len(rows)) if place not in errors]
        if not places:
            return Chunk(first, len(rows), errors)
        marks = marks.of(places)
        kept = orjson.dumps([rows[place] for place in places])
        ask = Ask(count=len(places), matrix=b"", rows=kept, ids=marks.ids, at=marks.at)
        return Chunk(first, len(rows), errors, ask)

    def frame(self, first: int, frame: pl.DataFrame, errors: dict[int, str], marks: Marks) -> Chunk:
        """A frame that has the model's columns in types that fit."""
        places = [place for place in range(frame.height) if place not in errors]
        if not places:
            return Chunk(first, frame.height, errors)
        good = frame if len(places) == frame.height else frame[places]
        inputs = self._signature.inputs
        try:
            matrix = encode_frame(derive(self._function, good, inputs), self._signature)
        except PermanentError as error:
            rows = [] if self._function is None else frame.select([column.name for column in inputs]).to_dicts()
            if not rows:
                raise
            return self._halve(first, rows, errors, marks, error)
        rows = good.select([column.name for column in inputs]).to_dicts() if self._needs_rows else []
        return self._chunk(first, frame.height, errors, matrix, rows, marks.of(places))

    def _matrix(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        if self._encoder is not None:
            return self._encoder.matrix(rows)
        frame = frame_of_rows(rows, self._signature)
        return encode_frame(derive(self._function, frame, self._signature.inputs), self._signature)

    def _halve(
        self,
        first: int,
        rows: Sequence[Mapping[str, Any]],
        errors: dict[int, str],
        marks: Marks,
        error: PermanentError,
    ) -> Chunk:
        """Finds the rows that the model's own code fails for."""
        places = [place for place in range(len(rows)) if place not in errors]
        wrong = dict(errors)
        self._search(rows, places, error, wrong)
        if len(wrong) == len(rows):
            return Chunk(first, len(rows), wrong)
        return self.plain(first, rows, wrong, marks)

    def _search(
        self, rows: Sequence[Mapping[str, Any]], places: list[int], error: PermanentError, wrong: dict[int, str]
    ) -> None:
        if len(places) == 1:
            wrong[places[0]] = error.message
            return
        half = len(places) // 2
        for part in (places[:half], places[half:]):
            try:
                self._matrix([rows[place] for place in part])
            except PermanentError as found:
                self._search(rows, part, found, wrong)

    def _chunk(  # noqa: PLR0917
        self,
        first: int,
        count: int,
        errors: dict[int, str],
        matrix: NDArray[np.float32],
        rows: Sequence[Mapping[str, Any]],
        marks: Marks,
    ) -> Chunk:
        kept = orjson.dumps(rows) if self._needs_rows else b""
        ask = Ask(count=len(matrix), matrix=matrix.astype("<f4", copy=False).tobytes(), rows=kept,
                  ids=marks.ids, at=marks.at)  # fmt: skip
        return Chunk(first, count, errors, ask)


def _told(wrong: MistakenRowsError) -> str:
    """All that is wrong with one row, in one line."""
    parts = [f"column {one.column!r} {one.error}" if one.column else one.error for one in wrong.mistakes]
    return "; ".join(parts)
