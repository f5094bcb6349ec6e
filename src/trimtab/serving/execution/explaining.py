"""Explains answers once they are given: in threads of its own, within the time that is declared, for whoever asked.

A question that asks why goes the way of every other; when its answer is on its way out, it is held until its rows are
explained. No other question waits for that.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable

import numpy as np

from trimtab.errors import TrimtabError
from trimtab.serving.execution.crew import Crew, Job
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.pieces import Piece
from trimtab.serving.execution.questions import Answers, Caller, Explained, Question, Render
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.naming import ReleaseName
from trimtab.serving.routing.profile import span
from trimtab.serving.routing.releases import Release

_LOG = logging.getLogger("trimtab.serving")
_WAIT = 1.0  # seconds that a question may have to wait for its explanation before others are refused
_TOO_LONG = 10.0  # a thread that takes so long is given up: the user's own features() hang


class Explanations:
    """Explains the answers of one system; belongs to the event loop. `submit` takes the questions on to the models,
    `seconds` is how long the rows of one may take to explain, `threads` how many are explained at a time."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        submit: Callable[[Question], None],
        metrics: Metrics,
        *,
        seconds: float,
        threads: int,
    ) -> None:
        self._loop = loop
        self._submit = submit
        self._metrics = metrics
        self._seconds = seconds
        self._threads = threads
        self._crew = Crew(loop, "explain", threads, _TOO_LONG, lambda: None)

    def ask(self, question: Question) -> None:
        """Takes a question whose answer is to be explained. Raises RefusalError for one that cannot be."""
        self._admit(question.target)
        _Asked(question, self._explain)
        if question.target.core.explainer_loaded:
            self._check(question.target)
            self._submit(question)
        else:
            release = question.target

            def loaded(error: str, _: float) -> None:
                self._go_on(question, error)

            self._give(Job(lambda: _loaded(release), loaded, self._lost(question)))

    def close(self) -> None:
        """Lets the threads go."""
        self._crew.close()

    def _admit(self, release: Release) -> None:
        if not release.core.explained:
            raise RefusalError(
                422,
                f"answers of release {release.release} cannot be explained: nothing was kept for it",
                hint="models of tables are explained that were trained since explanations are kept",
            )
        wait = len(self._crew) * self._seconds / self._threads
        if self._crew.stuck or wait > _WAIT + self._seconds:
            raise RefusalError(
                503, f"{len(self._crew)} explanations wait", hint="ask again later, or without", retry_after=wait
            )

    def _check(self, release: Release) -> None:
        row = release.core.explainer().seconds_a_row()
        if row > self._seconds:
            said = f"explaining one row takes release {release.release} {span(row)}, and may take {span(self._seconds)}"
            raise RefusalError(422, said, hint="a longer `explain_time` in [serve] allows it")

    def _go_on(self, question: Question, error: str) -> None:
        """Its explainer is there now, or cannot be."""
        if error:
            said = f"answers of release {question.target.release} cannot be explained: {error}"
            question.caller.refuse(RefusalError(500, said))
            return
        try:
            self._check(question.target)
            self._submit(question)
        except RefusalError as refusal:
            question.caller.refuse(refusal)

    def _explain(self, asked: _Asked) -> None:
        """The answer is known, and kept; its caller waits for what explains it."""

        def done(result: list[Explained] | str, _: float) -> None:
            if isinstance(result, str):
                _LOG.error("an answer could not be explained: %s", result)
                asked.caller.refuse(RefusalError(500, f"the answer could not be explained: {result}"))
                return
            rows = sum(len(one.explanation.contributions) for one in result)
            self._metrics.explained["explained"] += rows
            self._metrics.explained["left"] += asked.question.count - rows
            asked.tell(result)

        self._give(Job(lambda: _explained(asked, self._seconds), done, self._lost(asked.question)))

    def _lost(self, question: Question) -> Callable[[], None]:
        said = f"the answer could not be explained within {_TOO_LONG:g} s"
        return lambda: question.caller.refuse(RefusalError(504, said))

    def _give(self, job: Job) -> None:
        if self._crew.stuck:
            job.lost()
            return
        self._crew.give(job)


class _Asked:
    """Stands between a question and its caller, and holds the answer until it is explained."""

    def __init__(self, question: Question, explain: Callable[[_Asked], None]) -> None:
        self.question = question
        self.caller: Caller = question.caller
        self.answers: Answers
        self._explain = explain
        self._render: Render = question.render
        question.caller, question.render = self, self._note

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more."""
        return self.caller.gone

    def answer(self, status: int, body: bytes) -> None:  # noqa: ARG002 - the body is made when it is explained
        """The answer is known."""
        self._explain(self)

    def refuse(self, error: RefusalError) -> None:
        """There is none."""
        self.caller.refuse(error)

    def tell(self, explained: list[Explained]) -> None:
        """Sends it, with what explains it."""
        self.question.explained = explained
        self.caller.answer(200, self._render(self.question, self.answers, 0))

    def _note(self, question: Question, answers: Answers, offset: int) -> bytes:
        rows = slice(offset, offset + question.count)
        self.answers = answers.part(rows.start, rows.stop)
        return b""


def _loaded(release: Release) -> str:
    """In a thread: loads what explains a release; why it cannot be had, or nothing."""
    try:
        release.core.explainer()
    except Exception as error:  # told to the caller
        return error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
    return ""


def _explained(asked: _Asked, seconds: float) -> list[Explained] | str:
    """In a thread: what explains the rows of a question, one release after the other; or why it cannot be had."""
    question = asked.question
    until = min(time.perf_counter() + seconds, question.deadline or math.inf)
    found: list[Explained] = []
    if asked.gone:
        return found
    places: dict[ReleaseName, list[int]] = {}
    for place, release in enumerate(asked.answers.releases):
        places.setdefault(release, []).append(place)
    try:
        for release, mine in places.items():
            if not isinstance(release, Release) or not release.core.explained:
                continue  # was replaced since it answered, or is a canary that keeps nothing: its rows are left
            explainer = release.core.explainer()
            piece = Piece(question, release, mine)
            if piece.encoded:
                matrix = np.frombuffer(piece.cells(), np.float32).reshape(-1, release.width)
            else:
                matrix = release.matrix(piece.rows() or ())
            told = explainer.explain(matrix, until - time.perf_counter()).after(release.offset)
            found.append(Explained(release, mine, told))
    except Exception as error:  # told to the caller
        return error.message if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
    return found
