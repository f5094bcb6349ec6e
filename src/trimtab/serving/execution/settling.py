"""What becomes of a question in the end: its answer, made durable first, or a refusal; told once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from trimtab.errors import TemporaryError
from trimtab.serving.execution.answers import answers_of
from trimtab.serving.execution.batches import Batch
from trimtab.serving.execution.book import Book, Owed
from trimtab.serving.execution.pieces import Part
from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.execution.repeats import Repeats, mark_of
from trimtab.serving.refusals import RefusalError

_LOG = logging.getLogger("trimtab.serving")


class Settling:
    """Belongs to the event loop. `waiting` counts the questions that were taken and are not ended; `under_way` are
    those with ids of their own, by their marks, each followed by those who asked the same since; `shadow` is given what
    shadow releases owe, after the answers are written."""

    def __init__(self, book: Book, shadow: Callable[[Owed], None]) -> None:
        self.waiting = 0
        self.under_way: dict[bytes, list[Question]] = {}
        self.repeats = Repeats()
        self._book = book
        self._shadow = shadow

    def known(self, question: Question) -> bool:
        """Whether a question with ids of its own was asked before; it then has its answer, or gets that of the first.
        To be asked before it is taken."""
        question.mark = question.mark or mark_of(question)
        answers = self.repeats.recall(question.mark)
        if answers is not None:
            self.tell_again(question, answers)
            return True
        same = self.under_way.get(question.mark)
        if same is None:
            return False
        same.append(question)
        self.waiting += 1
        return True

    def settle(self, batch: Batch, parts: Sequence[Part]) -> None:
        """Makes durable, then answers. `parts` are of one question, or the one part of a batch."""
        questions = batch.questions
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
        """Ends it with an error, and those who asked the same."""
        same = self.end(question)
        question.caller.refuse(error)
        for one in same:
            self.refuse(one, error)

    def end(self, question: Question) -> list[Question]:
        """Ends it without a word; returns those who asked the same and still wait."""
        question.over = True
        question.parts = []
        self.waiting -= 1
        if question.timer is not None:
            question.timer.cancel()
        return self._followers(question) if question.given else []

    def failed(self, questions: Sequence[Question]) -> None:
        """A fault of ours, while they were dealt with: whoever was told nothing yet is told so."""
        _LOG.exception("%d requests could not be answered", len(questions))
        for one in questions:
            if not one.over:
                self.refuse(one, RefusalError(500, "the server failed"))

    def _answer(self, batch: Batch, parts: Sequence[Part], owed: Sequence[Owed]) -> None:
        try:
            answers = answers_of(parts, batch.rows)
        except Exception:  # a fault of ours
            _LOG.exception("%d answers could not be put together", len(batch.questions))
            for one in batch.questions:
                self.refuse(one, RefusalError(500, "the server failed to put the answer together"))
        else:
            self._tell(batch.questions, answers)
        finally:
            for debt in owed:
                self._shadow(debt)

    def _tell(self, questions: Sequence[Question], answers: Answers) -> None:
        self.waiting -= len(questions)
        offset = 0
        for one in questions:
            if one.timer is not None:
                one.timer.cancel()
            if not one.given:
                _send(one, answers, offset)
            else:
                self.repeats.keep(one, answers, offset)
                _send(one, answers, offset)
                for again in self._followers(one):
                    self.waiting -= 1
                    self.tell_again(again, answers.part(offset, offset + one.count))
            offset += one.count

    def _followers(self, question: Question) -> list[Question]:
        """It is not under way any more: those who asked the same since and have no answer."""
        same = self.under_way.get(question.mark)
        if same is None or same[0] is not question:
            return []
        del self.under_way[question.mark]
        return [one for one in same if not one.over]

    def _take_back(self, questions: Sequence[Question], owed: Sequence[Owed], error: TemporaryError) -> None:
        for debt in owed:
            self._book.paid(debt)
        self._turn_away(questions, error)

    def _turn_away(self, questions: Sequence[Question], error: TemporaryError) -> None:
        """The disk refuses."""
        for one in questions:
            self.refuse(one, RefusalError(503, error.message, hint=error.hint, retry_after=1.0))

    def tell_again(self, question: Question, known: Answers) -> None:
        """Answers a question that is not waited for with what was answered before."""
        question.over = True
        if question.timer is not None:
            question.timer.cancel()
        self._book.metrics.repeated += question.count
        loaded = {one.release: one for one in question.fleet.releases}
        known = known.part(0, question.count)
        known.releases = [loaded.get(one.release, one) for one in known.releases]
        _send(question, known, 0)


def _send(question: Question, answers: Answers, offset: int) -> None:
    try:
        body = question.render(question, answers, offset)
    except Exception:  # a fault of ours in one answer must not take the others with it
        _LOG.exception("an answer could not be put together")
        question.caller.refuse(RefusalError(500, "the server failed to put the answer together"))
    else:
        question.caller.answer(200, body)
