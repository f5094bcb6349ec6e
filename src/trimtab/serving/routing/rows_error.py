"""Rows that the caller must mend."""

from __future__ import annotations

from trimtab.errors import TrimtabError
from trimtab.inference.mistakes import MistakenRowsError
from trimtab.inference.tensors.refused import InputError, Why

_STATUSES: dict[Why, int] = {"invalid": 422, "too_large": 413, "unsupported": 415}


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
