"""Completes questions whose rows leave features out: looked up in threads, before the models see them.

Whatever store stands behind `FeatureLookup`, the event loop never waits for it, and a question that has all its columns
pays nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trimtab.errors import PermanentError, TemporaryError
from trimtab.inference.lookup.filling import Filling
from trimtab.inference.lookup.port import FeatureLookup, View
from trimtab.serving.execution.crew import Crew, Job
from trimtab.serving.execution.metrics import Metrics
from trimtab.serving.execution.questions import Question, time_is_up
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release

_LOG = logging.getLogger("trimtab.serving")
_THREADS = 2
_MOST_WAITING = 2_000
_TOO_LONG = 5.0  # seconds after which a store that does not answer is not waited for


class _Found(NamedTuple):
    rows: list[Any]
    counts: dict[str, Counter[str]]


class Lookups:
    """Belongs to the event loop. `views` are those that can be looked up now; `proceed` takes a question that is
    complete on to the models, and may raise RefusalError."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        store: FeatureLookup,
        proceed: Callable[[Question], None],
        metrics: Metrics,
    ) -> None:
        self.views: tuple[View, ...] = ()
        self._store = store
        self._proceed = proceed
        self._metrics = metrics
        self._error = ""
        self._loop = loop
        self._crew = Crew(loop, "lookup", _THREADS, _TOO_LONG, lambda: None)

    def needed(self, rows: Sequence[Any], release: Release) -> list[View]:
        """The views that some row leaves out."""
        return Filling(self._store, _inputs(release)).needed(rows, self.views)

    def optional(self, release: Release) -> set[str]:
        """The model's columns that need not be sent."""
        return {name for view in self.views for name in view.columns}.intersection(_inputs(release))

    def entities(self) -> set[str]:
        """Columns that may be sent beside the model's own, to look others up by."""
        return {name for view in self.views for name in view.entity}

    def ask(self, question: Question) -> None:
        """Takes a question whose rows leave out what `question.left_out` lists. Raises RefusalError (503) when too many
        wait."""
        if len(self._crew) >= _MOST_WAITING or self._crew.stuck:
            raise RefusalError(503, f"{len(self._crew)} requests wait for their features", retry_after=1.0)
        rows, views = question.rows or (), question.left_out
        now = time.time_ns() // 1000
        at = question.at if isinstance(question.at, list) else [now if question.at is None else question.at] * len(rows)
        filling = Filling(self._store, _inputs(question.target))

        def run() -> _Found | RefusalError:
            counts: dict[str, Counter[str]] = {}
            try:
                return _Found(filling.fill(rows, at, views, counts), counts)
            except PermanentError as error:
                return RefusalError(422, error.message, hint=error.hint)
            except TemporaryError as error:
                return RefusalError(503, error.message, hint=error.hint, retry_after=error.delay)
            except Exception as error:  # a store of somebody else's may fail in any way
                _LOG.exception("features could not be looked up")
                return RefusalError(503, f"features could not be looked up: {type(error).__name__}", retry_after=1.0)

        def done(found: _Found | RefusalError, seconds: float) -> None:
            self._metrics.lookup_seconds += seconds
            self._done(question, found)

        def lost() -> None:
            said = f"the store of features did not answer within {_TOO_LONG:g} s"
            self._done(question, RefusalError(503, said, retry_after=1.0))

        if question.deadline is not None:
            left = question.deadline - time.perf_counter()
            question.timer = self._loop.call_later(max(left, 0.0), self._late, question)
        self._crew.give(Job(run, done, lost))

    def refresh(self) -> None:
        """Asks the store what can be looked up; meant for another thread, every second or so. A store that cannot be
        asked leaves what was known: questions that need it are refused one by one."""
        try:
            views = tuple(self._store.views())
        except TemporaryError as error:
            if error.message != self._error:
                _LOG.error("%s", error.message)
            self._error = error.message
            return
        self._error = ""
        if views != self.views:
            told = ", ".join(f"{view.name} by {', '.join(view.entity)}" for view in views)
            _LOG.info("features that are looked up: %s", told or "none")
            self.views = views

    def close(self) -> None:
        """Lets threads and store go."""
        self._crew.close()
        self._store.close()

    def _late(self, question: Question) -> None:
        question.over = True
        self._metrics.of(question.target.release).expired += 1
        question.caller.refuse(time_is_up(question))

    def _done(self, question: Question, found: _Found | RefusalError) -> None:
        if question.over:
            return
        if question.timer is not None:
            question.timer.cancel()
            question.timer = None
        if isinstance(found, RefusalError):
            question.caller.refuse(found)
            return
        for view, counts in found.counts.items():
            self._metrics.looked_up.setdefault(view, Counter()).update(counts)
        question.left_out = ()
        question.rows = None
        try:
            question.ask(found.rows)
            self._proceed(question)
        except RefusalError as error:
            question.caller.refuse(error)


def _inputs(release: Release) -> list[str]:
    return [column.name for column in release.signature.inputs]
