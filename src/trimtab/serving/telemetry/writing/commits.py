"""Answers that wait until what they rest on is on the disk; many of them share one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from trimtab.errors import TemporaryError


class _Waiting(NamedTuple):
    done: Callable[[], None]
    failed: Callable[[TemporaryError], None]
    rows: int


class GroupCommit:
    """Belongs to the event loop. `sync` brings all that was written before it began to the disk; it runs in a thread,
    one at a time, and whatever comes meanwhile waits for the next. `rows` counts what waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sync: Callable[[], None], most: int = 20_000) -> None:
        self.rows = 0
        self._loop = loop
        self._sync = sync
        self._most = most
        self._waiting: list[_Waiting] = []
        self._thread: ThreadPoolExecutor | None = None
        self._running = False

    def admit(self) -> None:
        """Raises TemporaryError while the disk is so slow that too much waits for it."""
        if self.rows >= self._most:
            raise TemporaryError(
                f"the disk is slow: {self.rows:,} rows wait to be synced",
                hint='a faster disk, or telemetry_sync = "1 s" in [serve]',
            )

    def after(self, done: Callable[[], None], failed: Callable[[TemporaryError], None], rows: int) -> None:
        """Calls `done` on the loop once everything written so far is on the disk, or `failed` where it cannot be."""
        self.rows += rows
        self._waiting.append(_Waiting(done, failed, rows))
        if not self._running:
            self._running = True
            self._loop.call_soon(self._begin)  # what is written in this turn of the loop shares the sync

    async def now(self) -> None:
        """Returns when everything written so far is on the disk; raises TemporaryError where it cannot be."""
        synced: asyncio.Future[None] = self._loop.create_future()
        self.after(lambda: _once(synced, None), lambda error: _once(synced, error), 0)
        await synced

    def close(self) -> None:
        """Lets the thread go."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sync")
        taken, self._waiting = self._waiting, []
        self._thread.submit(self._bring, taken)

    def _bring(self, taken: list[_Waiting]) -> None:
        failure: TemporaryError | None = None
        try:
            self._sync()
        except OSError as error:
            failure = TemporaryError(f"telemetry cannot be synced: {error.strerror or error}")
        try:
            self._loop.call_soon_threadsafe(self._settle, taken, failure)
        except RuntimeError:  # the loop has closed
            return

    def _settle(self, taken: list[_Waiting], failure: TemporaryError | None) -> None:
        self._running = bool(self._waiting)
        if self._running:
            self._begin()  # the disk works while the answers are written
        for one in taken:
            self.rows -= one.rows
            if failure is None:
                self._loop.call_soon(one.done)  # each on its own: one that raises leaves the others alone
            else:
                self._loop.call_soon(one.failed, failure)


def _once(future: asyncio.Future[None], error: TemporaryError | None) -> None:
    if future.done():  # whoever waited has gone
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
