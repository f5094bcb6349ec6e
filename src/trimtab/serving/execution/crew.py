"""Threads that can be given up: a job that does not end loses its thread, and another takes its place.

Python cannot end a thread that waits inside a library. One that is given up is asked to stop (code in Python does, at
its next line), its result is not waited for, and only so many may linger.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

MOST_GIVEN_UP = 4
_LOOK = 0.1  # seconds between two looks at threads that may hang; fewer where they may not take long


class GivenUpError(BaseException):
    """Raised inside a thread that is given up; no base of it that the user's code would catch."""


class Job:
    """Something to run in a thread, and who hears of it on the event loop: `done(result, seconds)`, or `lost()` when
    its thread was given up. `run` must not raise."""

    __slots__ = ("done", "lost", "run")

    def __init__(self, run: Callable[[], Any], done: Callable[[Any, float], None], lost: Callable[[], None]) -> None:
        self.run = run
        self.done = done
        self.lost = lost


class Crew:
    """Up to `most` daemon threads for one model. Its methods belong to the event loop.

    A thread is given up whose job lasts longer than `limit` seconds. `given_up` counts those that have not ended since,
    `returned` is called when one of them does.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, most: int, limit: float, returned: Callable[[], None]
    ) -> None:
        self.most = most
        self.limit = limit
        self.given_up = 0
        self._loop = loop
        self._name = name
        self._returned = returned
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._due: set[Job] = set()
        self._look: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._due)

    @property
    def stuck(self) -> bool:
        """Whether no thread is left, and so many are given up that no other may take their place."""
        return self.given_up >= MOST_GIVEN_UP and not self._workers

    def give(self, job: Job) -> None:
        """Has it run by the next thread that is free. Not while `stuck`."""
        self._due.add(job)
        self._queue.put(job)
        self._hire()
        self._look_soon()

    def close(self) -> None:
        """Lets the threads go once they have done what was given."""
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        for _ in self._workers:
            self._queue.put(None)

    def _look_soon(self) -> None:
        """For as long as there is something to do."""
        if self._look is None and self._due and not self._closed:
            self._look = self._loop.call_later(min(_LOOK, self.limit / 4), self._sweep)

    def _sweep(self) -> None:
        """Gives up the threads whose job has lasted longer than the limit."""
        self._look = None
        now = time.perf_counter()
        for worker in tuple(self._workers):
            job, since = worker.job, worker.since
            if job is None or now - since <= self.limit or job not in self._due:
                continue
            self._workers.remove(worker)
            self.given_up += 1
            worker.stop()
            self._due.discard(job)
            job.lost()
        if self.stuck:
            self._strand()
        else:
            self._hire()
        self._look_soon()

    def _hire(self) -> None:
        if self.given_up < MOST_GIVEN_UP and len(self._workers) < min(self.most, len(self._due)):
            worker = _Worker(self._queue, self._tell, self._left)
            self._workers.append(worker)
            threading.Thread(target=worker.work, name=self._name, daemon=True).start()

    def _strand(self) -> None:
        """No thread is left for what waits."""
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        due, self._due = self._due, set()
        for job in due:
            job.lost()

    def _tell(self, job: Job, result: Any, seconds: float) -> None:
        """In the worker's thread."""
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._done, job, result, seconds)

    def _left(self) -> None:
        """In the thread of a worker that was given up, as it ends."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._back)

    def _done(self, job: Job, result: Any, seconds: float) -> None:
        if job in self._due:
            self._due.discard(job)
            job.done(result, seconds)

    def _back(self) -> None:
        self.given_up -= 1
        if not self._closed:
            self._hire()
            self._returned()


class _Worker:
    """One thread: `job` is what it does since `since`."""

    def __init__(
        self,
        queue: SimpleQueue[Job | None],
        tell: Callable[[Job, Any, float], None],
        left: Callable[[], None],
    ) -> None:
        self.job: Job | None = None
        self.since = 0.0
        self._queue = queue
        self._tell = tell
        self._left = left
        self._ident = 0
        self._given_up = False

    def work(self) -> None:
        """The thread's whole life."""
        self._ident = threading.get_ident()
        try:
            self._serve()
        except GivenUpError:
            pass
        finally:
            if self._given_up:
                self._left()

    def stop(self) -> None:
        """Asks the thread to stop where it is; it will do so only between two lines of Python."""
        import ctypes  # here: hardly any server ever needs it

        self._given_up = True
        raised = ctypes.py_object(GivenUpError)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), raised)

    def _serve(self) -> None:
        taken: Job | None = None
        try:
            while not self._given_up:
                taken = self._queue.get()
                if taken is None or self._given_up:
                    break
                self.since = start = time.perf_counter()
                self.job = taken
                result = taken.run()
                ended, taken = taken, None
                self.job = None
                self._tell(ended, result, time.perf_counter() - start)
        finally:
            if taken is not None and self.job is not taken:  # taken, but not begun
                self._queue.put(taken)
