"""Prediction ids that the server gives out: UUIDs of version 7, so that they sort by time."""

from __future__ import annotations

import secrets
from collections.abc import Callable

_LOW = tuple(f"{value:03x}" for value in range(4096))


class Identifiers:
    """Makes ids for one process: 48 bits of milliseconds, a 24-bit counter around 50 random bits drawn at start."""

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._fixed = f"-{0x8000 | random_bits(14):04x}-{random_bits(36):09x}"
        self._count = random_bits(23)
        self._head = ""
        self._key = (-1, -1)

    def several(self, milliseconds: int, count: int) -> list[str]:
        """As many new ids for that moment, one after the other."""
        first = self.next(milliseconds)
        place = (self._count & 4095) + 1
        if place + count - 1 > 4096:  # they do not all begin alike
            return [first, *[self.next(milliseconds) for _ in range(count - 1)]]
        self._count += count - 1
        head = self._head
        return [first, *[head + low for low in _LOW[place : place + count - 1]]]

    def next(self, milliseconds: int) -> str:
        """A new id for that moment (milliseconds since 1970)."""
        count = self._count = (self._count + 1) & 0xFFFFFF
        key = (milliseconds, count >> 12)
        if key != self._key:
            text = f"{milliseconds & 0xFFFFFFFFFFFF:012x}"
            self._head = f"{text[:8]}-{text[8:]}-7{count >> 12:03x}{self._fixed}"
            self._key = key
        return self._head + _LOW[count & 4095]
