"""Hands each request to whoever answers it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sized
from functools import partial
from typing import Any

import orjson

from trimtab.errors import TemporaryError
from trimtab.serving.access.guard import Guard
from trimtab.serving.access.scopes import ANY, FEEDBACK, OPEN, PREDICT
from trimtab.serving.execution.feedback import Feedback, read_feedback
from trimtab.serving.execution.questions import Question, read_json
from trimtab.serving.http.bodies import open_inference, plain
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.endpoints.about import About
from trimtab.serving.http.endpoints.addresses import Addresses
from trimtab.serving.http.endpoints.batch import Batches
from trimtab.serving.http.endpoints.later import Later
from trimtab.serving.http.endpoints.meant import meant
from trimtab.serving.http.endpoints.pages import Pages
from trimtab.serving.http.endpoints.terms import read_terms
from trimtab.serving.http.request import Address, Request
from trimtab.serving.http.spool import Spool
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release
from trimtab.serving.system import ServedSystem
from trimtab.serving.whole import never_given

_LOG = logging.getLogger("trimtab.serving")


class PredictionDesk:
    """Answers every request for one system; what takes time is answered later, by the batcher. `connections` are those
    of the whole process."""

    def __init__(self, system: ServedSystem, connections: Sized) -> None:
        config = system.config
        self.config = config
        self.system = system
        self._guard = system.guard
        self._later = Later()
        self._held: list[tuple[HttpCaller, Request]] = []
        self._desired = system.desired
        self._book = system.book
        self._answers = system.book.metrics.requests
        self._batcher = system.batcher
        self._batches = Batches(system)
        self._addresses = addresses = Addresses(config.system, self._desired)
        addresses.of_model("POST", "infer", PREDICT, partial(self._ask, open_inference))
        addresses.of_model("POST", "batch", PREDICT, self._batches.take)
        addresses.add("POST", "/predict", PREDICT, partial(self._ask, plain))
        addresses.add("POST", "/feedback", FEEDBACK, self._feedback)
        self.about = About(system, connections)
        self.about.register(addresses)
        Pages(system, addresses)
        addresses.name_system()

    def handle(self, connection: HttpCaller, request: Request) -> None:
        """Answers, now or later."""
        head = request.head
        try:
            address = None if head is None else head.address
            method, _, endpoint, release = address or self._find(request)
            if request.method == method:
                endpoint(connection, request, release)
            else:
                connection.refuse(_wrong_method(request.method, method, request.url))
        except RefusalError as error:
            connection.refuse(error)
        except TemporaryError as error:
            connection.refuse(RefusalError(503, error.message, hint=error.hint))
        except Exception as error:  # a fault of ours must not take the connection with it
            _LOG.exception("%s %s failed", request.method, request.url)
            connection.refuse(RefusalError(500, f"the server failed: {type(error).__name__}"))

    def _find(self, request: Request) -> Address:
        """The address of a request; its head is told where it will be the same again. Raises RefusalError (404)."""
        found = self._addresses.find(request.url)
        if request.head is not None and (lasting := self._addresses.lasting(request.url)) is not None:
            request.head.address, request.head.admission = lasting, (self._guard, found.scope)
        return found

    def spool(self, url: bytes) -> Spool | None:
        """Batches go to the disk, other bodies into memory. Raises RefusalError."""
        return self._batches.spool() if url.partition(b"?")[0].endswith(b"/batch") else None

    def count(self, status: int) -> None:
        """An answer of that status was sent."""
        self._answers[status] += 1

    def knows(self, path: str) -> bool:
        """Whether there is such an address."""
        try:
            self._addresses.find(path.encode())
        except RefusalError:
            return False
        return True

    def admission(self, url: bytes) -> tuple[Guard, int]:
        """Who lets in whoever asks for this address, and the scopes of which a token needs one; any token will do to
        hear that there is no such address, and none is needed for one that every server is asked for."""
        try:
            return self._guard, self._addresses.find(url).scope
        except RefusalError:
            return self._guard, OPEN if meant(url.partition(b"?")[0].decode("latin-1"), "") else ANY

    def resume(self) -> None:
        """Answers the feedback that waited for the ids of former runs, and for the classes of the live release."""
        held, self._held = self._held, []
        for connection, request in held:
            self.handle(connection, request)

    def _ask(self, form: Any, connection: HttpCaller, request: Request, pinned: Release | None) -> None:
        started = time.perf_counter()
        fleet, head, grant = self._desired.fleet, request.head, connection.grant
        target = pinned or fleet.live
        if target is None:
            raise RefusalError(503, self._desired.why_not_ready())
        self._batcher.admit(target)
        question = Question(connection, fleet, target, form.render, started)
        question.pinned = pinned is not None
        question.who = grant.name
        question.lookups = self.system.lookups
        if head is None or not head.silent:
            read_terms(question, request)
        form.read_request(question, request, self.config)
        if grant.rows is not None:
            connection.charge(question.count)
        if question.left_out or question.explain:
            self.system.ask(question)
        else:
            self._batcher.submit(question)  # what `ask` comes to for nearly all

    def _feedback(self, connection: HttpCaller, request: Request, _: Release | None) -> None:
        if not (self.system.recalled.is_set() and self._desired.begun):
            self._held.append((connection, request))
            return
        live = self._desired.fleet.live
        config = self.config
        signature = None if live is None else live.signature
        told = read_json(request.body)
        feedback = read_feedback(told, signature, config.max_rows, time.time(), config.max_future)
        connection.charge(len(feedback.ids))
        unknown = self._book.known.missing(feedback.ids)
        if unknown and (self.system.siblings is not None or not self.system.history.is_empty()):
            self._later.do(connection, self._ask_elsewhere(connection, feedback))
        else:
            self._keep(connection, feedback, unknown)

    async def _ask_elsewhere(self, connection: HttpCaller, feedback: Feedback) -> None:
        self._keep(connection, feedback, await never_given(self.system, feedback.ids))

    def _keep(self, connection: HttpCaller, feedback: Feedback, orphans: list[int]) -> None:
        """Keeps truths, of which those at the places `orphans` are of ids that were never given out, and answers."""
        self._book.truths(feedback, orphans)
        unknown = [feedback.ids[place] for place in orphans]
        accepted = len(feedback.ids) - len(unknown)

        def done() -> None:
            if feedback.single and unknown:
                kept = {"accepted": 0, "unknown": unknown}
                told = f"id {unknown[0]!r} was never given out: its truth is kept"
                connection.refuse(RefusalError(404, told, more=kept))
            else:
                connection.answer(200, orjson.dumps({"accepted": accepted, "unknown": unknown}))

        def failed(error: TemporaryError) -> None:
            connection.refuse(RefusalError(503, error.message, hint=error.hint))

        self._book.when_kept(done, failed, len(feedback.ids))


def _wrong_method(method: bytes, verb: bytes, url: bytes) -> RefusalError:
    told, path, allowed = method.decode("latin-1"), url[:200].decode("latin-1"), verb.decode()
    return RefusalError(405, f"{told} is not how to ask {path}: use {allowed}", allow=allowed)
