"""Every error that Trimtab raises on purpose.

One root and few kinds: what a person must mend in the declaration, what may go away by itself, and what will not.
A message is one line that names the thing; the hint says the mend.
"""

from __future__ import annotations

from pathlib import Path


class TrimtabError(Exception):
    """Root of every error Trimtab raises on purpose; `hint` says how to mend it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def in_one_line(self) -> str:
        """The message with its hint in brackets, for where there is one line: a log, a fact, a terminal."""
        return " ".join(f"{self.message} ({self.hint})".split()) if self.hint else " ".join(self.message.split())


class DeclarationError(TrimtabError):
    """The declaration, or a file it names, is wrong: found at `path`, `line` (1-based, 0 when unknown)."""

    def __init__(self, message: str, *, path: Path | str = "", line: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = Path(path) if path else None
        self.line = line

    def __str__(self) -> str:
        return self._where() + super().__str__()

    def in_one_line(self) -> str:
        """As its parent's, with file and line before it."""
        return self._where() + super().in_one_line()

    def _where(self) -> str:
        return f"{self.path}:{self.line}: " if self.path and self.line else f"{self.path}: " if self.path else ""


class TemporaryError(TrimtabError):
    """May go away by itself; try again after `delay` seconds."""

    def __init__(self, message: str, *, delay: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.delay = delay


class PermanentError(TrimtabError):
    """Will not go away by trying again."""


def end_if_told(error: BaseException) -> None:
    """Raises KeyboardInterrupt where that is how the error began: an interrupt in the midst of a transaction may come
    out as the database's complaint that it was left open."""
    before = error.__context__
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        before = before.__context__
