"""Questions that are asked again: what was answered lately under ids that callers gave is told, not done, again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.routing.naming import ReleaseName

_ROOM = 4 * 2**20
_AGE = 60.0
_ONE = 256  # bytes that remembering one row of numbers takes, its place in the table included
_SEVERAL, _ROW = 640, 64
_Row = tuple[bytes, ReleaseName, bytes, int]  # label, release, score(s) as bytes, number of classes (0: one score)


class Repeats:
    """Answers that take `room` bytes at most, told for at least `age / 2` seconds, unless more come than there is room
    for, and for `age` at most. Two questions are the same when their ids, their rows and the version they ask for are:
    `mark_of`.

    They lie in two tables, the newer of which becomes the older one when it is half of all, or half as old as may be;
    what was the older goes as a whole. So nothing is looked through, and memory comes back in one piece.
    """

    def __init__(self, room: int = _ROOM, age: float = _AGE, clock: Callable[[], float] = time.perf_counter) -> None:
        self._half_room = room // 2
        self._half_age = age / 2
        self._clock = clock
        self._newer: dict[object, _Row | Answers] = {}
        self._older: dict[object, _Row | Answers] = {}
        self._bytes = self._bytes_older = 0
        self._since = clock()

    @property
    def size(self) -> int:
        """Bytes that are remembered, roughly."""
        return self._bytes + self._bytes_older

    def recall(self, mark: object) -> Answers | None:
        """What was answered to the question with that mark."""
        self.forget()
        found = self._newer.get(mark) or self._older.get(mark)
        return _unfolded(found) if isinstance(found, tuple) else found

    def keep(self, question: Question, answers: Answers, offset: int) -> None:
        """Remembers an answer, which was not known; the older ones make room. One that would take a quarter of the room
        is not remembered: scoring it again does less harm than forgetting all the others."""
        count, named = question.count, answers.named
        kept: _Row | Answers
        if count == 1 and named is None and answers.values is not None:
            values = answers.values[offset]
            classes = 0 if answers.values.ndim == 1 else len(values)
            kept = answers.labels[offset], answers.releases[offset].by_name(), values.tobytes(), classes
            size = _ONE + 4 * classes
        else:
            kept = answers.part(offset, offset + count)
            kept.releases = [one.by_name() for one in kept.releases]
            if kept.values is not None:  # lies in memory of the model's session, and would keep all of that
                kept.values = kept.values.copy()
            if named is not None:
                kept.named = [{name: _own(one) for name, one in row.items()} for row in kept.named or ()]
            size = _size(kept)
        if size > self._half_room // 2:
            return
        self.forget()
        if self._bytes + size > self._half_room:
            self._turn(self._clock())
        self._newer[question.mark] = kept
        self._bytes += size

    def forget(self) -> None:
        """Lets go what is too old."""
        now = self._clock()
        if now - self._since > self._half_age:
            if now - self._since > 2 * self._half_age:
                self._turn(now)
                self._turn(now)
            else:
                self._turn(self._since + self._half_age)

    def _turn(self, since: float) -> None:
        self._older, self._bytes_older = self._newer, self._bytes
        self._newer, self._bytes = {}, 0
        self._since = since


def mark_of(question: Question) -> bytes:
    """What tells a question with ids of its own from every other: a digest, of which nobody can make two alike."""
    version = question.target.release if question.pinned else ""
    digest = blake2b(orjson.dumps((question.ids, version, question.sticky)), digest_size=16)
    if question.weight:
        for row in question.rows or ():
            digest.update(repr(row.payload()[1:]).encode())
    elif question.matrix is not None:
        digest.update(question.target.key.encode())  # another encoding of the same rows
        digest.update(question.matrix)
    else:
        digest.update(orjson.dumps(question.rows, default=str, option=orjson.OPT_NON_STR_KEYS))
    return digest.digest()


def _unfolded(row: _Row) -> Answers:
    label, release, data, classes = row
    values: NDArray[np.float32] = np.frombuffer(data, np.float32)
    return Answers(None, [label], [release], None, values.reshape(1, classes) if classes else values)


def _own(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _size(answers: Answers) -> int:
    count = len(answers.labels)
    size = _SEVERAL + _ROW * count + (0 if answers.values is None else answers.values.nbytes)
    if answers.values is None:
        size += sum(map(len, answers.scores)) + _ROW * count
    return size + sum(_weight(row) for row in answers.named or ())


def _weight(value: Any) -> int:
    """Bytes that an output takes."""
    if isinstance(value, Mapping):
        return 256 + sum(_weight(one) for one in value.values())
    if isinstance(value, list | tuple):
        return 64 + sum(_weight(one) for one in value)
    if isinstance(value, np.ndarray):
        return 128 + value.nbytes
    return 64 + len(value) if isinstance(value, str | bytes | memoryview) else 32
