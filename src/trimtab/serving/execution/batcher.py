"""Gathers what was asked in one turn of the event loop, has it scored, makes it durable and answers.

There is no timer: a batch is whatever came while the models were busy. Models of microseconds run on the loop itself;
heavier ones, and those with features of the user's own, run in threads that share the model's session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import orjson

from trimtab.errors import TemporaryError, TrimtabError
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.identifiers import Identifiers
from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.execution.scoring import Outcome, Part, attempt
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release, RowsError

_MOST_ROWS = 4096
Settled = list[tuple[list[Question], Outcome | Exception]]


class Batcher:
    """The queue in front of the models. `shadow` is given what shadow releases owe, after the answers are written."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        book: Book,
        identifiers: Identifiers,
        shadow: Callable[[Owed], None],
        threads: int,
    ) -> None:
        self._loop = loop
        self._book = book
        self._identifiers = identifiers
        self._shadow = shadow
        self._queue: list[Question] = []
        self._heavy: list[Question] = []
        self._woken = False
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
        self.waiting = 0

    def submit(self, question: Question) -> None:
        """Takes a question; its caller is answered in this turn of the loop or a later one."""
        self.waiting += 1
        self._queue.append(question)
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _flush(self) -> None:
        self._woken = False
        queue, self._queue = self._queue, []
        milliseconds, following = time.time_ns() // 1_000_000, self._identifiers.next
        for one in queue:
            if not one.given:
                one.ids = [following(milliseconds) for _ in range(one.count)]
        light = [one for one in queue if one.fleet.light]
        if len(light) < len(queue):
            self._heavy += [one for one in queue if not one.fleet.light]
            self._hand_over()
        for batch in _batches(light):
            for settled, outcome in attempt(batch):
                self._settle(settled, outcome)

    def _hand_over(self) -> None:
        """Shares what waits among the threads that are free."""
        while self._heavy and self._free:
            batch = next(iter(_batches(self._heavy[: -(-len(self._heavy) // self._free)])))
            taken = set(map(id, batch))
            self._heavy = [one for one in self._heavy if id(one) not in taken]
            self._free -= 1
            self._pool.submit(self._work, batch)

    def _work(self, batch: list[Question]) -> None:
        self._loop.call_soon_threadsafe(self._done, attempt(batch))

    def _done(self, results: Settled) -> None:
        self._free += 1
        self._hand_over()  # the thread gets its next batch before the answers are written
        for settled, outcome in results:
            self._settle(settled, outcome)

    def _settle(self, batch: list[Question], outcome: Outcome | Exception) -> None:
        try:
            if isinstance(outcome, Exception):
                self._refuse(batch, outcome)
                self.waiting -= len(batch)
                return
            parts, stumbles = outcome
            owed = self._book.answered(batch, parts, stumbles)
        except TemporaryError as error:
            self._turn_away(batch, error)
            return
        rows = sum(len(part.scores) for part in parts)
        self._book.when_kept(partial(self._answer, batch, parts, owed), partial(self._turn_away, batch), rows)

    def _answer(self, batch: list[Question], parts: list[Part], owed: list[Owed]) -> None:
        self.waiting -= len(batch)
        answers = _answers(batch, parts)
        offset = 0
        for one in batch:
            one.caller.answer(200, one.render(one, answers, offset))
            offset += one.count
        for debt in owed:
            self._shadow(debt)

    def _turn_away(self, batch: list[Question], error: TemporaryError) -> None:
        self.waiting -= len(batch)
        for one in batch:
            one.caller.refuse(RefusalError(503, error.message, hint=error.hint))

    def _refuse(self, batch: list[Question], error: Exception) -> None:
        for one in batch:
            if isinstance(error, RowsError):
                one.caller.refuse(RefusalError(422, error.message, hint=error.hint, more=error.more))
                continue
            told = error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
            self._book.failed(one.target, one.count, told)
            one.caller.refuse(RefusalError(500, f"release {one.target.release} could not answer: {told}"))


def _batches(questions: Sequence[Question]) -> Iterable[list[Question]]:
    """Questions that can be scored as one: the same target, in the same form, not too many rows."""
    groups: dict[tuple[Release, bool, bool, bool], list[Question]] = {}
    for one in questions:
        groups.setdefault((one.target, one.pinned, one.matrix is None, one.rows is None), []).append(one)
    for group in groups.values():
        if len(group) == 1 or sum([one.count for one in group]) <= _MOST_ROWS:
            yield group
            continue
        batch: list[Question] = []
        rows = 0
        for one in group:
            if batch and rows + one.count > _MOST_ROWS:
                yield batch
                batch, rows = [], 0
            batch.append(one)
            rows += one.count
        yield batch


def _answers(batch: list[Question], parts: list[Part]) -> Answers:
    if len(parts) == 1 and parts[0].places is None:
        part = parts[0]
        scores, labels = _texts(part)
        return Answers(scores, labels, [part.release] * len(scores))
    total = sum(one.count for one in batch)
    scores, labels = [b""] * total, [b""] * total
    releases = [batch[0].target] * total
    for part in parts:
        for place, score, label in zip(part.places or range(total), *_texts(part), strict=True):
            scores[place], labels[place], releases[place] = score, label, part.release
    return Answers(scores, labels, releases)


def _texts(part: Part) -> tuple[list[bytes], list[bytes]]:
    release = part.release
    text = orjson.dumps(np.ascontiguousarray(part.scores), option=orjson.OPT_SERIALIZE_NUMPY)
    scores = text[1:-1].split(b",") if release.outputs == 1 else text[2:-2].split(b"],[")
    if not release.labels:
        return scores, [b""] * len(scores)
    names = release.labels
    return scores, [names[decision] for decision in release.decisions(part.scores).tolist()]
