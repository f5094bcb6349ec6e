"""Reading one table of the declaration: each key is asked for with its type, and what nobody asked for is unknown."""

from __future__ import annotations

import math
import re
from typing import Any

from trimtab.declaration.problems import KeyPath, Problems, describe, nearest
from trimtab.declaration.units import parse_duration, parse_quantity, parse_size

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)


class Table:
    """One table at `path`. Every reading method records a problem and gives None (or the default) when the value is
    missing or wrong, so that reading goes on and all problems are found at once."""

    def __init__(self, problems: Problems, path: KeyPath, values: dict[str, Any]) -> None:
        self.problems = problems
        self.path = path
        self.values = values
        self.asked: dict[str, None] = {}

    @property
    def line(self) -> int:
        return self.problems.line(self.path)

    def has(self, key: str) -> bool:
        """Whether the key is there; it counts as known from here on."""
        self.asked[key] = None
        return key in self.values

    def key(self, *parts: str | int) -> KeyPath:
        return (*self.path, *parts)

    def raw(self, key: str) -> Any:
        return self.values.get(key) if self.has(key) else None

    def require(self, key: str, example: str) -> bool:
        """Record a problem when the key is missing."""
        if self.has(key):
            return True
        if self.misspelt(key):
            return False
        self.problems.add(self.path, f"{key} is missing", hint=f"write {key} = {example}")
        return False

    def misspelt(self, key: str) -> bool:
        """Whether the key is missing and another one looks like it, which is reported as unknown; that is enough."""
        return key not in self.values and nearest(key, self.values, cutoff=0.75) is not None

    def wrong(self, key: str, expected: str, hint: str = "") -> None:
        """Record that the value of the key is not what was expected."""
        self.problems.add(self.key(key), f"expected {expected}, found {describe(self.values[key])}", hint=hint)

    def text(self, key: str, example: str = '"..."') -> str | None:
        if not self.has(key):
            return None
        value = self.values[key]
        if isinstance(value, str) and value.strip():
            return value
        self.wrong(key, "a text", hint=f"write {key} = {example}")
        return None

    def name(self, key: str) -> str | None:
        """A name: a letter, then letters, digits, `_` and `-`, at most 64 in all."""
        value = self.text(key, '"a-name"')
        if value is None or _NAME.fullmatch(value):
            return value
        self.wrong(key, "a name", hint="a letter first, then letters, digits, _ and -, at most 64")
        return None

    def texts(self, key: str, example: str = '["..."]') -> tuple[str, ...] | None:
        """A list of texts without repeats; one text alone stands for a list of one."""
        if not self.has(key):
            return None
        value = self.values[key]
        items = [value] if isinstance(value, str) else value
        if (
            not isinstance(items, list)
            or not items
            or not all(isinstance(item, str) and item.strip() for item in items)
        ):
            self.wrong(key, "a text or a list of texts", hint=f"write {key} = {example}")
            return None
        for position, item in enumerate(items):
            if item in items[:position]:
                self.problems.add(self.key(key, position), f'"{item}" is named twice')
        return tuple(items)

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(key, f'"{allowed[0]}"')
        if value is None or value in allowed:
            return value
        self.problems.unknown(self.key(key, value), allowed, f'value "{value}"')
        return None

    def number(self, key: str) -> float | None:
        if not self.has(key):
            return None
        value = self.values[key]
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        self.wrong(key, "a number")
        return None

    def integer(self, key: str, least: int, most: int | None = None) -> int | None:
        if not self.has(key):
            return None
        value = self.values[key]
        inside = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if inside and (most is None or value <= most):
            return int(value)
        self.wrong(key, f"a whole number from {least}" + (f" to {most}" if most is not None else ""))
        return None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        if not self.has(key):
            return None
        value = self.values[key]
        if not isinstance(value, bool):
            self.wrong(key, "true or false")
            return None
        return value

    def duration(self, key: str, example: str = '"7 d"', *, zero: bool = False) -> float | None:
        """Seconds; above zero unless `zero` is allowed."""
        text = self.text(key, example)
        if text is None:
            return None
        with self.problems.at(self.key(key)):
            seconds = parse_duration(text)
            if seconds > 0 or zero:
                return seconds
            self.wrong(key, "a duration above zero", hint=f"write {key} = {example}")
        return None

    def size(self, key: str, example: str = '"1 GiB"') -> int | None:
        """Whole bytes, above zero."""
        text = self.text(key, example)
        if text is None:
            return None
        with self.problems.at(self.key(key)):
            size = parse_size(text)
            if size > 0:
                return size
            self.wrong(key, "a size above zero", hint=f"write {key} = {example}")
        return None

    def share(self, key: str) -> float | None:
        """A part of the whole, 0 to 1: a number, or a text in percent."""
        if not self.has(key):
            return None
        value = self.values[key]
        if isinstance(value, str):
            with self.problems.at(self.key(key)):
                value = parse_quantity(value, "ratio")[0]
            if isinstance(value, str):
                return None  # the problem is recorded
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        self.wrong(key, "a share from 0 to 1", hint=f'write {key} = 0.1, or "10%"')
        return None

    def table(self, key: str) -> dict[str, Any] | None:
        if not self.has(key):
            return None
        value = self.values[key]
        if isinstance(value, dict):
            return value
        self.wrong(key, "a table")
        return None

    def list_of_tables(self, key: str) -> list[tuple[int, dict[str, Any]]]:
        """The tables of an array of tables, each with its position."""
        if not self.has(key):
            return []
        value = self.values[key]
        if isinstance(value, dict):
            self.wrong(key, "a list of tables", hint=f"write [[{key}]] instead of [{key}]")
            return []
        if not isinstance(value, list):
            self.wrong(key, "a list of tables")
            return []
        tables = []
        for position, item in enumerate(value):
            if isinstance(item, dict):
                tables.append((position, item))
            else:
                self.problems.add(self.key(key, position), f"expected a table, found {describe(item)}")
        return tables

    def close(self, what: str = "key") -> None:
        """Record every key that nobody asked for."""
        for key in self.values:
            if key not in self.asked:
                self.problems.unknown(self.key(key), list(self.asked), what)
