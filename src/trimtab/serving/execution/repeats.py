"""Questions that are asked again: what was answered lately under ids that callers gave is told, not done, again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import orjson

from trimtab.serving.execution.questions import Answers, Question

_MOST_ROWS = 2**16
_AGE = 120.0


class Repeats:
    """The answers of the last `most` rows, for `age` seconds at most. Two questions are the same when their ids, their
    rows and the version they ask for are. The contents are compared by Python's own hash, salted anew in each process,
    so that nobody can make two that are taken for one."""

    def __init__(
        self, most: int = _MOST_ROWS, age: float = _AGE, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._most = most
        self._age = age
        self._clock = clock
        self._rows = 0
        self._kept: OrderedDict[object, tuple[float, Answers]] = OrderedDict()

    def __len__(self) -> int:
        return self._rows

    def find(self, question: Question) -> Answers | None:
        """What was answered to the same question, None when it is not known (any more)."""
        found = self._kept.get(question.mark)
        return None if found is None or self._clock() - found[0] > self._age else found[1]

    def keep(self, question: Question, answers: Answers, offset: int) -> None:
        """Remembers an answer, which was not known; the oldest make room."""
        if question.count > self._most:
            return
        answers = answers.part(offset, offset + question.count)
        answers.releases = [one.by_name() for one in answers.releases]
        if answers.values is not None:  # lies in memory of the model's session, and would keep all of that
            answers.values = answers.values.copy()
        before = self._kept.pop(question.mark, None)
        self._rows += question.count - (0 if before is None else len(before[1].labels))
        self._kept[question.mark] = self._clock(), answers
        if self._rows > self._most:
            self.forget()

    def forget(self) -> None:
        """Lets go what is too old or too much."""
        kept, now = self._kept, self._clock()
        while kept:
            mark, (at, answers) = next(iter(kept.items()))
            if self._rows <= self._most and now - at <= self._age:
                return
            del kept[mark]
            self._rows -= len(answers.labels)


def mark_of(question: Question) -> object:
    """What tells a question with ids of its own from every other."""
    content: object = question.matrix
    if question.weight:
        content = tuple([row.payload()[1:] for row in question.rows or ()])
    elif content is None:
        content = orjson.dumps(question.rows, default=str, option=orjson.OPT_NON_STR_KEYS)
    version = question.target.release if question.pinned else ""
    return tuple(question.ids), hash((content, question.target.key, version, question.sticky))
