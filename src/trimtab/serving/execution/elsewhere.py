"""A question that another process of this server has answered, or is about to: its answer is fetched, not made again.

A caller that asks again does so with a new connection, and so may meet another process than at first. Questions with
ids of their own are noted in a table that all processes share; one that stands there under another's name is asked of
that one, which knows its answer, or knows when it will. Questions without ids of their own never come here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from trimtab.serving.execution.questions import Answers, Question
from trimtab.serving.execution.retold import pack, unpack
from trimtab.serving.execution.settling import Settling

_LOG = logging.getLogger("trimtab.serving")
_UNKNOWN, _DUE, _KNOWN = b"-", b"~", b"+"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds until it is asked again what is due
_SILENT = 0.25  # seconds: nobody waits longer for one that says nothing, and nobody for more than half of its time
Ask = Callable[[int, bytes, float], Awaitable[bytes | None]]


class Noted(Protocol):
    """Where questions with ids of their own are noted."""

    def holder(self, mark: bytes) -> int:
        """The process that had such a question last; -1 where none is known."""
        ...

    def note(self, mark: bytes, slot: int) -> None:
        """That process has it now."""
        ...


class Elsewhere:
    """Belongs to the event loop of process `slot`. `ask` fetches what `tell` of another process says of a mark, None
    where that one does not answer in so many seconds; `proceed` has a question that is waited for scored here. What is
    due there is waited for `patience` seconds."""

    def __init__(  # noqa: PLR0917 - each is one thing
        self,
        slot: int,
        noted: Noted,
        ask: Ask,
        settling: Settling,
        proceed: Callable[[Question], None],
        patience: float,
    ) -> None:
        self._slot = slot
        self._noted = noted
        self._ask = ask
        self._settling = settling
        self._proceed = proceed
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()

    def fetches(self, question: Question) -> bool:
        """Whether another process had the same question; its caller is answered later then."""
        slot = self._noted.holder(question.mark)
        if slot in {-1, self._slot}:
            return False
        self._settling.waiting += 1
        task = asyncio.get_running_loop().create_task(self._fetch(question, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def begin(self, question: Question) -> None:
        """It is going to be answered here."""
        self._noted.note(question.mark, self._slot)

    def tell(self, mark: bytes) -> bytes:
        """What this process knows of a question."""
        known = self._settling.repeats.recall(mark)
        if known is not None:
            return _KNOWN + pack(known)
        return _DUE if mark in self._settling.under_way else _UNKNOWN

    async def _fetch(self, question: Question, slot: int) -> None:
        known = None
        try:
            known = await self._told(question, slot)
        except Exception:  # a fault of ours must not cost the caller its answer
            _LOG.exception("an answer could not be fetched from process %d", slot)
        if known is None:
            self._proceed(question)
        else:
            self._settling.waiting -= 1
            self._settling.tell_again(question, known)

    async def _told(self, question: Question, slot: int) -> Answers | None:
        """What the other process answered, once it has; None where that is not to be had."""
        now = time.perf_counter()
        until, silent, pause = now + self._patience, _SILENT, _FIRST_PAUSE
        if question.deadline is not None:
            until = min(until, question.deadline)
            silent = min(silent, (until - now) / 2)
        while told := await self._ask(slot, question.mark, silent):
            if told.startswith(_KNOWN):
                return unpack(told[1:])
            if not told.startswith(_DUE):
                return None
            left = until - time.perf_counter()
            if question.caller.gone or left <= 0.0:
                return None
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return None
