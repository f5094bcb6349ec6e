"""Where each key of a TOML document lies: key path → line.

`tomllib` gives values without positions. This scanner walks a document that tomllib has already accepted, so it may
trust the grammar and only needs to know where keys, tables and values begin. A path is made of names and, for arrays
and arrays of tables, of positions: `("data", 0, "key")`.
"""

from __future__ import annotations

import re
import tomllib

from trimtab.declaration.problems import KeyPath

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'")
# Longest first: a multi-line string may end in up to two quotes of its own.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})|' + r"'''.*?'''(?:'{0,2})|" + _QUOTED.pattern,
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[KeyPath, int]:
    """The line (1-based) of every key path of a valid TOML document.

    A table's line is its header's (its first one), an array element's where the element begins; a table that is only
    implied by a dotted key has the line of that key.
    """
    return _Scanner(text.replace("\r\n", "\n")).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[KeyPath, int] = {}
        self.sizes: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text[self.at] == "[":
                table = self.header(1)
            else:
                self.pair(table)
            self.skip(_BLANK)
        return self.lines

    def header(self, brackets: int) -> KeyPath:
        line = self.line
        self.move(brackets)
        names = self.names()
        self.move(brackets)
        path = self.enter((), names[:-1], line)
        path = (*path, names[-1])
        self.lines.setdefault(path, line)
        if brackets == 1:
            return self.newest(path)
        index = self.sizes.get(path, 0)
        self.sizes[path] = index + 1
        self.lines[(*path, index)] = line
        return (*path, index)

    def pair(self, table: KeyPath) -> None:
        line = self.line
        names = self.names()
        self.move(1)
        self.skip(_SPACE)
        path = (*self.enter(table, names[:-1], line), names[-1])
        self.lines.setdefault(path, line)
        self.value(path)

    def value(self, path: KeyPath) -> None:
        head = self.text[self.at]
        if head in "\"'":
            self.skip(_STRING)
        elif head == "[":
            self.array(path)
        elif head == "{":
            self.inline_table(path)
        else:
            self.skip(_SCALAR)

    def array(self, path: KeyPath) -> None:
        self.move(1)
        index = 0
        self.skip(_BLANK)
        while self.text[self.at] != "]":
            self.lines[(*path, index)] = self.line
            self.value((*path, index))
            index += 1
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.move(1)
                self.skip(_BLANK)
        self.move(1)

    def inline_table(self, path: KeyPath) -> None:
        self.move(1)
        self.skip(_BLANK)
        while self.text[self.at] != "}":
            self.pair(path)
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.move(1)
                self.skip(_BLANK)
        self.move(1)

    def names(self) -> list[str]:
        """A key's dotted names; leaves the scanner on what follows it."""
        names: list[str] = []
        while True:
            self.skip(_SPACE)
            if self.text[self.at] in "\"'":
                quoted = self.skip(_QUOTED)
                names.append(tomllib.loads(f"k = {quoted}")["k"])
            else:
                names.append(self.skip(_BARE))
            self.skip(_SPACE)
            if self.text[self.at] != ".":
                return names
            self.move(1)

    def enter(self, table: KeyPath, names: list[str], line: int) -> KeyPath:
        for name in names:
            table = (*table, name)
            self.lines.setdefault(table, line)
            table = self.newest(table)
        return table

    def newest(self, path: KeyPath) -> KeyPath:
        """In an array of tables, the table that was opened last."""
        return (*path, self.sizes[path] - 1) if path in self.sizes else path

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        found = match.group() if match else ""
        if not found and pattern not in (_BLANK, _SPACE):
            raise ValueError(f"not the TOML that tomllib accepted, near line {self.line}")
        self.line += found.count("\n")
        self.at += len(found)
        return found

    def move(self, characters: int) -> None:
        self.at += characters
