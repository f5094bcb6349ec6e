"""What is wrong with a declaration: all of it, collected in one reading, each with its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from trimtab.errors import DeclarationError

KeyPath = tuple[str | int, ...]


class DeclarationErrors(DeclarationError):  # noqa: N818 - it is several
    """Every problem that one reading of a declaration found; `path` and `line` are those of the first.

    `errors` is never empty and is in order of lines. The text is one line per problem.
    """

    def __init__(self, errors: Iterable[DeclarationError]) -> None:
        self.errors: tuple[DeclarationError, ...] = tuple(errors)
        if not self.errors:
            raise ValueError("no problem to report")
        first = self.errors[0]
        super().__init__(first.message, path=first.path or "", line=first.line, hint=first.hint)

    def __str__(self) -> str:
        return "\n".join(one_line(error) for error in self.errors)


def one_line(error: DeclarationError) -> str:
    """`path:line: message (hint)` on a single line."""
    place = f"{error.path}:{error.line}: " if error.path and error.line else f"{error.path}: " if error.path else ""
    hint = f" ({error.hint})" if error.hint else ""
    return " ".join(f"{place}{error.message}{hint}".split("\n"))


class Problems:
    """Collects problems while a declaration is read; `lines` tells where each key path lies."""

    def __init__(self, path: Path | str, lines: Mapping[KeyPath, int]) -> None:
        self.path = path
        self.lines = lines
        self.found: list[DeclarationError] = []

    def line(self, key: KeyPath) -> int:
        """The line of a key path, or of the nearest thing that holds it; 1 when nothing does."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key[:-1]
        return 1

    def add(self, key: KeyPath, message: str, hint: str = "") -> None:
        """Record a problem found at `key`."""
        self.add_at(self.line(key), key, message, hint)

    def add_at(self, line: int, key: KeyPath, message: str, hint: str = "") -> None:
        """Record a problem with `key`, found at a line that is already known."""
        text = f"{spell(key)}: {message}" if key else message
        self.found.append(DeclarationError(text, path=self.path, line=line, hint=hint))

    def at(self, key: KeyPath) -> _At:
        """A context that records a DeclarationError which its body raises as found at `key`, and goes on."""
        return _At(self, key)

    def unknown(self, key: KeyPath, allowed: Iterable[str], what: str = "key") -> None:
        """Record that the last part of `key` is not one of the `allowed` names."""
        names = list(allowed)
        self.add(key, f"unknown {what}{did_you_mean(str(key[-1]), names)}", hint=f"allowed: {', '.join(names)}")

    def raise_if_any(self) -> None:
        """DeclarationErrors when there is any problem, in order of lines."""
        if self.found:
            raise DeclarationErrors(sorted(self.found, key=lambda error: error.line))


class _At:
    def __init__(self, problems: Problems, key: KeyPath) -> None:
        self.problems = problems
        self.key = key

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, DeclarationError):
            return False
        self.problems.add(self.key, error.message, error.hint)
        return True


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of `names` that was most likely meant, or None when none is near (`cutoff` 1: equal). First of equals."""
    matcher = difflib.SequenceMatcher(b=name.lower())
    best, best_score = None, cutoff
    for known in names:
        matcher.set_seq1(known.lower())
        score = matcher.ratio()
        if score > best_score or (best is None and score == best_score):
            best, best_score = known, score
    return best


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`; did you mean "..."?`, or nothing when no name is near."""
    meant = nearest(name, names)
    return f'; did you mean "{meant}"?' if meant else ""


def spell(key: KeyPath) -> str:
    """A key path as people read it: `[policy] window`, `[[data]] key`, `[requirements] "quality.recall" limit`."""
    if not key:
        return "the declaration"
    head = f"[[{key[0]}]]" if len(key) > 1 and isinstance(key[1], int) else f"[{key[0]}]"
    rest = key[2:] if len(key) > 1 and isinstance(key[1], int) else key[1:]
    words = [f"#{part + 1}" if isinstance(part, int) else f'"{part}"' if "." in part else part for part in rest]
    return " ".join([head, *words])


def describe(value: object) -> str:
    """What a TOML value is, in words, for 'found ...' in messages."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) <= 40 else f'the text "{value[:37]}..."'
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "a table"
    return f"the {type(value).__name__} {value}"
