"""Text on a terminal: its width, its colours, lines that wrap between words, and tables that never break a name.

Written out rather than left to a library because `trimtab status` is the verb that people and scripts call all day, and
a library for this costs a fifth of its time.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Sequence

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "bold red": "1;31"}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_WORDS = re.compile(r"\s*\S+")
_GAP = 2
_NARROWEST = 24


def width() -> int:
    """Columns of the terminal; 80 where there is none, never under 40."""
    return max(40, shutil.get_terminal_size((80, 24)).columns)


def colourful() -> bool:
    """Whether a person looks at standard output and has not asked for plain text."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str) -> str:
    """The text in a style (`bold`, `dim`, `red`, `green`, `yellow`, `bold red`) where colours are shown."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if text and colourful() else text


def plain(text: str) -> str:
    """The text without styles, and without anything else that would steer the terminal."""
    return "".join(each if each.isprintable() else " " for each in _ESCAPES.sub("", text))


def columns_of(text: str) -> int:
    """How many columns the text takes: two for a wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in _ESCAPES.sub("", text)
    )


def say(text: str = "", *, indent: int = 0) -> None:
    """Print a line, wrapped between words to the terminal's width (in a file it stays one line); what follows the first
    line stands `indent` in."""
    folds = sys.stdout.isatty() or "COLUMNS" in os.environ
    sys.stdout.writelines(f"{line}\n" for line in (wrapped(text, width(), indent) if folds else [text]))


def wrapped(text: str, size: int, indent: int = 0) -> list[str]:
    """The text in lines of at most `size` columns, broken at blanks alone: a longer word stands out rather than break.
    Styles count for nothing, and a style that is open at a break goes on."""
    lines, line = [], ""
    for word in _WORDS.findall(text):
        if line.strip() and columns_of(line + word) > size:
            lines.append(line)
            line = " " * indent + word.lstrip()
        else:
            line += word
    return [*lines, line]


def show_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()
) -> None:
    """Print a table; `right` are the columns to align to the right. The last column alone gives way: it wraps between
    words where the table would be wider than the terminal. Without any heading there is no rule below the headings."""
    cells = [[str(cell) for cell in row] for row in rows]
    sizes = [max([columns_of(name), *(columns_of(row[i]) for row in cells)]) for i, name in enumerate(columns)]
    left = width() - sum(sizes[:-1]) - _GAP * (len(sizes) - 1)
    sizes[-1] = min(sizes[-1], max(_NARROWEST, left))
    lines = [styled(title, "bold")] if title else []
    if any(columns):
        lines.append(_line([styled(name, "bold") for name in columns], sizes, right))
        lines.append(styled("─" * min(width(), sum(sizes) + _GAP * (len(sizes) - 1)), "dim"))
    for row in cells:
        folded = wrapped(row[-1], sizes[-1])
        lines.append(_line([*row[:-1], folded[0]], sizes, right))
        lines += [_line([*[""] * (len(row) - 1), more], sizes, right) for more in folded[1:]]
    sys.stdout.writelines(f"{line}\n" for line in [*lines, ""])


def _line(cells: Sequence[str], sizes: Sequence[int], right: Sequence[int]) -> str:
    padded = []
    for i, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        blanks = " " * max(0, size - columns_of(cell))
        padded.append(blanks + cell if i in right else cell + blanks)
    return (" " * _GAP).join(padded).rstrip()
