"""Rows that the caller must mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.errors import PermanentError, TrimtabError
from trimtab.inference.mistakes import MistakenRowsError
from trimtab.inference.tensors.refused import InputError, Why

_MOST_NAMED = 5
_STATUSES: dict[Why, int] = {"invalid": 422, "too_large": 413, "unsupported": 415}


def blame_cells(row: int, cells: Mapping[str, Any], *, missing: bool) -> None:
    """Raises RowsError where one of the cells of a row, which the model gave no number for, is infinite (as one becomes
    that is beyond the model's own, FP32), or where it is no number though none may be `missing`: that is no fault of
    the model's."""
    for name, cell in cells.items():
        values = np.asarray(cell)
        if values.dtype.kind == "f" and not (np.isfinite(values) | (missing & np.isnan(values))).all():
            told = f"row {row}: {name!r} is no finite number, or beyond what the model's numbers hold"
            raise RowsError(PermanentError(told, hint="FP32 goes to 3.4e38"))


def no_score(score: object, row: int, cells: Mapping[str, float]) -> PermanentError:
    """That a model gave no number for a row, with those of its cells that are null: most models of tables take none."""
    empty = [repr(name) for name, cell in cells.items() if np.isnan(cell)]
    if not empty:
        return PermanentError(f"the model gave {score} for row {row}")
    named = ", ".join(empty[:_MOST_NAMED]) + (" and more" if len(empty) > _MOST_NAMED else "")
    return PermanentError(
        f"the model gave {score} for row {row}, where {named} {'is' if len(empty) == 1 else 'are'} null",
        hint="give a value there, or train a model that takes nulls, such as one behind a SimpleImputer",
    )


class RowsError(TrimtabError):
    """Rows that do not fit the model's inputs: the caller's to mend. `status` is that of HTTP, `more` has all that is
    wrong with them."""

    def __init__(self, error: TrimtabError) -> None:
        super().__init__(error.message, hint=error.hint)
        self.status = _STATUSES[error.why] if isinstance(error, InputError) else 422
        self.more: dict[str, object] | None = None
        if isinstance(error, MistakenRowsError):
            errors = [
                {"row": one.row, "column": one.column, "error": one.error, "hint": one.hint} for one in error.mistakes
            ]
            self.more = {"errors": errors, "errors_found": error.found}
