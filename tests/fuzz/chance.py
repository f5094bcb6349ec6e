"""Inputs changed by chance, the same ones for the same seed: their bytes, or the values of the JSON in them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from tests.fuzz.seeds import WORDS

_HEAD = 4  # bytes of an input to the server that stand before the body
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 64, 65, 1.5, -0.0, 1e308, 5e-324, 2**31, 2**63, 2**64 - 1, -(2**63), "", "a", "AA",
    "é\u0000", "x" * 300, "BYTES", "FP64", "FP32", "BF16", "BOOL", "INT8", "UINT64", "input", "score", "image", "1e5",
    "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59", "AAAA", [], {}, [[]], [{}], [None], [1, 2], [[1], [2]],
    ["a", "b"], {"a": 1}, {"binary_data_size": 4}, {"binary_data": True}, [0, 0], [-1, 2], [2**62, 4], [[[[]]]],
)  # fmt: skip


def changed(seeds: Sequence[bytes], count: int, seed: int = 7, *, json: bool = False) -> Iterator[bytes]:
    """Seeds with pieces cut out, doubled, joined, bits flipped, or words put in; with `json`, most of them with other
    values in the JSON behind their first bytes."""
    chance = random.Random(seed)
    for _ in range(count):
        data = chance.choice(seeds)
        other = chance.choice(seeds)
        yield other_values(data, chance) if json and chance.random() < 0.8 else other_bytes(data, other, chance)


def other_bytes(given: bytes, other: bytes, chance: random.Random) -> bytes:
    """The input with some of its bytes changed."""
    data = bytearray(given)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, size = chance.randrange(len(data) + 1), chance.randrange(20)
        kind = chance.randrange(6)
        if kind == 0:
            del data[at : at + size]
        elif kind == 1:
            data[at:at] = data[at : at + size]
        elif kind == 2:
            data[at:at] = chance.choice(WORDS)
        elif kind == 3:
            data[at : at + size] = chance.choice(WORDS)
        elif kind == 4 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        else:
            data += other[1:]
    return bytes(data)


def other_values(data: bytes, chance: random.Random) -> bytes:
    """An input to the server with other values in its JSON part, whose length is told anew where it was told."""
    head, body = data[:_HEAD].ljust(_HEAD, b"\0"), data[_HEAD:]
    told = int.from_bytes(head[2:], "little")
    end = len(body) if told == 65_535 else told
    try:
        value = orjson.loads(body[:end])
    except orjson.JSONDecodeError:
        return other_bytes(data, data, chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        value = _changed(value, chance)
    text = orjson.dumps(value)
    if told != 65_535:
        head = head[:2] + min(len(text), 65_534).to_bytes(2, "little")
    return head + text + body[end:]


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with something in it changed: replaced, left out, or given twice."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        kind = chance.random()
        if kind < 0.1:
            return {name: one for name, one in value.items() if name != key}
        if kind < 0.2:
            return value | {chance.choice(("name", "data", "shape", "parameters", "x", "")): value[key]}
        return value | {key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        kind = chance.random()
        if kind < 0.1:
            return value[:place] + value[place + 1 :]
        if kind < 0.2:
            return [*value, *value[place:]] if len(value) < 200 else value[:1]
        return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    return chance.choice(_VALUES)
