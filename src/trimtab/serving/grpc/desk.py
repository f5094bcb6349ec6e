"""Which call means what: answers each one for the system that it names."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import Any

from trimtab.errors import TemporaryError
from trimtab.serving.access.guard import Grant, Guard
from trimtab.serving.execution.questions import Question
from trimtab.serving.grpc.inference import Inference
from trimtab.serving.grpc.messages import Messages
from trimtab.serving.open_inference.metadata import model_metadata, server_metadata
from trimtab.serving.open_inference.repository import refused_move, repository_index
from trimtab.serving.refusals import RefusalError
from trimtab.serving.routing.releases import Release
from trimtab.serving.system import ServedSystem
from trimtab.serving.whole import statistics

_LOG = logging.getLogger("trimtab.serving")
_AHEAD = 32  # requests of one stream that are worked on at a time


class Call:
    """One request for predictions; `answered` is its body, or the refusal, once that is known."""

    __slots__ = ("answered",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answered: asyncio.Future[bytes] = loop.create_future()

    @property
    def gone(self) -> bool:
        """Whether the caller has hung up, or been told something else meanwhile."""
        return self.answered.done()

    def answer(self, status: int, body: bytes) -> None:  # noqa: ARG002 - gRPC has one status for what went well
        """Sends an answer, unless the caller has gone."""
        if not self.answered.done():
            self.answered.set_result(body)

    def refuse(self, error: RefusalError) -> None:
        """Sends a refusal, unless the caller has gone."""
        if not self.answered.done():
            self.answered.set_exception(error)


class Terms:
    """Who calls, by the value of the authorization header, for what needs one of the flags of `scope`; and how the call
    wants to be answered: `deadline` as of `time.perf_counter`, `sticky` the key whose holders meet the same release."""

    __slots__ = ("_scope", "_token", "deadline", "sticky")

    def __init__(self, token: bytes, scope: int, deadline: float | None, sticky: str | None) -> None:
        self._token = token
        self._scope = scope
        self.deadline = deadline
        self.sticky = sticky

    def check(self, guards: Iterable[Guard]) -> None:
        """Raises RefusalError unless one of the guards would let the caller in; asked before the message is read."""
        refusal: RefusalError | None = None
        for guard in guards if self._scope else ():
            try:
                guard.allow(guard.recognise(self._token), self._scope)
            except RefusalError as error:
                refusal = error if refusal is None or error.status != 401 else refusal
            else:
                return
        if refusal is not None:
            raise refusal

    def admit(self, guard: Guard) -> Grant:
        """Lets the caller in. Raises RefusalError."""
        return guard.admit(self._token, self._scope) if self._scope else guard.anybody


class InferenceDesk:
    """Each public method is the call of that name: it takes the message, and gives the response as a message or as
    bytes. Raises RefusalError."""

    def __init__(self, systems: Sequence[ServedSystem], messages: Messages) -> None:
        self._systems = {one.config.system: one for one in systems}
        self._messages = messages
        self._inference = Inference(messages)

    async def server_live(self, _: Any, __: Terms) -> Any:
        return self._messages["ServerLiveResponse"](live=True)

    async def server_ready(self, _: Any, __: Terms) -> Any:
        ready = not any(system.why_not_ready() for system in self._systems.values())
        return self._messages["ServerReadyResponse"](ready=ready)

    async def model_ready(self, message: Any, terms: Terms) -> Any:
        system = self._system(message.name)
        terms.admit(system.guard)
        release = system.desired.fleet.pinned(message.version) if message.version else None
        ready = (release is not None or not message.version) and not system.why_not_ready(release)
        return self._messages["ModelReadyResponse"](ready=ready)

    async def server_metadata(self, _: Any, __: Terms) -> Any:
        return self._messages["ServerMetadataResponse"](**server_metadata())

    async def model_metadata(self, message: Any, terms: Terms) -> Any:
        system = self._system(message.name)
        terms.admit(system.guard)
        told = model_metadata(message.name, system.desired.fleet, _release(system, message.version))
        return self._messages["ModelMetadataResponse"](
            **{field: told[field] for field in ("name", "versions", "platform", "inputs", "outputs")}
        )

    async def model_infer(self, message: Any, terms: Terms) -> bytes:
        return await self._ask(message, terms)

    async def model_stream_infer(self, messages: AsyncIterable[Any], terms: Terms) -> AsyncIterator[Any]:
        """Answers in the order of the requests, which are scored together where they come together. A refusal is an
        answer too: the stream goes on."""
        due: asyncio.Queue[tuple[str, asyncio.Task[bytes]] | None] = asyncio.Queue()
        room = asyncio.Semaphore(_AHEAD)

        async def take() -> None:
            try:
                async for message in messages:
                    await room.acquire()
                    due.put_nowait((message.id, asyncio.create_task(self._ask(message, terms))))
            finally:
                due.put_nowait(None)

        taking = asyncio.create_task(take())
        response = self._messages["ModelStreamInferResponse"]
        try:
            while (one := await due.get()) is not None:
                request_id, asked = one
                try:
                    made = response()
                    made.infer_response.MergeFromString(await asked)
                except RefusalError as error:
                    made = response(error_message=error.in_one_line())
                    made.infer_response.id = request_id
                room.release()
                yield made
            await taking
        finally:
            taking.cancel()
            while not due.empty():
                if (left := due.get_nowait()) is not None:
                    left[1].cancel()

    async def model_statistics(self, message: Any, terms: Terms) -> Any:
        systems = [self._system(message.name)] if message.name else self._systems.values()
        told = []
        for system in systems:
            terms.admit(system.guard)
            told += await statistics(system, message.version)
        if message.version and not told:
            raise RefusalError(404, f"model {message.version!r} is not routed")
        return self._messages["ModelStatisticsResponse"](model_stats=told)

    async def repository_index(self, message: Any, terms: Terms) -> Any:
        told = []
        for system in self._systems.values():
            terms.admit(system.guard)
            told += repository_index(system.config.system, system.desired, ready=message.ready)
        return self._messages["RepositoryIndexResponse"](models=told)

    async def repository_model_load(self, _: Any, __: Terms) -> Any:
        raise refused_move()

    async def repository_model_unload(self, _: Any, __: Terms) -> Any:
        raise refused_move()

    async def _ask(self, message: Any, terms: Terms) -> bytes:
        started = time.perf_counter()
        system = self._system(message.model_name)
        grant = terms.admit(system.guard)  # for each message of a stream: the token may have ended, and it has rates
        target = _release(system, message.model_version)
        system.batcher.admit(target)
        loop, config = asyncio.get_running_loop(), system.config
        call = Call(loop)
        render = self._inference.render(bool(message.raw_input_contents))
        question = Question(call, system.desired.fleet, target, render, started)
        question.pinned = bool(message.model_version)
        question.deadline = terms.deadline
        question.who = grant.name
        question.lookups = system.lookups
        question.stick(terms.sticky, "metadata x-sticky-key")
        self._inference.read(question, message, config.max_rows, config.max_future)
        system.guard.charge(grant, question.count)
        system.ask(question)
        late = RefusalError(503, f"no answer within {config.answer_timeout:g} s")
        timer = loop.call_later(config.answer_timeout, call.refuse, late)
        try:
            return await call.answered
        finally:
            timer.cancel()

    def _system(self, name: str) -> ServedSystem:
        found = self._systems.get(name)
        if found is None:
            raise RefusalError(404, f"no such model: this server serves {', '.join(map(repr, self._systems))}")
        return found


def _release(system: ServedSystem, version: str) -> Release:
    desired = system.desired
    if version:
        found = desired.fleet.pinned(version)
        if found is None:
            raise RefusalError(404, f"model {version!r} is neither live nor canary")
        return found
    if desired.fleet.live is None:
        raise RefusalError(503, desired.why_not_ready())
    return desired.fleet.live


def refusal_of(error: Exception, name: str) -> RefusalError:
    """What a caller is told of an error; a fault of ours is logged."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, TemporaryError):
        return RefusalError(503, error.message, hint=error.hint)
    _LOG.error("%s failed", name, exc_info=error)
    return RefusalError(500, f"the server failed: {type(error).__name__}")
