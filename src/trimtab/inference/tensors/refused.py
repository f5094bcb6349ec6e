"""Input that a model cannot take, told apart by why: the server turns this into a status."""

from __future__ import annotations

from typing import Literal

from trimtab.errors import PermanentError

Why = Literal["invalid", "too_large", "unsupported"]


class InputError(PermanentError):
    """The caller's to mend: what was sent does not fit (`invalid`), is over a limit (`too_large`), or is of a kind that
    this model does not take (`unsupported`)."""

    def __init__(self, message: str, *, why: Why = "invalid", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.why = why

    def at(self, place: str) -> InputError:
        """The same error, with the place it was found at before it."""
        return InputError(f"{place}: {self.message}", why=self.why, hint=self.hint)
