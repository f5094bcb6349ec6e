"""How far two transcripts agree, by words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_OUTSIDE = re.compile(r"[^\w\s']", re.UNICODE)


def spoken(text: str) -> list[str]:
    """The words of a transcript as they are compared: Unicode NFKC, lower case, punctuation but apostrophes taken for
    blanks. Numbers stay as they are written."""
    return _OUTSIDE.sub(" ", unicodedata.normalize("NFKC", text).lower()).replace("_", " ").split()


def edit_distance(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest substitutions, deletions and insertions of words from one to the other (Levenshtein 1966)."""
    if len(reference) < len(heard):
        reference, heard = heard, reference
    above = list(range(len(heard) + 1))
    for row, word in enumerate(reference, start=1):
        here = [row]
        for column, other in enumerate(heard, start=1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (word != other)))
        above = here
    return above[-1]


def word_error_rate(reference: str, heard: str) -> float:
    """Edits over the words of the reference; 0 for two empty texts, infinite where only the reference is empty."""
    wanted, found = spoken(reference), spoken(heard)
    if not wanted:
        return 0.0 if not found else float("inf")
    return edit_distance(wanted, found) / len(wanted)


def word_agreement(one: str, other: str) -> float:
    """1 - edits over the words of the longer of two transcripts, of which neither is the reference: from 0 to 1, the
    same either way round; two empty ones agree: 1."""
    left, right = spoken(one), spoken(other)
    longest = max(len(left), len(right))
    return 1.0 - edit_distance(left, right) / longest if longest else 1.0
