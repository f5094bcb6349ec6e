"""Something slow, done beside the event loop, that nobody waits for longer than they want to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def beside(act: Callable[[], Result], seconds: float) -> Result:
    """What `act` returns or raises, run in a thread of its own. Raises TimeoutError when that takes longer; the thread
    is then left to itself, and does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Result] = loop.create_future()

    def tell(result: Result | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            result, error = act(), None
        except BaseException as trouble:  # whatever it is, it is the caller's
            result, error = None, trouble
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="loading", daemon=True).start()
    async with asyncio.timeout(seconds):
        return await outcome
