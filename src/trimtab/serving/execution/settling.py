"""What becomes of a question in the end: its answer, made durable first, or a refusal; told once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from trimtab.errors import TemporaryError
from trimtab.serving.execution.answers import answers_of
from trimtab.serving.execution.batches import Batch
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.pieces import Part, pick
from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.execution.repeats import Repeats, mark_of
from trimtab.serving.refusals import RefusalError

_LOG = logging.getLogger("trimtab.serving")


class Settling:
    """Belongs to the event loop. `waiting` counts the questions that were taken and are not ended; `under_way` are the
    marks of those that other processes may ask for; `shadow` is given what shadow releases owe, after the answers are
    written."""

    def __init__(self, book: Book, shadow: Callable[[Owed], None]) -> None:
        self.waiting = 0
        self.under_way: set[bytes] = set()
        self.repeats = Repeats()
        self._book = book
        self._shadow = shadow

    def told_again(self, question: Question) -> bool:
        """Whether a question with ids of its own was asked before; it then has its answer. To be asked before it is
        taken."""
        question.mark = mark_of(question)
        known = self.repeats.find(question)
        if known is None:
            return False
        self.tell_again(question, known)
        return True

    def settle(self, batch: Batch, parts: Sequence[Part]) -> None:
        """Makes durable, then answers. `parts` are of one question, or the one part of a batch."""
        questions = batch.questions
        if not batch.plain and self._any_repeat(questions):
            self._settle_singly(questions, parts)
            return
        try:
            owed = self._book.answered(batch, parts)
        except TemporaryError as error:
            self._turn_away(questions, error)
            return
        for one in questions:
            one.over = True
        if self._book.commits is None:
            self._answer(batch, parts, owed)
        else:
            kept, lost = partial(self._answer, batch, parts, owed), partial(self._take_back, questions, owed)
            self._book.when_kept(kept, lost, batch.rows)

    def refuse(self, question: Question, error: RefusalError) -> None:
        """Ends it with an error."""
        self.end(question)
        question.caller.refuse(error)

    def end(self, question: Question) -> None:
        """Ends it without a word."""
        question.over = True
        question.parts = []
        self.waiting -= 1
        if question.given:
            self.under_way.discard(question.mark)
        if question.timer is not None:
            question.timer.cancel()

    def failed(self, questions: Sequence[Question]) -> None:
        """A fault of ours, while they were dealt with: whoever was told nothing yet is told so."""
        _LOG.exception("%d requests could not be answered", len(questions))
        for one in questions:
            if not one.over:
                self.refuse(one, RefusalError(500, "the server failed"))

    def _answer(self, batch: Batch, parts: Sequence[Part], owed: Sequence[Owed]) -> None:
        try:
            self._tell(batch.questions, answers_of(parts, batch.rows))
        finally:
            for debt in owed:
                self._shadow(debt)

    def _tell(self, questions: Sequence[Question], answers: Answers) -> None:
        self.waiting -= len(questions)
        offset = 0
        for one in questions:
            if one.timer is not None:
                one.timer.cancel()
            if one.given:
                self.under_way.discard(one.mark)
                self.repeats.keep(one, answers, offset)
            try:
                body = one.render(one, answers, offset)
            except Exception:  # a fault of ours in one answer must not take the others with it
                _LOG.exception("an answer could not be put together")
                one.caller.refuse(RefusalError(500, "the server failed to put the answer together"))
            else:
                one.caller.answer(200, body)
            offset += one.count

    def _take_back(self, questions: Sequence[Question], owed: Sequence[Owed], error: TemporaryError) -> None:
        for debt in owed:
            self._book.paid(debt)
        self._turn_away(questions, error)

    def _turn_away(self, questions: Sequence[Question], error: TemporaryError) -> None:
        """The disk refuses."""
        for one in questions:
            self.refuse(one, RefusalError(503, error.message, hint=error.hint, retry_after=1.0))

    def _any_repeat(self, questions: Sequence[Question]) -> bool:
        given = [one for one in questions if one.given]
        if not given:
            return False
        fresh = {one.mark for one in given if self.repeats.find(one) is None}
        return len(fresh) < len(given)

    def _settle_singly(self, questions: Sequence[Question], parts: Sequence[Part]) -> None:
        """Some of them were asked twice: those get the answer of the first."""
        start = 0
        for one in questions:
            end = start + one.count
            known = self.repeats.find(one) if one.given else None
            if known is not None:
                self.waiting -= 1
                self.tell_again(one, known)
            else:
                own = parts if len(questions) == 1 else [pick(parts[0], None, slice(start, end))]
                self.settle(Batch([one]), own)
            start = end

    def tell_again(self, question: Question, known: Answers) -> None:
        """Answers a question that is not waited for with what was answered before."""
        self.waiting += 1
        self._book.metrics.repeated += question.count
        self.end(question)
        loaded = {one.release: one for one in question.fleet.releases}
        known = known.part(0, question.count)
        known.releases = [loaded.get(one.release, one) for one in known.releases]
        question.caller.answer(200, question.render(question, known, 0))
