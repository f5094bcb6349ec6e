"""The JSON around the numbers of a request, known again: a caller with rows of one kind sends the same with every row.

Of a small model's answer reading it takes as long as scoring. Where it is the same, byte for byte, and what lies
between is JSON by itself, that is the tensor's data and nothing else can be meant; so only the numbers are read. Only
what was read and found right before is ever known, and only what asks for one encoded row and nothing else.
"""

from __future__ import annotations

import struct
from typing import Any

import orjson

from trimtab.serving.execution.questions import Question

_KEYS = frozenset(("name", "datatype", "shape", "data"))
_MOST = 1000  # bytes around the numbers that are kept, a connection


class KnownNumbers:
    """For bodies that begin with `before` and end with `after`, asked of a release whose encoding has that `key`."""

    __slots__ = ("_after", "_before", "_end", "_key", "_start")

    def __init__(self, before: bytes, after: bytes, key: str) -> None:
        self._before, self._after, self._key = before, after, key
        self._start, self._end = len(before), -len(after)

    def fill(self, question: Question, body: bytes) -> bool:
        """Fills a question from a body that is known but for its numbers; false for any other, and for what is wrong
        with them."""
        target = question.target
        if target.key != self._key or not (body.startswith(self._before) and body.endswith(self._after)):
            return False
        try:
            data = orjson.loads(body[self._start : self._end])
            if type(data) is not list:
                return False
            question.matrix = target.pack_row(*data)
        except (orjson.JSONDecodeError, struct.error):
            return False
        question.count = 1
        return True


def known_numbers(question: Question, body: bytes, asked: dict[str, Any]) -> KnownNumbers | None:
    """What to know such a request by, once `question` was filled from it; None where it is not only one encoded row,
    its numbers in a list without others."""
    if question.count != 1 or question.matrix is None or asked.keys() != {"inputs"}:
        return None
    tensor = asked["inputs"][0]
    start = body.rfind(b"[")
    end = body.find(b"]", start) + 1
    before, after = body[:start], body[end:]
    if len(asked["inputs"]) != 1 or tensor.keys() != _KEYS or len(before) + len(after) > _MOST:
        return None
    try:
        without = orjson.loads(before + b"null" + after)
    except orjson.JSONDecodeError:
        return None
    if without != {"inputs": [tensor | {"data": None}]}:  # the list was not the data, or not all of it
        return None
    return KnownNumbers(before, after, question.target.key)
