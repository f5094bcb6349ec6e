"""Answers that have to wait for something: another process, or several."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from trimtab.errors import TemporaryError
from trimtab.serving.http.caller import HttpCaller
from trimtab.serving.http.replies import JSON
from trimtab.serving.refusals import RefusalError

_LOG = logging.getLogger("trimtab.serving")


class Later:
    """Work whose outcome is the answer to a connection's request."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, connection: HttpCaller, work: Coroutine[None, None, bytes], kind: bytes = JSON) -> None:
        """Answers with what `work` comes to."""

        async def told() -> None:
            connection.answer(200, await work, kind)

        self.do(connection, told())

    def do(self, connection: HttpCaller, work: Coroutine[None, None, None]) -> None:
        """Has `work` answer; should it fail, that is the answer."""
        task = asyncio.get_running_loop().create_task(_attempt(connection, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _attempt(connection: HttpCaller, work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except RefusalError as error:
        connection.refuse(error)
    except TemporaryError as error:
        connection.refuse(RefusalError(503, error.message, hint=error.hint, retry_after=error.delay))
    except Exception as error:  # a fault of ours must not leave the caller waiting
        _LOG.exception("a request failed")
        connection.refuse(RefusalError(500, f"the server failed: {type(error).__name__}"))
