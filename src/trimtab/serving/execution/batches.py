"""Questions that are scored, and kept, as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab.serving.execution.questions import Question
from trimtab.serving.routing.releases import Release


class Batch:
    """Questions of one kind: the same target, in the same form. `rows` is how many rows they have; `plain`: one each,
    encoded, which the server names and dates. Nearly all are, and then nobody need look at them one by one."""

    __slots__ = ("plain", "questions", "rows")

    def __init__(self, questions: Sequence[Question], *, plain: bool = False) -> None:
        self.questions = questions
        self.plain = plain
        self.rows = len(questions) if plain else sum([one.count for one in questions])

    def part(self, start: int, end: int) -> Batch:
        """Some of the questions."""
        return Batch(self.questions[start:end], plain=self.plain)

    def within(self, most: int) -> Iterable[Batch]:
        """The same questions in batches of at most that many rows; a larger question is one by itself."""
        questions = self.questions
        if self.rows <= most or len(questions) == 1:
            yield self
            return
        start = rows = 0
        for place, one in enumerate(questions):
            if place > start and rows + one.count > most:
                yield self.part(start, place)
                start, rows = place, 0
            rows += one.count
        yield self.part(start, len(questions))


def by_kind(questions: Sequence[Question]) -> Iterable[Batch]:
    """The questions, of which there is at least one, in batches."""
    target = questions[0].target
    if not [
        one
        for one in questions
        if one.target is not target
        or one.count != 1
        or one.matrix is None
        or one.rows is not None
        or one.given
        or one.pinned
        or one.at is not None
    ]:
        return (Batch(questions, plain=True),)
    kinds: dict[tuple[Release, bool, bool, bool], list[Question]] = {}
    for one in questions:
        kinds.setdefault((one.target, one.pinned, one.matrix is None, one.rows is None), []).append(one)
    return map(Batch, kinds.values())
