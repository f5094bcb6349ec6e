"""What a cell of a plain row may hold, and everything that is wrong with rows that do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from trimtab.errors import PermanentError
from trimtab.records.model import Column

MOST_TOLD = 20
_EXPECTED = {
    "number": "a number",
    "category": "a string",
    "boolean": "true or false",
    "time": "an ISO 8601 moment with its offset",
}


class Mistake(NamedTuple):
    """One thing that is wrong: `row` from 0, the `column` (empty: the row as a whole), `error` in words, the `sentence`
    that has all of it, and a `hint` where one is worth giving."""

    row: int
    column: str
    error: str
    sentence: str
    hint: str = ""


class MistakenRowsError(PermanentError):
    """Rows that do not fit a model's columns. Its message is the first mistake; `mistakes` are the first twenty of the
    `found` there are."""

    def __init__(self, mistakes: Sequence[Mistake], found: int) -> None:
        super().__init__(mistakes[0].sentence, hint=mistakes[0].hint)
        self.mistakes = tuple(mistakes)
        self.found = found


class UnfitCellError(Exception):
    """A cell that its column does not take."""


def read_cell(column: Column, cell: Any) -> Any:
    """The cell as its column's type: float, str, bool or an aware moment in UTC; None for null. Raises UnfitCellError
    saying what was expected and what was found."""
    if cell is None:
        return None
    kind = type(cell)
    if column.kind == "number" and kind in (int, float):
        try:
            return float(cell)
        except OverflowError as error:
            raise UnfitCellError(_unfit(column, "a number too large")) from error
    if (column.kind == "category" and kind is str) or (column.kind == "boolean" and kind is bool):
        return cell
    if column.kind == "time":
        moment = cell
        if kind is str:
            try:
                moment = datetime.fromisoformat(cell)
            except ValueError as error:
                raise UnfitCellError(_unfit(column, cell)) from error
        if isinstance(moment, datetime) and moment.tzinfo is not None:
            try:
                return moment.astimezone(UTC)
            except OverflowError as error:
                raise UnfitCellError(_unfit(column, cell)) from error
    raise UnfitCellError(_unfit(column, cell))


def mistaken(rows: Sequence[object], columns: Sequence[Column]) -> MistakenRowsError | None:
    """All that is wrong with plain rows; None when nothing is."""
    told: list[Mistake] = []
    found = 0
    for index, row in enumerate(rows):
        those = _of_row(index, row, columns)
        found += len(those)
        told += those[: MOST_TOLD - len(told)]
    return MistakenRowsError(told, found) if told else None


def _of_row(index: int, row: object, columns: Sequence[Column]) -> list[Mistake]:
    names = [column.name for column in columns]
    if not isinstance(row, Mapping):
        error = f"expected an object with the columns {', '.join(names)}"
        return [Mistake(index, "", error, f"row {index}: {error}")]
    found = []
    missing = [name for name in names if name not in row]
    for name in missing:
        hint = f"a row has {', '.join(names)}"
        found.append(Mistake(index, name, "is missing", f"row {index}: column {name!r} is missing", hint))
    for key in row:
        if key not in names:
            near = get_close_matches(str(key), missing, n=1) or get_close_matches(str(key), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"a row has {', '.join(names)}"
            found.append(Mistake(index, str(key), "unknown column", f"row {index}: unknown column {str(key)!r}", hint))
    for column in columns:
        if column.name in row:
            try:
                read_cell(column, row[column.name])
            except UnfitCellError as error:
                sentence = f"row {index}, column {column.name!r}: {error}"
                found.append(Mistake(index, column.name, str(error), sentence))
    return found


def _unfit(column: Column, cell: object) -> str:
    found = str(cell).lower() if isinstance(cell, bool) else repr(cell)
    found = found if len(found) <= 60 else found[:57] + "..."
    return f"expected {_EXPECTED[column.kind]} or null, got {found}"
